package wallet

import (
	"context"
	"slices"
	"strings"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/receipt"
)

// keep keeps the receipt that came for an answer: by what the request was judged by or, where that does not do, by the ledger.
func (w *Wallet) keep(ctx context.Context, l Ledger, q *Inquiry, token string) (r *receipt.Receipt, err error) {
	f := func(v client.View) (err error) {
		r, err = w.Keep(v, q.request.State, token)
		return err
	}
	if q.stapled != nil {
		if err := f(q.stapled); err == nil {
			return r, nil
		}
	}
	return r, l.Read(ctx, f)
}

// Keep checks the receipt that came for the answer with this state, and keeps it: it must be signed by
// the key that the gate had on the ledger, and be about this request and about what was shown.
func (w *Wallet) Keep(v client.View, state, token string) (*receipt.Receipt, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := -1
	for i := range w.held.Log {
		if l := &w.held.Log[i]; l.State == state && l.Refused == "" {
			at = i
		}
	}
	if at < 0 {
		return nil, hufu.Refuse(RuleUnasked, "the wallet answered no request with this state")
	}
	l := w.held.Log[at]
	s, err := receipt.Parse(token)
	if err != nil {
		return nil, err
	}
	if string(s.Gate) != l.Gate {
		return nil, hufu.Refuse(receipt.RuleSignature, "the receipt is another gate's")
	}
	key, err := keyAt(v, s.Gate, s.KeyID, tx.PurposeAssertion, s.Time.Unix(), RuleUnknownGate)
	if err != nil {
		return nil, err
	}
	if err := s.Verify(key); err != nil {
		return nil, err
	}
	if err := s.Answers(l.Nonce, presented(l.Shown)); err != nil {
		// A gate that reached no decision does not look into the contract for the order.
		byID := slices.SortedFunc(slices.Values(l.Shown), func(a, b shown) int { return strings.Compare(a.Query, b.Query) })
		if s.Answers(l.Nonce, presented(byID)) != nil {
			return nil, err
		}
	}
	if s.Contract != (hufu.ContractID{}) && (s.Contract.String() != l.Contract || uint64(s.Version) != l.Version) {
		return nil, hufu.Refuse(RuleUnasked, "the receipt is about another contract than the request's")
	}
	if l.Receipt == "" {
		err = w.change(func(c *contents) error {
			c.Log[at].Receipt = token
			return nil
		})
	}
	return &s.Receipt, err
}

func presented(list []shown) []string {
	out := make([]string, len(list))
	for i := range list {
		out[i] = list[i].Presentation
	}
	return out
}
