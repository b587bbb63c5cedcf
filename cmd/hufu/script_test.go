package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts run this test binary under the name of hufu: the real command line in processes of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"hufu": main})
}

// readyTimeout bounds how long a node may take to come up on a busy machine.
const readyTimeout = 60 * time.Second

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup:               setupScript,
		Cmds:                scriptCommands(),
	})
}

func scriptCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"ready":   scriptReady,
		"answers": scriptAnswers,
		"json":    scriptJSON,
		"status":  scriptStatus,
		"replace": scriptReplace,
		"http":    scriptHTTP,
		"signin":  scriptSignIn,
		"tick":    scriptTick,
	}
}

// setupScript gives every script the examples of the repository, and a key file in place of a passphrase,
// which is made slow to try on purpose.
func setupScript(e *testscript.Env) error {
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	e.Setenv("FREE_ADDR", l.Addr().String()) // where nobody listens now
	if err := l.Close(); err != nil {
		return err
	}
	e.Setenv("EXAMPLES", filepath.Join(root, "examples"))
	e.Setenv("HUFU_HOME", filepath.Join(e.WorkDir, "net"))
	e.Setenv("HUFU_KEY_FILE", filepath.Join(e.WorkDir, "key"))
	return nil
}

// scriptReady waits until the process that serves a home answers, and sets $NAME_URL, $NAME_NODE and
// $NAME_ADDR, the node's host and port.
//
//	ready HOME NAME
func scriptReady(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: ready HOME NAME")
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var r struct{ Listen, Node string }
		raw, err := os.ReadFile(filepath.Join(ts.MkAbs(args[0]), "run.json"))
		if err == nil {
			err = json.Unmarshal(raw, &r)
		}
		if err == nil {
			var status int
			if status, _, err = get(ctx, r.Listen+"/readyz"); err == nil && status == http.StatusOK {
				ts.Setenv(args[1]+"_URL", r.Listen)
				ts.Setenv(args[1]+"_NODE", r.Node)
				ts.Setenv(args[1]+"_ADDR", strings.TrimPrefix(r.Node, "http://"))
				return
			}
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("%s is not ready: %v", args[0], err)
		case <-tick.C:
		}
	}
}

// scriptTick waits until the clock shows a second that is N later: credentials and keys have times in whole
// seconds, a key's rounded up, so what happens within one cannot be told apart.
//
//	tick N
func scriptTick(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: tick N")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	for end := time.Now().Unix() + int64(n); time.Now().Unix() < end; {
		time.Sleep(time.Until(time.Unix(end, 0)))
	}
}

// scriptAnswers waits until a URL is answered, whatever the answer.
//
//	answers URL
func scriptAnswers(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: answers URL")
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		_, _, err := get(ctx, args[0])
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("%s is not answered: %v", args[0], err)
		case <-tick.C:
		}
	}
}

func get(ctx context.Context, url string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	return res.StatusCode, body, err
}

// scriptJSON reads one value out of a JSON document, such as the last standard output, compares it or
// keeps it in a variable. A path names members and places, joined by dots; len is a list's length.
//
//	json FILE PATH WANT
//	json FILE PATH > NAME
func scriptJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 && (len(args) != 4 || args[2] != ">") {
		ts.Fatalf("usage: json FILE PATH WANT, or json FILE PATH > NAME")
	}
	var v any
	if err := json.Unmarshal([]byte(ts.ReadFile(args[0])), &v); err != nil {
		ts.Fatalf("%s is no JSON document: %v", args[0], err)
	}
	got, err := dig(v, args[1])
	if len(args) == 4 {
		ts.Check(err)
		ts.Setenv(args[3], got)
		return
	}
	if same := err == nil && got == args[2]; same == neg {
		ts.Fatalf("%s of %s: %q, %v", args[1], args[0], got, err)
	}
}

func dig(v any, path string) (string, error) {
	for step := range strings.SplitSeq(path, ".") {
		switch node := v.(type) {
		case map[string]any:
			next, ok := node[step]
			if !ok {
				return "", fmt.Errorf("no member %q", step)
			}
			v = next
		case []any:
			i, err := strconv.Atoi(step)
			if step == "len" {
				v = float64(len(node))
				continue
			}
			if err != nil || i >= len(node) {
				return "", fmt.Errorf("no place %q of %d", step, len(node))
			}
			v = node[i]
		default:
			return "", fmt.Errorf("nothing below %q", step)
		}
	}
	switch v := v.(type) {
	case string:
		return v, nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	default:
		raw, err := json.Marshal(v)
		return string(raw), err
	}
}

// scriptStatus runs hufu and compares its exit status.
//
//	status 2 hufu bogus
func scriptStatus(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: status N hufu ARGUMENT...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d, not %s", got, args[0])
	}
}

// scriptReplace writes a copy of a file with one text in place of another, which must be there, or of every
// such text when a * comes before it. Go's escapes (\xff, \r) stand for what a script cannot hold, and
// {1000*x} for a thousand x.
//
//	replace FROM TO [*]OLD NEW
func scriptReplace(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 4 {
		ts.Fatalf("usage: replace FROM TO [*]OLD NEW")
	}
	unquote := func(s string) string {
		out, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
		ts.Check(err)
		return out
	}
	old, all := strings.CutPrefix(args[2], "*")
	text, old, times := ts.ReadFile(args[0]), unquote(old), 1
	if all {
		times = -1
	}
	if !strings.Contains(text, old) {
		ts.Fatalf("%s does not hold %q", args[0], old)
	}
	with := regexp.MustCompile(`\{(\d+)\*([^}]*)\}`).ReplaceAllStringFunc(unquote(args[3]), func(s string) string {
		count, what, _ := strings.Cut(s[1:len(s)-1], "*")
		n, err := strconv.Atoi(count)
		ts.Check(err)
		return strings.Repeat(what, n)
	})
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.Replace(text, old, with, times)), 0o600))
}

// scriptHTTP gets a URL and compares the status; the body becomes a file.
//
//	http 200 URL FILE
func scriptHTTP(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: http STATUS URL FILE")
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	status, body, err := get(ctx, args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), body, 0o600))
	if strconv.Itoa(status) != args[0] {
		ts.Fatalf("%s answers %d: %s", args[1], status, body)
	}
}
