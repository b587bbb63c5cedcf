package server_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/internal/server"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/keys"
)

// api is the API of one real gate, called library, whose token is "open sesame".
func api(t *testing.T) (h http.Handler, l *ledger) {
	t.Helper()
	l = newLedger(t)
	if err := l.PublishTypes(); err != nil {
		t.Fatal(err)
	}
	owner, err := l.Actor(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Publish(owner, "reading-room", 1, world.ReadingRoom); err != nil {
		t.Fatal(err)
	}
	st, err := gate.OpenStore(t.Context(), database.Memory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	g, err := gate.New(gate.Config{
		DID: owner.DID, Fragment: owner.Fragment(), Signer: owner.Signer, Ledger: l, Store: st,
		ResponseURI: "https://gate.example/gates/library/gate/response", Now: l.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	doors := map[string]server.ServiceDoor{"library": {Door: g, Token: sha256.Sum256([]byte("open sesame"))}}
	return server.API(doors, "test", slog.New(slog.DiscardHandler)), l
}

func call(t *testing.T, h http.Handler, method, path, token, body string) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	raw, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatalf("%s %s: %d %s", method, path, w.Code, raw)
	}
	return w.Code, out
}

const (
	token    = "Bearer open sesame"
	sessions = "/api/v1/gates/library/sessions"
)

func TestAPISession(t *testing.T) {
	h, _ := api(t)
	code, opened := call(t, h, "POST", sessions, token, `{"contract":"reading-room"}`)
	if code != http.StatusCreated || opened["id"] == "" || opened["state"] == "" || !strings.Contains(fmt.Sprint(opened["request_uri"]), "https://gate.example/gates/library/") {
		t.Fatalf("%d %v", code, opened)
	}
	code, result := call(t, h, "GET", sessions+"/"+fmt.Sprint(opened["id"]), token, "")
	if code != http.StatusOK || result["status"] != gate.StatusOpen || result["decision"] != nil {
		t.Errorf("%d %v", code, result)
	}
	for _, member := range []string{"$schema", "claims"} {
		if _, there := result[member]; there {
			t.Errorf("a result with %s", member)
		}
	}
}

func TestAPIRefusals(t *testing.T) {
	h, l := api(t)
	for _, c := range []struct {
		name, method, path, token, body string
		code                            int
		rule                            string
	}{
		{"no token", "POST", sessions, "", `{"contract":"reading-room"}`, 401, ""},
		{"another token", "POST", sessions, "Bearer guess", `{"contract":"reading-room"}`, 401, ""},
		{"no bearer", "POST", sessions, "open sesame", `{"contract":"reading-room"}`, 401, ""},
		{"the token of another gate", "POST", "/api/v1/gates/bank/sessions", token, `{"contract":"reading-room"}`, 401, ""},
		{"no token for a gate that is not", "POST", "/api/v1/gates/bank/sessions", "Bearer ", `{"contract":"x"}`, 401, ""},
		{"an unknown contract", "POST", sessions, token, `{"contract":"cellar"}`, 404, "gate.not-published"},
		{"an unknown session", "GET", sessions + "/xyz", token, "", 404, "gate.no-session"},
		{"an unknown session answered", "POST", sessions + "/xyz/dc", token, `{"origin":"https://a","protocol":"p","data":{}}`, 404, "gate.no-session"},
		{"no contract", "POST", sessions, token, `{}`, 422, ""},
		{"an unknown member", "POST", sessions, token, `{"contract":"reading-room","dcql_query":{}}`, 422, ""},
		{"another response mode", "POST", sessions, token, `{"contract":"reading-room","response_mode":"fragment"}`, 422, ""},
		{"a name that the gate cannot bear", "POST", sessions, token, `{"contract":"reading-room","client_id_prefix":"x509_hash"}`, 422, "gate.session"},
		{"no JSON", "POST", sessions, token, `{"contract":`, 400, ""},
		{"too much", "POST", sessions, token, `{"contract":"` + strings.Repeat("x", 300<<10) + `"}`, 413, ""},
	} {
		code, problem := call(t, h, c.method, c.path, c.token, c.body)
		if code != c.code || problem["detail"] == "" || c.rule != "" && problem["type"] != "urn:hufu:rule:"+c.rule {
			t.Errorf("%s: %d %v, want %d %s", c.name, code, problem, c.code, c.rule)
		}
	}
	l.down = fmt.Errorf("dial tcp 10.1.2.3:5432")
	if code, problem := call(t, h, "POST", sessions, token, `{"contract":"reading-room"}`); code != 503 || strings.Contains(fmt.Sprint(problem), "10.1.2.3") {
		t.Errorf("the ledger is down: %d %v", code, problem)
	}
}

// What the description says is what the types of package gate are.
func TestOpenAPI(t *testing.T) {
	h, _ := api(t)
	code, doc := call(t, h, "GET", "/openapi.json", "", "")
	if code != 200 || !strings.HasPrefix(fmt.Sprint(doc["openapi"]), "3.1") {
		t.Fatalf("%d, OpenAPI %v", code, doc["openapi"])
	}
	at := func(path ...string) any {
		var v any = doc
		for _, p := range path {
			m, ok := v.(map[string]any)
			if !ok {
				return nil
			}
			v = m[p]
		}
		return v
	}
	for _, path := range [][]string{
		{"paths", sessionsTemplate, "post", "requestBody"},
		{"paths", sessionsTemplate + "/{session}", "get", "responses", "200"},
		{"paths", sessionsTemplate + "/{session}/dc", "post", "responses", "503"},
		{"components", "schemas", "SessionInput", "properties", "client_id_prefix", "enum"},
		{"components", "schemas", "SessionResult", "properties", "decision"},
		{"components", "securitySchemes", "gate"},
	} {
		if at(path...) == nil {
			t.Errorf("nothing at %v", path)
		}
	}
	for member, want := range map[string]string{"decision": "string", "contract": "string"} {
		if got := at("components", "schemas", "SessionResult", "properties", member, "type"); got != want {
			t.Errorf("%s is a %v, not a %s", member, got, want)
		}
	}
	if at("components", "schemas", "SessionInput", "additionalProperties") != false {
		t.Error("unknown members are not said to be refused")
	}
}

const sessionsTemplate = "/api/v1/gates/{gate}/sessions"
