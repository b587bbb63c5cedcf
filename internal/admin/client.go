package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hufu-id/hufu"
)

// ErrNotRunning means that no process serves the home.
var ErrNotRunning = errors.New("admin: no process serves this home")

// errNoVerb means that a process does not do what was asked.
var errNoVerb = errors.New("admin: the process that serves this home does not do this: it has no such role, or is of another version")

// Call asks a process that serves the home in dir to do verb. A refusal comes back as the [hufu.Refusal]
// it was.
func Call[Out any](ctx context.Context, dir, verb string, in any) (out Out, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return out, fmt.Errorf("admin: %w", err)
	}
	result := ErrNotRunning
	for _, p := range processes {
		raw, err := call(ctx, filepath.Join(dir, p.token()), verb, body)
		switch {
		case errors.Is(err, ErrNotRunning):
			continue
		case errors.Is(err, errNoVerb):
			result = err
			continue
		case err != nil:
			return out, err
		}
		if err := json.Unmarshal(raw, &out); err != nil {
			return out, fmt.Errorf("admin: the answer does not read: %w", err)
		}
		return out, nil
	}
	return out, result
}

func call(ctx context.Context, tokenFile, verb string, body []byte) ([]byte, error) {
	raw, err := os.ReadFile(tokenFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	var d door
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, fmt.Errorf("admin: %s does not read", filepath.Base(tokenFile))
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://home/"+verb, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+d.Token)
	r.Header.Set("Content-Type", "application/json")
	c := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", d.Socket)
		},
	}}
	w, err := c.Do(r)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist) {
		return nil, ErrNotRunning // a process that was killed leaves the token behind
	}
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	defer w.Body.Close() //nolint:errcheck // it was read
	if w.StatusCode == http.StatusNotFound {
		return nil, errNoVerb
	}
	if w.StatusCode != http.StatusOK {
		var f failure
		if err := json.NewDecoder(w.Body).Decode(&f); err != nil || f.Error == "" {
			return nil, fmt.Errorf("admin: the process answers with status %d", w.StatusCode)
		}
		if f.Rule != "" {
			return nil, &hufu.Refusal{Rule: f.Rule, Detail: f.Detail}
		}
		return nil, errors.New(f.Error)
	}
	return io.ReadAll(w.Body)
}
