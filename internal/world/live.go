package world

import (
	"context"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Live is the world's ledger as it is when it is read, for those who would have a client of a network.
// A transaction is in a block of its own when Submit returns.
type Live struct{ *World }

// Read runs f on the newest state.
func (l Live) Read(_ context.Context, f func(client.View) error) error {
	v, err := l.View()
	if err != nil {
		return err
	}
	return f(v)
}

// Head is the newest state.
func (l Live) Head(context.Context) (hufu.AsOf, error) {
	v, err := l.View()
	if err != nil {
		return hufu.AsOf{}, err
	}
	return v.AsOf(), nil
}

// Submit runs a signed transaction.
func (l Live) Submit(_ context.Context, raw []byte) (client.Receipt, error) {
	t, err := tx.Parse(raw, Network)
	if err != nil {
		return client.Receipt{}, err
	}
	height, at, err := l.run(t)
	return client.Receipt{Height: height, TxID: t.ID(), Time: at}, err
}

// Sign makes body a's next transaction. Unlike [World.Do] it runs nothing.
func (w *World) Sign(a *Actor, body tx.Body) ([]byte, error) {
	p := tx.Payload{Network: Network, Author: a.ID, Sequence: a.sequence, Expires: w.expires()}
	a.sequence++
	return tx.Build(w.Rand, p, body, tx.SignerRef{Signer: a.Signer, KeyIndex: uint8(a.Index)})
}
