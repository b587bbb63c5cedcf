package wallet

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// Invitation is a credential offer that was looked into. Nothing has been asked for yet.
type Invitation struct {
	Issuer      string   // the Credential Issuer Identifier, a URL
	Name        string   // what the issuer calls itself
	DID         hufu.DID // who signed the issuer's metadata, checked on the ledger; "" when nobody did that it knows
	Credentials []Offered
	TxCode      *oid4vci.TxCode // what the person has to type in; nil: nothing
	SignIn      bool            // the person has to sign in at the issuer

	offer  *oid4vci.Offer
	issuer *oid4vci.IssuerMetadata
	server *oauth.ServerMetadata
	nonces nonces
}

// Offered is one credential on offer that the wallet can hold.
type Offered struct {
	Configuration string
	Format        string
	Type          string
	Name          string
}

// Invited looks into a link with a credential offer (OpenID4VCI 1.0 §4.1), by value or by reference.
func (w *Wallet) Invited(ctx context.Context, l Ledger, link string) (*Invitation, error) {
	offer, address, err := oid4vci.ParseOfferLink(link)
	if err != nil {
		return nil, err
	}
	seen := nonces{}
	if offer == nil {
		a, err := w.get(ctx, address, mediaJSON, oid4vci.MaxOfferBytes)
		if err != nil {
			return nil, err
		}
		seen.note(address, a)
		if offer, err = oid4vci.ParseOffer(a.body); err != nil {
			return nil, err
		}
		if err := stays(address, offer.CredentialIssuer); err != nil {
			return nil, err
		}
	}
	inv := &Invitation{Issuer: offer.CredentialIssuer, offer: offer, nonces: seen}
	if inv.issuer, inv.DID, err = w.issuerMetadata(ctx, l, inv.Issuer); err != nil {
		return nil, err
	}
	inv.Name = displayName(inv.issuer.Display)
	if err := inv.choose(w); err != nil {
		return nil, err
	}
	if inv.server, err = w.serverMetadata(ctx, inv.issuer, namedServer(offer)); err != nil {
		return nil, err
	}
	switch {
	case offer.PreAuthorized != nil && inv.server.Offers(oauth.GrantPreAuthorized):
		inv.TxCode = offer.PreAuthorized.TxCode
	case inv.server.AuthorizationEndpoint != "" && (offer.Code != nil || offer.PreAuthorized == nil):
		inv.SignIn = true
	default:
		return nil, hufu.Refuse(RuleNoFormat, "the issuer's authorization server has no grant that the offer and the wallet have")
	}
	return inv, nil
}

// choose keeps the credentials that the wallet can hold.
func (inv *Invitation) choose(w *Wallet) error {
	for _, id := range inv.offer.ConfigurationIDs {
		c := inv.issuer.Configurations[id]
		if c == nil {
			return hufu.Refuse(oid4vci.RuleOffer, "a credential configuration that the issuer does not have")
		}
		if w.holdable(c) == nil {
			continue
		}
		o := Offered{Configuration: id, Format: c.Format, Type: c.VCT + c.DocType, Name: id}
		if c.Metadata != nil {
			if name := displayName(c.Metadata.Display); name != "" {
				o.Name = name
			}
		}
		inv.Credentials = append(inv.Credentials, o)
	}
	if len(inv.Credentials) == 0 {
		return hufu.Refuse(RuleNoFormat, "nothing that is offered is in a format and with key proofs that the wallet has")
	}
	return nil
}

// holdable is the suite of the keys that copies of a configuration can be bound to: the wallet's, or
// P-256, which every issuer knows; nil when there is none.
func (w *Wallet) holdable(c *oid4vci.CredentialConfig) *keys.Suite {
	if c.Format != dcql.FormatSDJWT && c.Format != dcql.FormatMdoc {
		return nil
	}
	proofs := c.ProofTypes[oid4vci.ProofJWT]
	if proofs == nil || proofs.Required != nil && w.Provider == nil {
		return nil
	}
	for _, s := range []*keys.Suite{w.Suite, keys.P256} {
		if slices.Contains(proofs.Algs, s.JOSEAlg()) && (s == keys.P256 || c.Format != dcql.FormatMdoc) {
			return s
		}
	}
	return nil
}

// displayName is the name in English, else in the first language.
func displayName(display []oid4vci.Display) string {
	name := ""
	for _, d := range display {
		if name == "" || strings.HasPrefix(d.Locale, "en") {
			name = d.Name
		}
	}
	const most = 120 // characters of a stranger's name for itself
	if utf8.RuneCountInString(name) > most {
		name = string([]rune(name)[:most]) + "…"
	}
	return Plain(name)
}

