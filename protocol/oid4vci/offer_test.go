package oid4vci_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

const issuerURL = "https://credential-issuer.example.com"

func offers() []*oid4vci.Offer {
	return []*oid4vci.Offer{
		{CredentialIssuer: issuerURL, ConfigurationIDs: []string{"a"}},
		{CredentialIssuer: issuerURL, ConfigurationIDs: []string{"a", "b"}, Code: &oid4vci.CodeGrant{IssuerState: "s<&>"}},
		{
			CredentialIssuer: issuerURL, ConfigurationIDs: []string{"a"}, Code: &oid4vci.CodeGrant{},
			PreAuthorized: &oid4vci.PreAuthorizedGrant{Code: "c", TxCode: &oid4vci.TxCode{InputMode: oid4vci.InputNumeric, Length: 6, Description: "从短信"}},
		},
		{CredentialIssuer: issuerURL, ConfigurationIDs: []string{"a"}, PreAuthorized: &oid4vci.PreAuthorizedGrant{Code: "c", TxCode: &oid4vci.TxCode{}}},
	}
}

func TestOffers(t *testing.T) {
	for _, want := range offers() {
		raw, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := oid4vci.ParseOffer(raw); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s became %+v, %v", raw, got, err)
		}
		for _, wallet := range []string{oid4vci.OfferScheme, "haip://", "https://wallet.example/offer?x=1"} {
			link, err := want.Link(wallet)
			if err != nil {
				t.Fatal(err)
			}
			got, address, err := oid4vci.ParseOfferLink(link)
			if err != nil || address != "" || !reflect.DeepEqual(got, want) {
				t.Errorf("%s became %+v, %v", link, got, err)
			}
		}
	}
	link := oid4vci.ReferenceLink(oid4vci.OfferScheme, "https://issuer.example/offers/x?y")
	if link != "openid-credential-offer://?credential_offer_uri=https%3A%2F%2Fissuer.example%2Foffers%2Fx%3Fy" {
		t.Error(link)
	}
	if _, address, err := oid4vci.ParseOfferLink(link); err != nil || address != "https://issuer.example/offers/x?y" {
		t.Error(address, err)
	}
}

func TestOffersRefused(t *testing.T) {
	with := func(grants string) string {
		return `{"credential_issuer":"` + issuerURL + `","credential_configuration_ids":["a"],"grants":` + grants + `}`
	}
	pre := func(members string) string { return with(`{"` + oauth.GrantPreAuthorized + `":{` + members + `}}`) }
	for _, raw := range []string{
		``, `[]`, `{}`,
		`{"credential_issuer":"` + issuerURL + `"}`,
		`{"credential_issuer":"` + issuerURL + `","credential_configuration_ids":[]}`,
		`{"credential_issuer":"` + issuerURL + `","credential_configuration_ids":["a","a"]}`,
		`{"credential_issuer":"` + issuerURL + `","credential_configuration_ids":[""]}`,
		`{"credential_issuer":"` + issuerURL + `","credential_configuration_ids":[1]}`,
		`{"credential_issuer":"http://x.example","credential_configuration_ids":["a"]}`,
		`{"credential_issuer":"` + issuerURL + `?x","credential_configuration_ids":["a"]}`,
		with(`[]`), with(`{"authorization_code":null}`), with(`{"authorization_code":{"issuer_state":7}}`),
		pre(``), pre(`"pre-authorized_code":""`), pre(`"pre-authorized_code":"c","tx_code":null`), pre(`"pre-authorized_code":"c","tx_code":7`),
		pre(`"pre-authorized_code":"c","tx_code":{"length":-1}`), pre(`"pre-authorized_code":"c","tx_code":{"length":65}`),
		pre(`"pre-authorized_code":"c","tx_code":{"input_mode":"voice"}`),
		pre(`"pre-authorized_code":"c","tx_code":{"description":"` + strings.Repeat("x", 301) + `"}`),
		pre(`"pre-authorized_code":"` + strings.Repeat("c", 4097) + `"`),
		with(`{}`) + strings.Repeat(" ", oid4vci.MaxOfferBytes),
	} {
		if o, err := oid4vci.ParseOffer([]byte(raw)); hufu.RuleOf(err) != oid4vci.RuleOffer || o != nil {
			t.Errorf("%.120s: %v", raw, err)
		}
	}
	for _, link := range []string{
		"", "x", "openid-credential-offer://", "openid-credential-offer://?credential_offer=x",
		"openid-credential-offer://?credential_offer_uri=http%3A%2F%2Fx.example%2F", "openid-credential-offer://?credential_offer_uri=file%3A%2F%2F%2Fetc",
		"openid-credential-offer://?credential_offer_uri=https%3A%2F%2Fa.example&credential_offer_uri=https%3A%2F%2Fb.example",
		"openid-credential-offer://?credential_offer=%7B%7D&credential_offer_uri=https%3A%2F%2Fa.example",
		"openid-credential-offer://?credential_offer=" + strings.Repeat("x", 3*oid4vci.MaxOfferBytes), "https://%zz",
	} {
		if _, _, err := oid4vci.ParseOfferLink(link); hufu.RuleOf(err) != oid4vci.RuleOffer {
			t.Errorf("%.80s: %v", link, err)
		}
	}
}

