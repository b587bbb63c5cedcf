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

// SubmitAll runs signed transactions one after the other, up to one that is not admitted.
func (l Live) SubmitAll(ctx context.Context, raws [][]byte, told func(client.Outcome)) []client.Outcome {
	return InTurn(raws, told, func(raw []byte) (client.Receipt, error) { return l.Submit(ctx, raw) })
}

// InTurn is what [client.Client.SubmitAll] answers, of a ledger that runs one transaction at a time.
func InTurn(raws [][]byte, told func(client.Outcome), submit func(raw []byte) (client.Receipt, error)) []client.Outcome {
	out := make([]client.Outcome, len(raws))
	stopped := false
	for i, raw := range raws {
		if stopped {
			out[i].Err = client.ErrNotOffered
		} else {
			out[i].Receipt, out[i].Err = submit(raw)
			stopped = out[i].Err != nil && out[i].Receipt.Height == 0
		}
		if told != nil {
			told(out[i])
		}
	}
	return out
}

// Sign makes bodies a's next transactions. Unlike [World.Do] it runs nothing.
func (w *World) Sign(a *Actor, bodies ...tx.Body) ([][]byte, error) {
	raws := make([][]byte, len(bodies))
	for i, body := range bodies {
		p := tx.Payload{Network: Network, Author: a.ID, Sequence: a.sequence, Expires: w.expires()}
		a.sequence++
		var err error
		if raws[i], err = tx.Build(w.Rand, p, body, tx.SignerRef{Signer: a.Signer, KeyIndex: uint8(a.Index)}); err != nil {
			return nil, err
		}
	}
	return raws, nil
}
