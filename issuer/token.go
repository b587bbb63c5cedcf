package issuer

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// giving is what a token request came to: the leave, and what of it the access token is to be for.
type giving struct {
	caller
	grant          []byte // nil: a new one
	person         []byte
	configurations []string // of the leave
	wanted         []string // of the access token
	identified     bool     // told as authorization_details
	offer          []byte
	authorization  []byte       // id of the authorization request whose code is redeemed, or nil
	until          time.Time    // of the refresh tokens
	take           func() error // uses up what is redeemed, once nothing else can be refused; or nil
}

// reuseMemory is how long a redeemed code is remembered, so that its reuse ends what it was redeemed
// for.
const reuseMemory = 24 * time.Hour

// Token gives an access token, and a refresh token (RFC 6749 §4.1.3, §6, OpenID4VCI 1.0 §6). It refuses
// by the rules of package oauth. Proofs are checked before the grant, so that a wallet that has to try
// again with a nonce still has its code.
func (s *Service) Token(ctx context.Context, form oauth.Form, proofs *Proofs) (*oauth.TokenResponse, error) {
	x, err := s.exchanging()
	if err != nil {
		return nil, err
	}
	c, err := s.identify(ctx, proofs, "token", form.Get("client_id"))
	if err != nil {
		return nil, err
	}
	req, err := oauth.ParseTokenRequest(form)
	if err != nil {
		return nil, err
	}
	if c.jkt == "" && !x.Bearer {
		return nil, hufu.Refuse(oauth.RuleDPoP, "tokens are bound to a key here: a DPoP proof is needed")
	}
	var wanted []string
	if len(req.Details) > 0 {
		if wanted, _, err = s.requested(ctx, nil, req.Details); err != nil {
			return nil, err
		}
	}
	now := s.cfg.Now()
	var refused error
	var out *oauth.TokenResponse
	err = s.store.Write(ctx, func(t *database.Tx) error {
		if refused = useUp(ctx, t, c.spend, now); refused != nil {
			return notRefusal(refused)
		}
		var g *giving
		if g, refused = s.redeem(ctx, t, req, c, now); refused == nil {
			refused = g.narrow(wanted)
		}
		if refused == nil && g.take != nil {
			refused = g.take()
		}
		if refused != nil {
			return notRefusal(refused)
		}
		out, err = s.give(ctx, t, g, now)
		return err
	})
	if err = errors.Join(refused, err); err != nil {
		return nil, err
	}
	return out, s.sweep(ctx, now)
}

func (s *Service) redeem(ctx context.Context, t *database.Tx, req *oauth.TokenRequest, c *caller, now time.Time) (*giving, error) {
	switch req.Grant {
	case oauth.GrantPreAuthorized:
		return s.redeemOffer(ctx, t, req, c, now)
	case oauth.GrantCode:
		return s.redeemCode(ctx, t, req, c, now)
	}
	return s.redeemRefresh(ctx, t, req, c, now)
}

// narrow makes the access token one for what authorization_details ask for.
func (g *giving) narrow(wanted []string) error {
	g.wanted = g.configurations
	if wanted == nil {
		return nil
	}
	if slices.ContainsFunc(wanted, func(id string) bool { return !slices.Contains(g.configurations, id) }) {
		return hufu.Refuse(oauth.RuleDetails, "no leave was given for all of that")
	}
	g.wanted, g.identified = wanted, true
	return nil
}

var errCode = hufu.Refuse(oauth.RuleGrant, "the code is unknown, was used, or has expired")

