package issuer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// States of an authorization request in the store.
const (
	authorizationOpen   = 0
	authorizationCoded  = 1 // a code was given for it
	authorizationTaken  = 2 // the code was redeemed
	authorizationDenied = 3
)

// Push takes an authorization request (RFC 9126). It refuses by the rules of package oauth, and of
// package oid4vci for what is asked for.
func (s *Service) Push(ctx context.Context, form oauth.Form, proofs *Proofs) (*oauth.PushedResponse, error) {
	if _, err := s.exchanging(); err != nil {
		return nil, err
	}
	c, err := s.identify(ctx, proofs, "par", form.Get("client_id"))
	if err != nil {
		return nil, err
	}
	req, err := oauth.ParseAuthorizationRequest(form)
	if err != nil {
		return nil, err
	}
	switch {
	case c.jkt == "":
		c.jkt = req.DPoPKey
	case req.DPoPKey != "" && req.DPoPKey != c.jkt:
		return nil, hufu.Refuse(oauth.RuleDPoP, "dpop_jkt is another key than the proof's")
	}
	ids, identified, err := s.requested(ctx, req.Scope, req.Details)
	if err != nil {
		return nil, err
	}
	encoded, err := encodeIDs(ids)
	if err != nil {
		return nil, err
	}
	if c.attested && c.wallet == "" {
		c.wallet = c.client // the one name that its provider vouches for
	}
	secret, id, err := s.secret()
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	var refused error
	err = s.store.Write(ctx, func(t *database.Tx) error {
		if refused = useUp(ctx, t, c.spend, now); refused != nil {
			return notRefusal(refused)
		}
		var offer []byte
		if req.IssuerState != "" {
			offer, refused = s.offerOfState(ctx, t, req.IssuerState, ids, now)
			if refused != nil {
				return notRefusal(refused)
			}
		}
		kept := *req
		kept.IssuerState = "" // it opens the offer, and is not needed again
		_, err := t.ExecContext(ctx, `INSERT INTO authorizations (id, request, wallet, attested, jkt, configurations, identified, offer, until)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, id, kept.Form().Encode(), c.wallet, flag(c.attested), c.jkt, encoded, flag(identified), offer,
			now.Add(requestLife).Unix())
		return err
	})
	if err = errors.Join(refused, err); err != nil {
		return nil, err
	}
	out := &oauth.PushedResponse{RequestURI: oauth.RequestURIPrefix + secret, ExpiresIn: int64(requestLife / time.Second)}
	return out, s.sweep(ctx, now)
}

// notRefusal is nil for a refusal, so that the change it stands in is made, and the error itself for
// any other.
func notRefusal(err error) error {
	if hufu.RuleOf(err) != "" {
		return nil
	}
	return err
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// offerOfState finds the open offer that an issuer_state came with.
func (s *Service) offerOfState(ctx context.Context, t *database.Tx, state string, ids []string, now time.Time) (id []byte, err error) {
	var offered string
	err = t.QueryRowContext(ctx, "SELECT id, configurations FROM offers WHERE issuer_state = ? AND state = ? AND until > ?",
		digest(state), offerOpen, now.Unix()).Scan(&id, &offered)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, hufu.Refuse(oauth.RuleRequest, "issuer_state is of no offer that can be taken")
	}
	if err != nil {
		return nil, err
	}
	configurations, err := decodeIDs(offered)
	if err == nil && slices.ContainsFunc(ids, func(id string) bool { return !slices.Contains(configurations, id) }) {
		err = hufu.Refuse(oauth.RuleScope, "the offer is of other credentials")
	}
	return id, err
}

// requested is the configurations that a request asks for by scope and authorization_details
// (OpenID4VCI 1.0 §5.1). identified says that authorization_details were used.
func (s *Service) requested(ctx context.Context, scope []string, raw []byte) (ids []string, identified bool, err error) {
	details, err := oid4vci.ParseDetails(raw, s.exchange.URL)
	if err != nil {
		return nil, false, err
	}
	for _, d := range details {
		if err := s.known(ctx, []string{d.ConfigurationID}); err != nil {
			if hufu.RuleOf(err) == oid4vci.RuleConfiguration {
				err = hufu.Refuse(oauth.RuleDetails, "no such credential configuration")
			}
			return nil, false, err
		}
		ids = append(ids, d.ConfigurationID)
	}
	if details != nil {
		return ids, true, nil
	}
	for _, id := range scope {
		c, err := s.configuration(ctx, id)
		if err != nil {
			return nil, false, err
		}
		if c != nil && !slices.Contains(ids, id) { // unknown scopes are ignored (§5.1.2)
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil, false, hufu.Refuse(oauth.RuleScope, "nothing that is asked for is issued here")
	}
	return ids, false, nil
}

// Visit is what a person's browser shows of an authorization request.
type Visit struct {
	Client         string // client_id: whatever the wallet says of itself
	Wallet         string // the wallet's name, if its provider vouches for it
	Destination    string // where the browser goes with the answer
	Configurations []*Configuration
	SignedIn       bool
	Locales        []string // the languages that the wallet wishes for, the best first

	id      []byte
	request *oauth.AuthorizationRequest
	offer   []byte
	person  []byte
}

// Visit opens an authorization request in a browser, once: the first browser that comes is given a
// cookie, and only with it is there a second time. It refuses by [RuleVisit].
func (s *Service) Visit(ctx context.Context, clientID, requestURI, cookie string) (v *Visit, newCookie string, err error) {
	if _, err := s.exchanging(); err != nil {
		return nil, "", err
	}
	secret, id, err := s.secret()
	if err != nil {
		return nil, "", err
	}
	now := s.cfg.Now()
	err = s.store.Write(ctx, func(t *database.Tx) error {
		if cookie == "" {
			r, err := t.ExecContext(ctx, "UPDATE authorizations SET browser = ?, until = ? WHERE id = ? AND browser IS NULL AND state = ? AND until > ?",
				id, now.Add(visitLife).Unix(), requestID(requestURI), authorizationOpen, now.Unix())
			if err != nil {
				return err
			}
			if n, err := r.RowsAffected(); err != nil || n != 1 {
				return errors.Join(err, errVisit)
			}
			cookie, newCookie = secret, secret
		}
		if v, err = s.visit(ctx, t, requestURI, cookie, now); err == nil && v.Client != clientID {
			err = errVisit // and nothing changes: the request stays for whoever comes with it whole
		}
		return err
	})
	if err != nil {
		return nil, "", err
	}
	if v.Configurations, err = s.described(ctx, v.Configurations); err != nil {
		return nil, "", err
	}
	return v, newCookie, nil
}

var errVisit = hufu.Refuse(RuleVisit, "no such request, or it is over or open in another browser")

func requestID(requestURI string) []byte {
	secret, _ := strings.CutPrefix(requestURI, oauth.RequestURIPrefix)
	return digest(secret)
}

// visit reads an authorization request that is open in the browser with the cookie. Of the
// configurations it sets the identifiers alone.
func (s *Service) visit(ctx context.Context, t *database.Tx, requestURI, cookie string, now time.Time) (*Visit, error) {
	v := &Visit{id: requestID(requestURI)}
	var request, ids string
	err := t.QueryRowContext(ctx, `SELECT request, wallet, configurations, offer, person FROM authorizations
		WHERE id = ? AND browser = ? AND state = ? AND until > ?`, v.id, digest(cookie), authorizationOpen, now.Unix()).Scan(
		&request, &v.Wallet, &ids, &v.offer, &v.person)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errVisit
	}
	if err != nil {
		return nil, err
	}
	form, err := oauth.ParseForm(request)
	if err != nil {
		return nil, err
	}
	if v.request, err = oauth.ParseAuthorizationRequest(form); err != nil {
		return nil, err
	}
	list, err := decodeIDs(ids)
	if err != nil {
		return nil, err
	}
	for _, id := range list {
		v.Configurations = append(v.Configurations, &Configuration{ID: id})
	}
	v.Client, v.Destination, v.SignedIn = v.request.ClientID, v.request.RedirectURI, v.person != nil
	v.Locales = strings.Fields(v.request.Locales)
	return v, nil
}

// described fills in what the ledger says of configurations.
func (s *Service) described(ctx context.Context, list []*Configuration) ([]*Configuration, error) {
	for i, c := range list {
		full, err := s.configuration(ctx, c.ID)
		if err != nil {
			return nil, err
		}
		if full == nil {
			return nil, errVisit
		}
		list[i] = full
	}
	return list, nil
}

// SignIn signs a person in to the request that is open in a browser. It refuses by [RuleVisit],
// [RuleSignIn] and [RuleOfferFor].
func (s *Service) SignIn(ctx context.Context, requestURI, cookie, residentNumber, passcode string) error {
	if _, err := s.exchanging(); err != nil {
		return err
	}
	now := s.cfg.Now()
	var ref PersonRef // of nobody, for what is no number
	if len(residentNumber) <= maxPasscode {
		ref = s.Ref(strings.ToUpper(strings.TrimSpace(residentNumber)))
	}
	var v *Visit
	var hash []byte
	over := false
	err := s.store.Write(ctx, func(t *database.Tx) (err error) {
		if v, err = s.visit(ctx, t, requestURI, cookie, now); err != nil {
			return err
		}
		var tries int
		if err := t.QueryRowContext(ctx, "UPDATE authorizations SET tries = tries + 1 WHERE id = ? RETURNING tries", v.id).Scan(&tries); err != nil {
			return err
		}
		if over = tries > maxSignInTries; over {
			_, err = t.ExecContext(ctx, "UPDATE authorizations SET state = ? WHERE id = ?", authorizationDenied, v.id)
			return err
		}
		hash, err = countTry(ctx, t, ref, now)
		return err
	})
	switch {
	case err != nil:
		return err
	case over:
		return errVisit
	}
	if err := s.checkPasscode(ctx, hash, passcode); err != nil {
		return err
	}
	return s.store.Write(ctx, func(t *database.Tx) error {
		if v.offer != nil {
			var person []byte
			err := t.QueryRowContext(ctx, "SELECT person FROM offers WHERE id = ?", v.offer).Scan(&person)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			if person != nil && string(person) != string(ref[:]) {
				return hufu.Refuse(RuleOfferFor, "the offer is made out to somebody else")
			}
		}
		if _, err := t.ExecContext(ctx, "UPDATE passcodes SET tries = 0, locked = 0 WHERE person = ?", ref[:]); err != nil {
			return err
		}
		_, err := t.ExecContext(ctx, "UPDATE authorizations SET person = ? WHERE id = ? AND browser = ? AND state = ?", ref[:], v.id, digest(cookie), authorizationOpen)
		return err
	})
}

// Consent ends the request that is open in a browser with the signed-in person's answer, and returns
// where the browser goes. It refuses by [RuleVisit].
func (s *Service) Consent(ctx context.Context, requestURI, cookie string, allow bool) (redirect string, err error) {
	x, err := s.exchanging()
	if err != nil {
		return "", err
	}
	code, id, err := s.secret()
	if err != nil {
		return "", err
	}
	now := s.cfg.Now()
	var v *Visit
	answer := &oauth.AuthorizationResponse{Issuer: x.URL}
	err = s.store.Write(ctx, func(t *database.Tx) (err error) {
		if v, err = s.visit(ctx, t, requestURI, cookie, now); err != nil {
			return err
		}
		switch {
		case !allow:
			answer.Error, answer.Description = "access_denied", "the person said no"
		case !v.SignedIn:
			return errVisit
		default:
			if err := takeOffer(ctx, t, v.offer, now); hufu.RuleOf(err) == RuleOffer {
				answer.Error, answer.Description = "access_denied", "the offer was taken or has expired"
			} else if err != nil {
				return err
			}
		}
		if answer.Error != "" {
			_, err = t.ExecContext(ctx, "UPDATE authorizations SET state = ?, until = ? WHERE id = ?", authorizationDenied, now.Unix(), v.id)
			return err
		}
		answer.Code = code
		_, err = t.ExecContext(ctx, "UPDATE authorizations SET state = ?, code = ?, browser = NULL, until = ? WHERE id = ?",
			authorizationCoded, id, now.Add(codeLife).Unix(), v.id)
		return err
	})
	if err != nil {
		return "", err
	}
	answer.State = v.request.State
	return answer.URL(v.request.RedirectURI), nil
}

// takeOffer marks an offer as taken, for one taker; nil is no offer. One that is held stays as long as
// issuance may wait. It refuses by [RuleOffer].
func takeOffer(ctx context.Context, t *database.Tx, id []byte, now time.Time) error {
	if id == nil {
		return nil
	}
	r, err := t.ExecContext(ctx, `UPDATE offers SET state = ?, until = CASE WHEN held = 0 THEN until ELSE ? END
		WHERE id = ? AND state = ? AND until > ?`, offerTaken, now.Add(deferralLife).Unix(), id, offerOpen, now.Unix())
	if err != nil {
		return err
	}
	n, err := r.RowsAffected()
	if err == nil && n != 1 {
		err = hufu.Refuse(RuleOffer, "the offer was taken or has expired")
	}
	if err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	return nil
}
