package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/hufu-id/hufu/internal/server"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/didres"
)

func TestResolutionOverHTTP(t *testing.T) {
	l := newLedger(t)
	alice, err := l.Actor(keys.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	gone, err := l.Actor(keys.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Do(gone, &tx.DIDDeactivate{}); err != nil {
		t.Fatal(err)
	}
	origin, _, _ := serve(t, server.Routes(server.Parts{Ledger: l}))
	const result, document = didres.ResultType, didres.DocumentType
	did := string(alice.DID)
	for _, c := range []struct {
		path, accept string
		status       int
		contentType  string
		body         string
	}{
		// What the caller can have it as.
		{did, "", 200, result, `"didDocument":{`},
		{did, "*/*", 200, result, `"didDocument":{`},
		{did, "application/*", 200, result, `"didDocument":{`},
		{did, result, 200, result, `"didDocument":{`},
		{did, document, 200, document, `{"@context"`},
		{did, "APPLICATION/DID", 200, document, `{"@context"`},
		{did, document + "," + result, 200, result, `"didDocument":{`},
		{did, result + ";q=0.5, " + document, 200, document, `{"@context"`},
		{did, document + ";q=0.5, */*;q=0.4", 200, document, `{"@context"`},
		{did, document + ";q=0, */*", 200, result, `"didDocument":{`},
		{did, "*/*, " + result + ";q=0", 200, document, `{"@context"`},
		{did, "text/html, */*;q=0.8", 200, result, `"didDocument":{`},
		{did, "application/json", 200, result, `"didDocument":{`},
		{did, "application/json, " + document, 200, result, `"didDocument":{`},
		{did, "application/did;profile=x", 200, document, `{"@context"`},
		{did, "text/turtle", 406, result, "REPRESENTATION_NOT_SUPPORTED"},
		{did, document + ";q=0", 406, result, "REPRESENTATION_NOT_SUPPORTED"},
		{did, document + ";q=x", 406, result, "REPRESENTATION_NOT_SUPPORTED"},
		{did, "/", 406, result, "REPRESENTATION_NOT_SUPPORTED"},

		// What there is no document of is told as a result, whatever was asked for.
		{string(gone.DID), "", 410, result, `"didDocument":null`},
		{string(gone.DID), document, 410, result, `"deactivated":true`},
		{"did:hufu:test:zzz", document, 400, result, "INVALID_DID"},
		{"did:web:example.org", document, 501, result, "METHOD_NOT_SUPPORTED"},

		// Options, with the identifier as it is or encoded.
		{did + "?versionId=1", "", 200, result, `"versionId":"1"`},
		{url.QueryEscape(did) + "?versionId=1", "", 200, result, `"versionId":"1"`},
		{did + "?versionId=2", "", 404, result, "NOT_FOUND"},
		{did + "?versionId=1&versionId=1", "", 400, result, "INVALID_OPTIONS"},
		{did + "?versionTime=2020-01-01T00:00:00Z", "", 404, result, "NOT_FOUND"},
		{did + "?versionTime=2099-01-01T00:00:00Z", "", 200, result, `"versionId":"1"`},
		{did + "?service=files", "", 501, result, "FEATURE_NOT_SUPPORTED"},
		{url.QueryEscape(did + "#key-0"), "", 400, result, "INVALID_DID"},
		{url.QueryEscape(did + "/x"), "", 400, result, "INVALID_DID"},
	} {
		t.Run(c.path+" "+c.accept, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, origin+"/1.0/identifiers/"+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.accept != "" {
				req.Header.Set("Accept", c.accept)
			}
			res, body := do(t, req)
			if res.StatusCode != c.status || res.Header.Get("Content-Type") != c.contentType || !strings.Contains(body, c.body) {
				t.Errorf("%d %s\n%s", res.StatusCode, res.Header.Get("Content-Type"), body)
			}
			for name, want := range map[string]string{"Vary": "Accept", "Cache-Control": "no-store", "Access-Control-Allow-Origin": "*"} {
				if res.Header.Get(name) != want {
					t.Errorf("%s is %q", name, res.Header.Get(name))
				}
			}
		})
	}
}