// redeemOffer takes a pre-authorized code. Wrong transaction codes are counted; with the last that is
// allowed the offer is void.
func (s *Service) redeemOffer(ctx context.Context, t *database.Tx, req *oauth.TokenRequest, c *caller, now time.Time) (*giving, error) {
	g := &giving{caller: *c}
	var txCode []byte
	var ids string
	var tries int
	err := t.QueryRowContext(ctx, "SELECT id, tx_code, tries, person, configurations FROM offers WHERE code = ? AND state = ? AND until > ?",
		digest(req.Code), offerOpen, now.Unix()).Scan(&g.offer, &txCode, &tries, &g.person, &ids)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errCode
	}
	if err != nil {
		return nil, err
	}
	switch {
	case txCode == nil && req.HasTxCode:
		return nil, hufu.Refuse(oauth.RuleRequest, "no transaction code is asked for")
	case txCode != nil && req.TxCode == "":
		return nil, hufu.Refuse(oauth.RuleRequest, "a transaction code is asked for")
	case txCode != nil && subtle.ConstantTimeCompare(txCode, s.txCodeDigest(g.offer, req.TxCode)) != 1:
		state := offerOpen
		if tries+1 >= maxTxCodeTries {
			state = offerVoid
		}
		if _, err := t.ExecContext(ctx, "UPDATE offers SET tries = ?, state = ? WHERE id = ?", tries+1, state, g.offer); err != nil {
			return nil, err
		}
		return nil, hufu.Refuse(oauth.RuleGrant, "the transaction code is wrong")
	}
	if g.configurations, err = decodeIDs(ids); err != nil {
		return nil, err
	}
	g.take = func() error {
		if err := takeOffer(ctx, t, g.offer, now); hufu.RuleOf(err) == RuleOffer {
			return errCode
		} else if err != nil {
			return err
		}
		return nil
	}
	return g, nil
}

// redeemCode takes an authorization code. One that comes a second time ends what it was redeemed for
// (RFC 6749 §4.1.2).
func (s *Service) redeemCode(ctx context.Context, t *database.Tx, req *oauth.TokenRequest, c *caller, now time.Time) (*giving, error) {
	g := &giving{caller: *c}
	var request, ids, jkt string
	var attested bool
	var taken []byte
	var state int
	var until int64
	err := t.QueryRowContext(ctx, `SELECT id, request, attested, jkt, configurations, identified, offer, person, grant_id, state, until
		FROM authorizations WHERE code = ?`, digest(req.Code)).Scan(
		&g.authorization, &request, &attested, &jkt, &ids, &g.identified, &g.offer, &g.person, &taken, &state, &until)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, errCode
	case err != nil:
		return nil, err
	case state == authorizationTaken:
		return nil, errors.Join(revoke(ctx, t, taken), errCode)
	case state != authorizationCoded || until <= now.Unix():
		return nil, errCode
	}
	form, err := oauth.ParseForm(request)
	if err != nil {
		return nil, err
	}
	asked, err := oauth.ParseAuthorizationRequest(form)
	if err != nil {
		return nil, err
	}
	switch {
	case c.client != asked.ClientID:
		return nil, hufu.Refuse(oauth.RuleGrant, "the code is another client's")
	case attested && !c.attested:
		return nil, hufu.Refuse(oauth.RuleClient, "the wallet was attested when it asked and is not now")
	case req.RedirectURI != asked.RedirectURI:
		return nil, hufu.Refuse(oauth.RuleGrant, "redirect_uri is not the request's")
	case jkt != "" && jkt != c.jkt:
		return nil, hufu.Refuse(oauth.RuleGrant, "the code is bound to another key")
	}
	if err := oauth.VerifyChallenge(asked.Challenge, req.Verifier); err != nil {
		return nil, err
	}
	g.configurations, err = decodeIDs(ids)
	return g, err
}

