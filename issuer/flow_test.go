package issuer_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/mdoc"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// Every grant, with and without a bound key, in every format and by both kinds of names.
func TestIssuanceOverHTTP(t *testing.T) {
	o := openOffice(t)
	who := adult(t, o.people)
	passcode := o.passcode(who)
	for _, grant := range []string{"code", "pre", "pre with tx_code"} {
		for _, dpop := range []bool{true, false} {
			for _, configuration := range []string{residentJWT, residentX5C, residentMDoc} {
				for _, identified := range []bool{true, false} {
					t.Run(fmt.Sprintf("%s/dpop=%t/%s/identified=%t", grant, dpop, configuration, identified), func(t *testing.T) {
						o := *o
						o.TB = t
						p := o.phone(dpop)
						var token *oauth.TokenResponse
						details := mustDetails(t, configuration)
						if grant == "code" {
							a := p.pushed(func(r *oauth.AuthorizationRequest) {
								if r.Scope = []string{configuration}; identified {
									r.Scope, r.Details = nil, details
								}
							})
							token = p.token(p.redeem(p.browser().agree(p.authorizationURL(a), who, passcode)))
						} else {
							token = p.token(p.take(o.preAuthorized(who, grant != "pre", configuration), func(r *oauth.TokenRequest) {
								if identified {
									r.Details = details
								}
							}))
						}
						if (token.Type == oauth.TypeDPoP) != dpop {
							t.Fatal("a token of type ", token.Type)
						}
						req := p.request(configuration, 3)
						if identified {
							got, err := oid4vci.ParseDetails(token.Details, o.url)
							if err != nil || len(got) != 1 || len(got[0].Identifiers) != 1 {
								t.Fatal(got, err)
							}
							req.ConfigurationID, req.Identifier = "", got[0].Identifiers[0]
						}
						a := p.json("/credential", req, token.AccessToken)
						a.ok(t, http.StatusOK, nil)
						r, err := oid4vci.ParseCredentialResponse(a.body)
						if err != nil || len(r.Credentials) != 3 {
							t.Fatal(err)
						}
						for _, c := range r.Credentials {
							o.holds(c.Credential, configuration, who.Name)
						}
						p.json("/notification", oid4vci.Notification{ID: r.NotificationID, Event: oid4vci.EventAccepted}, token.AccessToken).ok(t, http.StatusNoContent, nil)
					})
				}
			}
		}
	}
}

func mustDetails(t *testing.T, configurations ...string) []byte {
	t.Helper()
	raw := "["
	for i, c := range configurations {
		if i > 0 {
			raw += ","
		}
		raw += `{"type":"openid_credential","credential_configuration_id":"` + c + `"}`
	}
	return []byte(raw + "]")
}

// holds checks a credential as its holder would, and that it is about somebody.
func (o *office) holds(credential, configuration, name string) {
	o.Helper()
	authorities := func(did hufu.DID, _ time.Time) ([]keys.PublicKey, error) {
		if did != o.cfg.DID {
			o.Fatal("signed for ", did)
		}
		return []keys.PublicKey{o.authority.Public()}, nil
	}
	if configuration == residentMDoc {
		c, err := mdoc.Parse(credential)
		if err != nil {
			o.Fatal(err)
		}
		v, err := c.Verify(mdoc.VerifyParams{Now: o.now, DocType: issuer.TypeResidentID, Authorities: authorities})
		if err != nil {
			o.Fatal(err)
		}
		claims, err := v.Claims()
		if err != nil || claims["name"] != name || v.Issuer != o.cfg.DID {
			o.Fatal(claims, err)
		}
		return
	}
	v, err := sdjwt.Verify(credential, sdjwt.VerifyParams{
		Now: o.now, ResolveKey: func(_, kid, _ string, _ int64) (keys.PublicKey, error) {
			if kid != o.cfg.DID.URL("assert-1") || configuration == residentX5C {
				o.Fatal("kid ", kid)
			}
			return o.cfg.Signer.Public(), nil
		}, Authorities: authorities,
	})
	if err != nil {
		o.Fatal(err)
	}
	if v.Claims["name"] != name || !strings.HasPrefix(v.Status.URI, o.origin.URL) {
		o.Error("another's credential")
	}
}