func TestOffersOfTheStandard(t *testing.T) {
	for _, name := range []string{"credential_offer_by_reference.json", "credential_offer_multiple_credentials.json", "credential_offer_pre-authz_code.json"} {
		o, err := oid4vci.ParseOffer([]byte(vector(t, name)))
		if err != nil || o.PreAuthorized == nil || o.PreAuthorized.TxCode == nil || o.Code != nil {
			t.Errorf("%s: %+v %v", name, o, err)
		}
	}
	_, body, _ := strings.Cut(vector(t, "credential_offer_authz_code.txt"), "\n\n")
	if o, err := oid4vci.ParseOffer([]byte(body)); err != nil || o.Code.IssuerState != "eyJhbGciOiJSU0Et...FYUaBy" || o.PreAuthorized != nil {
		t.Error(o, err)
	}
}

func TestDetails(t *testing.T) {
	raw, err := json.Marshal(oid4vci.NewDetails("a", "b"))
	if err != nil || string(raw) != `[{"type":"openid_credential","credential_configuration_id":"a"},{"type":"openid_credential","credential_configuration_id":"b"}]` {
		t.Fatal(string(raw), err)
	}
	if d, err := oid4vci.ParseDetails(nil, issuerURL); d != nil || err != nil {
		t.Error(d, err)
	}
	with := func(members string) string {
		return `[{"type":"openid_credential","credential_configuration_id":"a",` + members + `}]`
	}
	for text, good := range map[string]bool{
		string(raw): true,
		with(`"locations":["` + issuerURL + `"]`): true,
		with(`"more":1`): true,
		with(`"claims":[{"path":["x","y"]},{"path":["x","z"],"mandatory":true},{"path":["l",0]},{"path":["l",1]}]`): true,
		with(`"credential_identifiers":["i"]`): true,
		`{}`:                                   false,
		`[]`:                                   false,
		`[{"type":"payment","credential_configuration_id":"a"}]`: false,
		`[{"type":"openid_credential"}]`:                         false,
		`[{"type":"openid_credential","credential_configuration_id":"a"},{"type":"openid_credential","credential_configuration_id":"a"}]`: false,
		with(`"locations":["https://other.example"]`):                                   false,
		with(`"credential_identifiers":[""]`):                                           false,
		with(`"claims":[{"path":[]}]`):                                                  false,
		with(`"claims":[{}]`):                                                           false,
		with(`"claims":[{"path":["x"]},{"path":["x"]}]`):                                false,
		with(`"claims":[{"path":["l",null]},{"path":["l",0]}]`):                         false,
		with(`"claims":[{"path":["l",0]},{"path":["l","name"]}]`):                       false,
		with(`"claims":[{"path":["l",-1]}]`):                                            false,
		with(`"claims":[{"path":["l",1.5]}]`):                                           false,
		with(`"claims":[{"path":[true]}]`):                                              false,
		with(`"claims":[` + strings.Repeat(`{"path":["x"]},`, 256) + `{"path":["y"]}]`): false,
	} {
		_, err := oid4vci.ParseDetails([]byte(text), issuerURL)
		if (err == nil) != good || !good && hufu.RuleOf(err) != oauth.RuleDetails {
			t.Errorf("%.100s: %v", text, err)
		}
	}
	for _, name := range []string{"", "_jwt_vc_json", "_ldp_vc", "_mso_doc", "_multiple_credentials", "_sd_jwt_vc", "_with_as"} {
		d, err := oid4vci.ParseDetails([]byte(vector(t, "authorization_details"+name+".json")), issuerURL)
		if err != nil || len(d) == 0 || d[0].ConfigurationID == "" {
			t.Errorf("%s: %v %v", name, d, err)
		}
	}
}

func FuzzParseOffer(f *testing.F) {
	for _, o := range offers() {
		raw, err := json.Marshal(o)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := oid4vci.ParseOffer(raw)
		if err != nil {
			return
		}
		link, err := o.Link(oid4vci.OfferScheme)
		if err != nil {
			t.Fatal(err)
		}
		if again, _, err := oid4vci.ParseOfferLink(link); err != nil || !reflect.DeepEqual(again, o) {
			t.Fatalf("%s: %+v %v", raw, again, err)
		}
	})
}

func FuzzParseDetails(f *testing.F) {
	f.Add([]byte(`[{"type":"openid_credential","credential_configuration_id":"a","claims":[{"path":["x",null,0]}]}]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := oid4vci.ParseDetails(raw, issuerURL)
		if err != nil || d == nil {
			return
		}
		again, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := oid4vci.ParseDetails(again, issuerURL); err != nil && len(again) <= oid4vci.MaxDetailsBytes {
			t.Fatalf("%s is read and %s not: %v", raw, again, err)
		}
	})
}