// redeemRefresh takes a refresh token and with it its turn: one that comes a second time was stolen, by
// one or the other, and ends the grant (RFC 9700 §4.14.2).
func (s *Service) redeemRefresh(ctx context.Context, t *database.Tx, req *oauth.TokenRequest, c *caller, now time.Time) (*giving, error) {
	refused := hufu.Refuse(oauth.RuleGrant, "the refresh token is unknown, was used, or has expired")
	g := &giving{caller: *c}
	id := digest(req.Refresh)
	var client, jkt, ids string
	var attested, used bool
	var until int64
	err := t.QueryRowContext(ctx, `SELECT t.used, g.id, g.person, g.client, g.attested, g.jkt, g.configurations, g.identified, g.offer, g.until
		FROM tokens t JOIN grants g ON g.id = t.grant_id
		WHERE t.id = ? AND t.refresh = 1 AND t.until > ? AND g.revoked = 0`, id, now.Unix()).Scan(
		&used, &g.grant, &g.person, &client, &attested, &jkt, &ids, &g.identified, &g.offer, &until)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, refused
	case err != nil:
		return nil, err
	case used:
		return nil, errors.Join(revoke(ctx, t, g.grant), refused)
	case client != c.client && (client != "" || c.attested):
		return nil, hufu.Refuse(oauth.RuleGrant, "the refresh token is another client's")
	case attested && !c.attested:
		return nil, hufu.Refuse(oauth.RuleClient, "the wallet was attested before and is not now")
	case jkt != c.jkt:
		return nil, hufu.Refuse(oauth.RuleGrant, "the refresh token is bound to another key")
	}
	g.take = func() error {
		_, err := t.ExecContext(ctx, "UPDATE tokens SET used = 1 WHERE id = ?", id)
		return err
	}
	g.client, g.until = client, time.Unix(until, 0)
	g.configurations, err = decodeIDs(ids)
	return g, err
}

// revoke ends a grant and every token under it.
func revoke(ctx context.Context, t *database.Tx, grant []byte) error {
	_, err := t.ExecContext(ctx, "UPDATE grants SET revoked = 1 WHERE id = ?", grant)
	return err
}

// give writes the tokens of a leave, and the leave itself when it is new.
func (s *Service) give(ctx context.Context, t *database.Tx, g *giving, now time.Time) (*oauth.TokenResponse, error) {
	out := &oauth.TokenResponse{Type: oauth.TypeBearer, ExpiresIn: int64(accessLife / time.Second)}
	if g.jkt != "" {
		out.Type = oauth.TypeDPoP
	}
	if g.grant == nil {
		if err := s.record(ctx, t, g, now); err != nil {
			return nil, err
		}
	}
	ids, err := encodeIDs(g.wanted)
	if err != nil {
		return nil, err
	}
	put := func(refresh bool, until time.Time) (string, error) {
		token, id, err := s.secret()
		if err == nil {
			_, err = t.ExecContext(ctx, "INSERT INTO tokens (id, grant_id, refresh, configurations, identified, until) VALUES (?, ?, ?, ?, ?, ?)",
				id, g.grant, flag(refresh), ids, flag(g.identified), until.Unix())
		}
		return token, err
	}
	if out.AccessToken, err = put(false, now.Add(accessLife)); err != nil {
		return nil, err
	}
	if g.until.After(now) && s.exchange.RefreshLife > 0 {
		if out.RefreshToken, err = put(true, g.until); err != nil {
			return nil, err
		}
	}
	if !g.identified {
		out.Scope = strings.Join(g.wanted, " ")
		return out, nil
	}
	details := oid4vci.NewDetails(g.wanted...)
	for i := range details {
		c := Configuration{ID: details[i].ConfigurationID}
		details[i].Identifiers = []string{c.identifier()}
	}
	out.Details, err = json.Marshal(details)
	return out, err
}

// record writes a new grant, and that its code is redeemed.
func (s *Service) record(ctx context.Context, t *database.Tx, g *giving, now time.Time) error {
	ids, err := encodeIDs(g.configurations)
	if err != nil {
		return err
	}
	g.grant = make([]byte, 16)
	if _, err := io.ReadFull(s.cfg.Rand, g.grant); err != nil {
		return err
	}
	g.until = now.Add(s.exchange.RefreshLife)
	_, err = t.ExecContext(ctx, `INSERT INTO grants (id, person, client, attested, jkt, configurations, identified, offer, until)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, g.grant, g.person, g.client, flag(g.attested), g.jkt, ids, flag(g.identified), g.offer,
		max(g.until.Unix(), now.Add(accessLife).Unix()))
	if err == nil && g.authorization != nil {
		_, err = t.ExecContext(ctx, "UPDATE authorizations SET state = ?, grant_id = ?, until = ? WHERE id = ?",
			authorizationTaken, g.grant, now.Add(reuseMemory).Unix(), g.authorization)
	}
	return err
}