// issuerMetadata gets an issuer's metadata (§12.2), signed if it has them signed by somebody on the ledger.
func (w *Wallet) issuerMetadata(ctx context.Context, l Ledger, issuer string) (*oid4vci.IssuerMetadata, hufu.DID, error) {
	m, by, err := w.fetchMetadata(ctx, l, issuer)
	if err != nil {
		return nil, "", err
	}
	addresses := append([]string{m.CredentialEndpoint, m.NonceEndpoint, m.DeferredEndpoint, m.NotificationEndpoint}, m.AuthorizationServers...)
	return m, by, stays(issuer, addresses...)
}

func (w *Wallet) fetchMetadata(ctx context.Context, l Ledger, issuer string) (*oid4vci.IssuerMetadata, hufu.DID, error) {
	address, err := oauth.WellKnown(issuer, oid4vci.MetadataName)
	if err != nil {
		return nil, "", err
	}
	a, err := w.get(ctx, address, mediaJWT+", "+mediaJSON+";q=0.9", oid4vci.MaxMetadataBytes)
	if err != nil {
		return nil, "", err
	}
	if a.is(mediaJWT) {
		m, by, err := w.signedMetadata(ctx, l, issuer, string(a.body))
		if hufu.RuleOf(err) != oid4vci.RuleMetadata {
			return m, by, err
		}
		if a, err = w.get(ctx, address, mediaJSON, oid4vci.MaxMetadataBytes); err != nil {
			return nil, "", err
		}
	}
	m, err := oid4vci.ParseIssuerMetadata(a.body, issuer)
	return m, "", err
}

func (w *Wallet) signedMetadata(ctx context.Context, l Ledger, issuer, token string) (m *oid4vci.IssuerMetadata, by hufu.DID, err error) {
	now := w.Now()
	err = l.Read(ctx, func(v client.View) (err error) {
		m, err = oid4vci.VerifySignedMetadata(token, issuer, now, func(h jws.Header, _ string) (keys.PublicKey, error) {
			if header, there := h["x5c"]; there {
				chain, err := x5c.ParseHeader(header)
				if err != nil {
					return keys.PublicKey{}, err
				}
				leaf, err := chain.Verify(x5c.VerifyParams{
					Now: now, ClockSkew: ClockSkew, Use: x5c.CredentialSigner, Authorities: did.Authorities(v, v.Network()),
				})
				by = leaf.DID
				return leaf.Key, err
			}
			named, _, err := hufu.SplitDIDURL(h.Text("kid"))
			if err != nil {
				return keys.PublicKey{}, err
			}
			by = named
			return keyAt(v, named, h.Text("kid"), tx.PurposeAssertion, now.Unix(), RuleUnknownIssuer)
		})
		return err
	})
	return m, by, err
}

// serverMetadata gets the metadata of the authorization server that an offer names, or of the issuer's
// first (§12.2.4).
func (w *Wallet) serverMetadata(ctx context.Context, m *oid4vci.IssuerMetadata, named string) (*oauth.ServerMetadata, error) {
	server := m.CredentialIssuer
	if len(m.AuthorizationServers) > 0 {
		server = m.AuthorizationServers[0]
	}
	if named != "" {
		if named != server && !slices.Contains(m.AuthorizationServers, named) {
			return nil, hufu.Refuse(oid4vci.RuleOffer, "an authorization server that is not the issuer's")
		}
		server = named
	}
	address, err := oauth.WellKnown(server, oauth.MetadataName)
	if err != nil {
		return nil, err
	}
	a, err := w.exchange(ctx, call{method: http.MethodGet, url: address, accept: mediaJSON}, oauth.MaxMetadataBytes)
	if err != nil {
		return nil, err
	}
	if !a.ok() {
		return nil, hufu.Refuse(RuleRemote, "the authorization server's metadata are not there: status %d", a.status)
	}
	s, err := oauth.ParseServerMetadata(a.body, server)
	if err != nil {
		return nil, err
	}
	return s, stays(server, s.TokenEndpoint, s.PushedEndpoint, s.AuthorizationEndpoint, s.ChallengeEndpoint)
}

// namedServer is the authorization server that an offer names, "" when it names none.
func namedServer(o *oid4vci.Offer) string {
	switch {
	case o.PreAuthorized != nil && o.PreAuthorized.AuthorizationServer != "":
		return o.PreAuthorized.AuthorizationServer
	case o.Code != nil:
		return o.Code.AuthorizationServer
	}
	return ""
}
