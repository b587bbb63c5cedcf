package admin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/durable"
)

// Process is what a process does for a home. Several may serve one home, one of each kind.
type Process string

// The kinds of process.
const (
	Whole  Process = "admin"        // hufu up
	Issuer Process = "admin-issuer" // hufu issuer serve
	Gate   Process = "admin-gate"   // hufu gate serve
)

// processes is the order in which commands ask.
var processes = [...]Process{Whole, Issuer, Gate}

// Names within a home.
func (p Process) socket() string { return string(p) + ".sock" }
func (p Process) token() string  { return string(p) + ".token" }

// Limits. The longest an administrator's call takes is a transaction on the ledger.
const (
	maxBody     = 1 << 20
	callTimeout = 2 * time.Minute
	stopTimeout = 10 * time.Second
	maxSocket   = 100 // bytes of a socket's path; the kernel takes 107
)

// Verbs are what a process can be asked to do.
type Verbs map[string]func(ctx context.Context, in []byte) (any, error)

// Verb makes a function with typed input one of [Verbs]. Members that In does not have are refused.
func Verb[In, Out any](f func(context.Context, In) (Out, error)) func(context.Context, []byte) (any, error) {
	return func(ctx context.Context, raw []byte) (any, error) {
		var in In
		d := json.NewDecoder(strings.NewReader(string(raw)))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil {
			return nil, fmt.Errorf("admin: the request does not read: %w", err)
		}
		return f(ctx, in)
	}
}

// failure is an error on its way to a command.
type failure struct {
	Error  string    `json:"error"`
	Rule   hufu.Rule `json:"rule,omitempty"`
	Detail string    `json:"detail,omitempty"`
}

// Server serves one home.
type Server struct {
	listener net.Listener
	verbs    Verbs
	digest   [sha256.Size]byte // of the token
	token    string            // its file
	made     string            // a directory that was made for the socket
}

// Listen makes the token and opens the socket of a process of the home in dir. Of two processes of one
// kind, the later one has them.
func Listen(ctx context.Context, dir string, p Process, verbs Verbs) (*Server, error) {
	token := rand.Text() + rand.Text()
	s := &Server{verbs: verbs, digest: sha256.Sum256([]byte(token)), token: filepath.Join(dir, p.token())}
	path := filepath.Join(dir, p.socket())
	if len(path) > maxSocket {
		var err error
		if s.made, err = os.MkdirTemp("", "hufu-"); err != nil { // 0700
			return nil, fmt.Errorf("admin: %w", err)
		}
		path = filepath.Join(s.made, p.socket())
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("admin: %w", err)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	s.listener = l
	// The home is its owner's alone; the socket is, too, wherever it is.
	if err := errors.Join(os.Chmod(path, 0o600), writeToken(s.token, path, token)); err != nil {
		return nil, fmt.Errorf("admin: %w", errors.Join(err, l.Close()))
	}
	return s, nil
}

// door is the file from which a command learns how to call.
type door struct {
	Socket string `json:"socket"`
	Token  string `json:"token"`
}

func writeToken(path, socket, token string) error {
	raw, err := json.Marshal(door{socket, token})
	if err != nil {
		return err
	}
	return durable.Write(path, raw)
}

// Serve answers until ctx ends, then lets running calls finish and removes the socket and the token.
func (s *Server) Serve(ctx context.Context) error {
	h := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: callTimeout, WriteTimeout: callTimeout}
	failed := make(chan error, 1)
	go func() { failed <- h.Serve(s.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("admin: %w", errors.Join(err, s.clean()))
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	err := h.Shutdown(stop)
	<-failed // closing the listener removes the socket: that has to be over before another process makes its own
	return errors.Join(err, s.clean())
}

func (s *Server) clean() error {
	err := os.Remove(s.token)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if s.made != "" {
		err = errors.Join(err, os.RemoveAll(s.made))
	}
	return err
}

// ServeHTTP answers POST /VERB.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if digest := sha256.Sum256([]byte(token)); !ok || subtle.ConstantTimeCompare(digest[:], s.digest[:]) != 1 {
		answer(w, http.StatusUnauthorized, failure{Error: "admin: not the token of this process"})
		return
	}
	verb, ok := s.verbs[strings.TrimPrefix(r.URL.Path, "/")]
	if !ok || r.Method != http.MethodPost {
		answer(w, http.StatusNotFound, failure{Error: "admin: the process does not do this: it has no such role, or is of another version"})
		return
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		answer(w, http.StatusRequestEntityTooLarge, failure{Error: "admin: the request is too large"})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	out, err := verb(ctx, raw)
	if err != nil {
		f := failure{Error: err.Error()}
		var refusal *hufu.Refusal
		if errors.As(err, &refusal) {
			f.Rule, f.Detail = refusal.Rule, refusal.Detail
		}
		answer(w, http.StatusUnprocessableEntity, f)
		return
	}
	answer(w, http.StatusOK, out)
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // a caller who is gone needs no answer
}
