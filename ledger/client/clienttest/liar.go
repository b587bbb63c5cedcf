// Package clienttest is a node that lies: a proxy in front of an honest one, over real HTTP, that alters
// what tests tell it to. It is for tests of whatever must not believe a node.
package clienttest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	"github.com/hufu-id/hufu"
)

// Lie is one way of lying: it sees every exchange and alters some.
type Lie func(*Exchange)

// Liar is a proxy in front of a node's RPC. It tells the truth until told to lie.
type Liar struct {
	t      testing.TB
	node   string
	server *httptest.Server

	mu    sync.Mutex
	lie   Lie
	calls map[string]int
}

// New starts a liar in front of the node at url. It ends with the test.
func New(t testing.TB, url string) *Liar {
	l := &Liar{t: t, node: url, calls: map[string]int{}}
	l.server = httptest.NewServer(l)
	t.Cleanup(func() {
		l.server.CloseClientConnections()
		l.server.Close()
	})
	return l
}

// URL is where clients reach the liar.
func (l *Liar) URL() string { return l.server.URL }

// Lie begins a way of lying in place of the one before. Nil is the truth.
func (l *Liar) Lie(how Lie) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lie = how
}

// Calls is how often a method was called.
func (l *Liar) Calls(method string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[method]
}

// ServeHTTP answers one JSON-RPC request.
func (l *Liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := &Exchange{liar: l, w: w, r: r}
	var err error
	if e.body, err = io.ReadAll(r.Body); err != nil {
		return // the client is gone
	}
	var request struct {
		Method string         `json:"method"`
		Params map[string]any `json:"params"`
	}
	if err := json.Unmarshal(e.body, &request); err != nil {
		l.t.Errorf("a request that is no JSON-RPC: %v", err)
		return
	}
	e.Method, e.Params = request.Method, request.Params
	l.mu.Lock()
	l.calls[e.Method]++
	lie := l.lie
	l.mu.Unlock()
	if lie != nil {
		lie(e)
	}
	if !e.written {
		e.Answer(nil)
	}
}

// Exchange is a request and its answer.
type Exchange struct {
	Method string
	Params map[string]any

	liar    *Liar
	w       http.ResponseWriter
	r       *http.Request
	body    []byte
	truth   map[string]any // the node's whole answer, once it was asked
	written bool
}

// Path is the path of an abci_query, and empty for other methods.
func (e *Exchange) Path() string {
	path, _ := e.Params["path"].(string)
	return path
}

// Height is the height asked about, 0 for none.
func (e *Exchange) Height() hufu.Height {
	text, _ := e.Params["height"].(string)
	n, _ := strconv.ParseUint(text, 10, 64)
	return hufu.Height(n)
}

// Data is what an abci_query sends.
func (e *Exchange) Data() []byte {
	text, _ := e.Params["data"].(string)
	raw, _ := hex.DecodeString(text)
	return raw
}

// Truth asks the node and returns its result, to be altered in place. It is nil when the node answers
// with an error or is gone.
func (e *Exchange) Truth() map[string]any {
	if e.truth == nil {
		e.ask()
	}
	result, _ := e.truth["result"].(map[string]any)
	return result
}

func (e *Exchange) ask() {
	e.truth = map[string]any{}
	req, err := http.NewRequestWithContext(e.r.Context(), http.MethodPost, e.liar.node, bytes.NewReader(e.body))
	if err != nil {
		e.liar.t.Error(err)
		return
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return // the client is gone, or the node
	}
	defer resp.Body.Close()
	d := json.NewDecoder(resp.Body)
	d.UseNumber()
	_ = d.Decode(&e.truth) // cut off when the client is gone
}

// Value is the honest value of an abci_query.
func (e *Exchange) Value() []byte {
	response, _ := e.Truth()["response"].(map[string]any)
	text, _ := response["value"].(string)
	raw, _ := base64.StdEncoding.DecodeString(text)
	return raw
}

// SetValue makes value the answer of an abci_query.
func (e *Exchange) SetValue(value []byte) {
	if response, ok := e.Truth()["response"].(map[string]any); ok {
		response["value"] = base64.StdEncoding.EncodeToString(value)
		response["code"] = 0
	}
}

// Answer answers with result instead of the node's, or, when it is nil, with the node's as altered.
func (e *Exchange) Answer(result any) {
	whole := map[string]any{"jsonrpc": "2.0", "id": 1, "result": result}
	if result == nil {
		e.Truth()
		whole = e.truth
	}
	raw, err := json.Marshal(whole)
	if err != nil {
		e.liar.t.Errorf("an answer that does not encode: %v", err)
	}
	if len(e.truth) == 0 && result == nil {
		e.Drop()
	}
	e.Raw(http.StatusOK, raw)
}

// Raw answers with these bytes, or adds them to an answer.
func (e *Exchange) Raw(status int, body []byte) {
	if !e.written {
		e.w.WriteHeader(status)
	}
	e.written = true
	_, _ = e.w.Write(body) // the client may be gone
}

// Redirect answers with a redirection.
func (e *Exchange) Redirect(to string) {
	e.written = true
	http.Redirect(e.w, e.r, to, http.StatusTemporaryRedirect)
}

// Hold keeps the client waiting until released is closed or the client is gone.
func (e *Exchange) Hold(released <-chan struct{}) {
	select {
	case <-released:
	case <-e.r.Context().Done():
	}
}

// Drop ends the connection without an answer.
func (e *Exchange) Drop() { panic(http.ErrAbortHandler) }

// Set replaces what is at the end of a path of names and indexes inside a result.
func (e *Exchange) Set(value any, path ...any) {
	if at, last, ok := e.find(path); ok {
		switch at := at.(type) {
		case map[string]any:
			at[last.(string)] = value
		case []any:
			at[last.(int)] = value
		}
	}
}

// Get is what is at the end of a path inside the result.
func (e *Exchange) Get(path ...any) any {
	at, last, ok := e.find(path)
	if !ok {
		return nil
	}
	if object, ok := at.(map[string]any); ok {
		return object[last.(string)]
	}
	return at.([]any)[last.(int)]
}

// find is the container at the end of a path and the last step into it.
func (e *Exchange) find(path []any) (at, last any, ok bool) {
	truth := e.Truth()
	if truth == nil {
		return nil, nil, false
	}
	at = truth
	for _, step := range path[:len(path)-1] {
		switch container := at.(type) {
		case map[string]any:
			at = container[step.(string)]
		case []any:
			at = container[step.(int)]
		default:
			e.liar.t.Errorf("%s: no %v in the answer", e.Method, path)
			return nil, nil, false
		}
	}
	return at, path[len(path)-1], true
}

// FlipHex flips a bit of a hexadecimal value of the result.
func (e *Exchange) FlipHex(path ...any) { e.flip(hex.DecodeString, hexUpper, path) }

// FlipBase64 flips a bit of a base64 value of the result.
func (e *Exchange) FlipBase64(path ...any) {
	e.flip(base64.StdEncoding.DecodeString, base64.StdEncoding.EncodeToString, path)
}

func hexUpper(raw []byte) string { return fmt.Sprintf("%X", raw) }

func (e *Exchange) flip(decode func(string) ([]byte, error), encode func([]byte) string, path []any) {
	text, ok := e.Get(path...).(string)
	if !ok {
		return
	}
	raw, err := decode(text)
	if err != nil || len(raw) == 0 {
		e.liar.t.Errorf("%s: nothing to alter at %v", e.Method, path)
		return
	}
	raw[len(raw)/2] ^= 1
	e.Set(encode(raw), path...)
}
