package oid4vci

import (
	"encoding/json"
	"net/url"
	"unicode/utf8"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/protocol/oauth"
)

// OfferScheme is the address of a wallet that nothing else is known of (§12.1.1).
const OfferScheme = "openid-credential-offer://"

// Limits on offers.
const (
	MaxOfferBytes     = 16 << 10 // an offer is scanned or clicked
	MaxConfigurations = 64       // in one offer
)

// Offer invites a wallet to get credentials (§4.1.1).
type Offer struct {
	CredentialIssuer string
	ConfigurationIDs []string
	Code             *CodeGrant          // grant authorization_code, or nil
	PreAuthorized    *PreAuthorizedGrant // grant pre-authorized_code, or nil
}

// CodeGrant says that the person is to sign in.
type CodeGrant struct {
	IssuerState         string `json:"issuer_state,omitempty"`
	AuthorizationServer string `json:"authorization_server,omitempty"`
}

// PreAuthorizedGrant says that the issuer knows already who is asking.
type PreAuthorizedGrant struct {
	Code                string  `json:"pre-authorized_code"`
	TxCode              *TxCode `json:"tx_code,omitempty"`
	AuthorizationServer string  `json:"authorization_server,omitempty"`
}

// TxCode says that the person has got a code in another way, which the wallet is to ask for.
type TxCode struct {
	InputMode   string `json:"input_mode,omitempty"` // "numeric", which is the default, or "text"
	Length      int    `json:"length,omitempty"`
	Description string `json:"description,omitempty"`
}

// The input modes of a [TxCode].
const (
	InputNumeric = "numeric"
	InputText    = "text"
)

type offerJSON struct {
	CredentialIssuer string                     `json:"credential_issuer"`
	ConfigurationIDs []string                   `json:"credential_configuration_ids"`
	Grants           map[string]json.RawMessage `json:"grants,omitempty"`
}

// MarshalJSON writes the offer.
func (o *Offer) MarshalJSON() ([]byte, error) {
	j := offerJSON{CredentialIssuer: o.CredentialIssuer, ConfigurationIDs: o.ConfigurationIDs, Grants: map[string]json.RawMessage{}}
	put := func(name string, grant any) error {
		raw, err := jws.MarshalJSON(grant)
		j.Grants[name] = raw
		return err
	}
	if o.Code != nil {
		if err := put(oauth.GrantCode, o.Code); err != nil {
			return nil, err
		}
	}
	if o.PreAuthorized != nil {
		if err := put(oauth.GrantPreAuthorized, o.PreAuthorized); err != nil {
			return nil, err
		}
	}
	return jws.MarshalJSON(j)
}

// ParseOffer reads an offer. It refuses with [RuleOffer]. Nothing in it says who made it.
func ParseOffer(raw []byte) (*Offer, error) {
	fail := func(format string, args ...any) (*Offer, error) {
		return nil, hufu.Refuse(RuleOffer, format, args...)
	}
	var j offerJSON
	if err := encoding.UnmarshalJSON(raw, MaxOfferBytes, &j); err != nil {
		return fail("%v", err)
	}
	if err := oauth.CheckIssuer(j.CredentialIssuer); err != nil {
		return fail("credential_issuer: %v", err)
	}
	if n := len(j.ConfigurationIDs); n == 0 || n > MaxConfigurations {
		return fail("%d credential_configuration_ids, not 1 to %d", n, MaxConfigurations)
	}
	seen := map[string]bool{}
	for _, id := range j.ConfigurationIDs {
		if id == "" || len(id) > maxIdentifier || seen[id] {
			return fail("a credential configuration twice, or without a name")
		}
		seen[id] = true
	}
	o := &Offer{CredentialIssuer: j.CredentialIssuer, ConfigurationIDs: j.ConfigurationIDs}
	if raw, there := j.Grants[oauth.GrantCode]; there {
		if json.Unmarshal(raw, &o.Code) != nil || o.Code == nil || len(o.Code.IssuerState) > maxIssuerState {
			return fail("the grant authorization_code is malformed")
		}
	}
	if raw, there := j.Grants[oauth.GrantPreAuthorized]; there {
		if err := o.parsePreAuthorized(raw); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// Limits on the parts of an offer.
const (
	maxIssuerState   = 1 << 10
	maxCode          = 4 << 10
	maxTxCodeLength  = 64  // characters: nobody types more
	maxTxDescription = 300 // characters (§4.1.1)
)

func (o *Offer) parsePreAuthorized(raw json.RawMessage) error {
	var there struct {
		TxCode json.RawMessage `json:"tx_code"`
	}
	if json.Unmarshal(raw, &o.PreAuthorized) != nil || json.Unmarshal(raw, &there) != nil || o.PreAuthorized == nil {
		return hufu.Refuse(RuleOffer, "the grant pre-authorized_code is malformed")
	}
	g := o.PreAuthorized
	if g.Code == "" || len(g.Code) > maxCode {
		return hufu.Refuse(RuleOffer, "no pre-authorized_code")
	}
	if there.TxCode == nil {
		return nil
	}
	c := g.TxCode
	if c == nil || c.Length < 0 || c.Length > maxTxCodeLength || utf8.RuneCountInString(c.Description) > maxTxDescription ||
		c.InputMode != "" && c.InputMode != InputNumeric && c.InputMode != InputText {
		return hufu.Refuse(RuleOffer, "tx_code is malformed")
	}
	return nil
}

// Link is the offer by value as a link for a wallet (§4.1.2). wallet is [OfferScheme] or a wallet's own
// address.
func (o *Offer) Link(wallet string) (string, error) {
	raw, err := o.MarshalJSON()
	if err != nil {
		return "", err
	}
	return oauth.Redirect(wallet, oauth.Form{"credential_offer": {string(raw)}}), nil
}

// ReferenceLink is a link to an offer that is fetched from an address (§4.1.3).
func ReferenceLink(wallet, address string) string {
	return oauth.Redirect(wallet, oauth.Form{"credential_offer_uri": {address}})
}

// ParseOfferLink reads a link of any scheme, or an address of https, with an offer: the offer itself, or
// where to fetch it. It refuses with [RuleOffer].
func ParseOfferLink(link string) (offer *Offer, address string, err error) {
	if len(link) > 3*MaxOfferBytes {
		return nil, "", hufu.Refuse(RuleOffer, "a link of more than %d bytes", 3*MaxOfferBytes)
	}
	u, err := url.Parse(link)
	if err != nil || u.Scheme == "" {
		return nil, "", hufu.Refuse(RuleOffer, "not a link")
	}
	f, err := oauth.ParseForm(u.RawQuery)
	if err != nil {
		return nil, "", hufu.Refuse(RuleOffer, "%v", err)
	}
	value, address := f.Get("credential_offer"), f.Get("credential_offer_uri")
	switch {
	case (value == "") == (address == ""):
		return nil, "", hufu.Refuse(RuleOffer, "a link has credential_offer or credential_offer_uri")
	case value != "":
		offer, err = ParseOffer([]byte(value))
		return offer, "", err
	}
	if err := oauth.CheckEndpoint(address); err != nil {
		return nil, "", hufu.Refuse(RuleOffer, "credential_offer_uri: %v", err)
	}
	return nil, address, nil
}
