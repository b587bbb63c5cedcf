package contracts

import (
	"errors"
	"fmt"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/tx"
)

// The rules by which a publication is refused, beside those that package contract finds in the text.
const (
	RuleUnknown  hufu.Rule = "contracts.unknown"              // the author has published no such contract
	RuleRetired  hufu.Rule = "contracts.retired"              // retirement is for good
	RuleSequence hufu.Rule = "contracts.not-the-next-version" // versions follow each other; one is there only once
	RuleOwner    hufu.Rule = "contracts.not-the-owner"        // the text names somebody else than the author
	RuleMismatch hufu.Rule = "contracts.mismatch"             // text and transaction name different contracts
)

// Apply applies a contract transaction: all of it, or, with an error, nothing.
func Apply(ctx state.Context, o *state.Overlay, t *tx.Tx) error {
	author := t.Payload.Author
	switch b := t.Body.(type) {
	case *tx.ContractPublish:
		return publish(ctx, o, author, b)
	case *tx.ContractRetire:
		return retire(ctx, o, author, b)
	}
	return fmt.Errorf("contracts: a transaction of kind %q", t.Payload.Kind)
}

// publish adds the next version of the author's contract. What costs least is checked first.
func publish(ctx state.Context, o *state.Overlay, author hufu.ID, b *tx.ContractPublish) error {
	head, err := GetHead(o, author, b.Name)
	if err != nil {
		return err
	}
	next := uint32(1)
	if head != nil {
		if head.Retired != 0 {
			return hufu.Refuse(RuleRetired, "%s was retired at height %d; publish under another name", b.Name, head.Retired)
		}
		next = head.Version + 1
	}
	if b.Version != next {
		return hufu.Refuse(RuleSequence, "version %d; the next is %d", b.Version, next)
	}
	c, err := read(o, b.Text)
	if err != nil {
		return err
	}
	switch {
	case c.Owner != author.DID(ctx.Network):
		return hufu.Refuse(RuleOwner, "the contract names another owner than its publisher")
	case c.Name != b.Name:
		return hufu.Refuse(RuleMismatch, "the contract says its id is %s, the transaction says %s", c.Name, b.Name)
	case c.Version != b.Version:
		return hufu.Refuse(RuleMismatch, "the contract says it is version %d, the transaction says %d", c.Version, b.Version)
	}
	record := &Published{
		Owner: author, Name: b.Name, Version: b.Version, Hash: c.Hash, Text: b.Text,
		Height: ctx.Height, Time: ctx.Time, Tx: ctx.TxID,
	}
	if err := state.Save(o, VersionKey(author, b.Name, b.Version), record); err != nil {
		return err
	}
	return state.Save(o, HeadKey(author, b.Name), &Head{Version: b.Version})
}

// read parses a text and holds it against the published types. The refusal is the first problem, with
// its line and column.
func read(r state.Reader, text string) (*contract.Contract, error) {
	c, err := contract.Parse([]byte(text))
	if err != nil {
		return nil, first(err)
	}
	problems, err := contract.Check(c, func(vct string) (*contract.Type, error) { return Type(r, vct) })
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, first(problems)
	}
	return c, nil
}

func first(err error) error {
	var problems contract.Problems
	if errors.As(err, &problems) {
		return problems.Unwrap()
	}
	return err
}

// retire ends the author's contract in the version it has.
func retire(ctx state.Context, o *state.Overlay, author hufu.ID, b *tx.ContractRetire) error {
	head, err := GetHead(o, author, b.Name)
	switch {
	case err != nil:
		return err
	case head == nil:
		return hufu.Refuse(RuleUnknown, "the author has published no contract %s", b.Name)
	case head.Retired != 0:
		return hufu.Refuse(RuleRetired, "%s was retired at height %d", b.Name, head.Retired)
	}
	retired := *head
	retired.Retired, retired.RetiredTime = ctx.Height, ctx.Time
	return state.Save(o, HeadKey(author, b.Name), &retired)
}
