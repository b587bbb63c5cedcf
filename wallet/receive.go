package wallet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// DefaultCopies is how many copies a wallet asks for when nobody says.
const DefaultCopies = 8

// Acceptance is what a person agrees to when taking up an offer.
type Acceptance struct {
	TxCode  string
	Copies  int  // of each credential; 0: [DefaultCopies]. The issuer may have a lower bound.
	Foreign bool // take credentials of an issuer that the ledger does not know

	// SignIn takes the person's browser to an address and returns the address, beginning with
	// RedirectURI, that it comes back to. Only needed where [Invitation.SignIn] says so.
	SignIn      func(ctx context.Context, address string) (back string, err error)
	RedirectURI string
}

// Received is what came of taking up an offer.
type Received struct {
	Credentials []Stock // what was taken
	Copies      int
	Deferred    int // credentials that the issuer gives later: see [Wallet.Collect]
}

// Receive takes up an offer: it gets a token, proves new keys, one for each copy, checks what comes against
// the ledger and tells the issuer. What it got before an error it keeps. The log has it all.
func (w *Wallet) Receive(ctx context.Context, l Ledger, inv *Invitation, a Acceptance) (*Received, error) {
	out, err := w.receive(ctx, l, inv, a)
	entry := logged{Time: w.Now().Unix(), Issuer: inv.Issuer}
	if out != nil {
		entry.Got = uint64(out.Copies)
	}
	if err != nil {
		return out, w.logRefusal(err, entry)
	}
	return out, w.record(entry)
}

func (w *Wallet) receive(ctx context.Context, l Ledger, inv *Invitation, a Acceptance) (*Received, error) {
	s, err := w.newSession(inv.issuer, inv.server, nil)
	if err != nil {
		return nil, err
	}
	maps.Copy(s.nonces, inv.nonces)
	if err := s.authorize(ctx, inv, a); err != nil {
		return nil, err
	}
	copies := a.Copies
	if copies <= 0 {
		copies = DefaultCopies
	}
	src := source{
		Issuer: inv.Issuer, Server: inv.server.Issuer, ClientID: w.ClientID, Refresh: s.refresh, Copies: uint64(copies), Foreign: a.Foreign,
	}
	for _, o := range inv.Credentials {
		src.Configs = append(src.Configs, o.Configuration)
	}
	if secret, ok := s.dpop.(keys.Secret); ok {
		src.DPoP = secret.Secret()
	}
	var number uint64
	w.mu.Lock()
	err = w.change(func(c *contents) error {
		c.Sources = append(c.Sources, src)
		number = uint64(len(c.Sources))
		return nil
	})
	w.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return w.obtain(ctx, l, s, number, src)
}

// obtain requests every credential of a source, and takes what comes.
func (w *Wallet) obtain(ctx context.Context, l Ledger, s *session, number uint64, src source) (*Received, error) {
	out := &Received{}
	// Copies of different types in one format share keys, so that they can be shown together as one holder's.
	holders := map[string][]keys.PublicKey{}
	seen := map[string]int{}
	var problems []error
	for _, id := range src.Configs {
		config := s.issuer.Configurations[id]
		if config == nil {
			problems = append(problems, hufu.Refuse(oid4vci.RuleConfiguration, "the issuer does not have that credential any more"))
			continue
		}
		kind := config.Format + " " + config.VCT + config.DocType
		group := fmt.Sprint(config.Format, seen[kind])
		seen[kind]++
		if holders[group] == nil {
			var err error
			if holders[group], err = w.newHolders(config, min(int(src.Copies), s.issuer.BatchSize(), oid4vci.MaxProofs)); err != nil {
				return out, err
			}
		}
		for _, identifier := range s.identifiers(id) {
			ask := credentialCall{id: id, config: config, identifier: identifier, holders: holders[group]}
			if err := w.obtainOne(ctx, l, s, number, src, ask, out); err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", id, err))
			}
		}
	}
	return out, joined(problems)
}

// joined keeps one error as it is, so that it is the refusal that it was.
func joined(problems []error) error {
	if len(problems) == 1 {
		return problems[0]
	}
	return errors.Join(problems...)
}

// newHolders makes the keys for the copies of a format.
func (w *Wallet) newHolders(config *oid4vci.CredentialConfig, n int) (out []keys.PublicKey, err error) {
	suite := w.holdable(config)
	if suite == nil {
		return nil, hufu.Refuse(RuleNoFormat, "the credential is in a format, or with key proofs, that the wallet has not")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	err = w.change(func(c *contents) (err error) {
		out, err = w.generate(c, suite, n)
		return err
	})
	return out, err
}

// obtainOne requests one credential in as many copies as there are keys.
func (w *Wallet) obtainOne(ctx context.Context, l Ledger, s *session, number uint64, src source, ask credentialCall, out *Received) error {
	response, err := s.credential(ctx, ask)
	if err != nil {
		return err
	}
	if response.Deferred() {
		out.Deferred++
		return w.promise(s, number, ask, response)
	}
	taken, err := w.take(ctx, l, response, ask.config, number, src.Foreign)
	s.notify(ctx, response.NotificationID, err)
	if err != nil {
		return err
	}
	w.account(taken, out)
	return nil
}

// account adds copies to what was received.
func (w *Wallet) account(taken []heldCopy, out *Received) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var kinds []hufu.Digest
	for i := range taken {
		if !slices.Contains(kinds, taken[i].Kind) {
			kinds = append(kinds, taken[i].Kind)
		}
	}
	out.Copies += len(taken)
	out.Credentials = append(out.Credentials, w.held.stock(w.Now(), kinds)...)
}

// take checks the credentials of a response and keeps them, all or none.
func (w *Wallet) take(ctx context.Context, l Ledger, r *oid4vci.CredentialResponse, config *oid4vci.CredentialConfig, number uint64, foreign bool) ([]heldCopy, error) {
	var texts []string
	for _, c := range r.Credentials {
		texts = append(texts, c.Credential)
	}
	published, err := w.strangersKeys(ctx, texts, foreign)
	if err != nil {
		return nil, err
	}
	now := w.Now()
	var taken []heldCopy
	err = l.Read(ctx, func(v client.View) error {
		e := newExaminer(v, now)
		e.foreign, e.fetched = foreign, published
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.change(func(c *contents) (err error) {
			if taken, err = c.acceptAll(texts, e, number); err != nil {
				return err
			}
			for i := range taken {
				if taken[i].format() != config.Format || taken[i].Type != config.VCT+config.DocType {
					return hufu.Refuse(RuleNotOffered, "the issuer gave a credential of another format or type than was asked for")
				}
			}
			return nil
		})
	})
	if foreign || hufu.RuleOf(err) != RuleUnknownIssuer {
		return taken, err
	}
	return nil, hufu.Refuse(RuleStranger, "the ledger does not know the issuer of the credentials: %v", err)
}

// strangersKeys gets the keys of issuers that publish them at their address.
func (w *Wallet) strangersKeys(ctx context.Context, texts []string, foreign bool) (map[string][]keyOfIssuer, error) {
	out := map[string][]keyOfIssuer{}
	for _, text := range texts {
		if !foreign || isMdoc(text) {
			continue
		}
		cred, err := sdjwt.Parse(text)
		if err != nil {
			return nil, err
		}
		_, known := out[cred.Issuer]
		if known || !strings.HasPrefix(cred.Issuer, "http") || cred.Certified() {
			continue
		}
		if out[cred.Issuer], err = w.fetchIssuerKeys(ctx, cred.Issuer); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// promise remembers credentials that come later.
func (w *Wallet) promise(s *session, number uint64, ask credentialCall, r *oid4vci.CredentialResponse) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.change(func(c *contents) error {
		p := pending{
			Source: number, Config: ask.id, Transaction: r.TransactionID, Token: s.token, Type: s.tokenType(), After: w.Now().Unix() + max(r.Interval, 1),
		}
		for _, key := range ask.holders {
			if n, ok := c.number(key); ok {
				p.Keys = append(p.Keys, uint64(n))
			}
		}
		c.Pending = append(c.Pending, p)
		return nil
	})
}
