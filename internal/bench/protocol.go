package bench

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/wallet"
)

// ProtocolConfig says what to measure. Dir is required.
type ProtocolConfig struct {
	Dir       string // for databases, which are left there
	Exchanges int    // of each kind
	Clients   int    // that work at once
	Sessions  int    // through which memory is watched; 0: it is not
	Open      int    // sessions across devices that are open at once; 0: none
	Progress  Progress
}

// ProtocolFigures are what complete exchanges cost over HTTP, wallet and server together.
type ProtocolFigures struct {
	Clients   int               `json:"clients"`
	Exchanges []ExchangeFigures `json:"exchanges"`
	Memory    *MemoryFigures    `json:"memory,omitempty"`
	Open      *OpenFigures      `json:"open,omitempty"`
}

// ExchangeFigures compare complete exchanges with the public-key work that they cannot do without.
type ExchangeFigures struct {
	Name      string   `json:"name"`
	Exchanges int      `json:"exchanges"`
	PerS      float64  `json:"per_s"`      // elapsed time, on all cores
	BarePerS  float64  `json:"bare_per_s"` // the bare work, likewise
	Micros    float64  `json:"cpu_us"`     // processor time of one
	Bare      float64  `json:"bare_cpu_us"`
	Agreement float64  `json:"agreement_cpu_us"` // of the key agreements in it, which encryption needs, beside Bare
	Ratio     float64  `json:"ratio"`            // Micros ÷ Bare
	KeyRatio  float64  `json:"public_key_ratio"` // Micros ÷ (Bare + Agreement)
	WallRatio float64  `json:"wall_ratio"`       // as Ratio, of elapsed time
	P50Millis float64  `json:"p50_ms"`           // of one exchange while Clients do the same
	P99Millis float64  `json:"p99_ms"`
	Work      BareWork `json:"bare_work"`
}

// ProtocolGoal is what Ratio is hoped to be at most.
const ProtocolGoal = 3.0

// BareWork is how often each thing is done in an exchange, by the wallet and the server together, with P-256.
type BareWork struct {
	Keys     int `json:"keys"`     // made to sign with
	Signed   int `json:"signed"`   // signatures
	Verified int `json:"verified"` // signatures
	Agreed   int `json:"agreed"`   // secrets shared by ECDH: two keys made and one multiplication at each end
}

// issuanceWork is that of an issuance. The wallet makes a key for its token and one for each copy. It signs
// a proof of the first at the token endpoint, the credential endpoint and the notification endpoint, and
// one of each copy's key; the issuer verifies them, and signs the copies, which the wallet verifies, as it
// does the issuer's metadata. Request and response are encrypted.
func issuanceWork(copies int) BareWork {
	return BareWork{Keys: 1 + copies, Signed: 3 + 2*copies, Verified: 3 + 2*copies + 1, Agreed: 2}
}

// presentationWork is that of a presentation: the gate signs request and receipt and the wallet the key
// binding; each is verified by the other, and the issuer's signature by the gate. An encrypted answer is one
// to a key of the session, from a key of the answer.
func presentationWork(mode string) BareWork {
	w := BareWork{Signed: 3, Verified: 4}
	if oid4vp.Encrypted(mode) {
		w.Agreed = 1
	}
	return w
}

// exchange is one kind of exchange.
type exchange struct {
	name string
	work BareWork
	each int // exchanges of one wallet
	// prepare makes a wallet ready for each of them; it is not measured. It may be nil.
	prepare func(context.Context, *phone) error
	run     func(context.Context, *phone) error
}

// presentEach is how often a wallet presents before it would fetch new copies.
const presentEach = wallet.DefaultCopies - wallet.LowWater - 1

func exchanges() []exchange {
	out := make([]exchange, 0, 4)
	for _, copies := range []int{1, wallet.DefaultCopies} {
		out = append(out, exchange{
			name: fmt.Sprintf("issuance of %d", copies), work: issuanceWork(copies), each: 1,
			run: func(ctx context.Context, p *phone) error { return p.issued(ctx, copies) },
		})
	}
	for _, mode := range []string{oid4vp.ModePost, oid4vp.ModePostJWT} {
		out = append(out, exchange{
			name: "presentation by " + mode, work: presentationWork(mode), each: presentEach,
			prepare: func(ctx context.Context, p *phone) error { return p.issued(ctx, wallet.DefaultCopies) },
			run:     func(ctx context.Context, p *phone) error { return p.presented(ctx, mode) },
		})
	}
	return out
}

// ProtocolRounds is into how many parts the exchanges of a kind are cut.
const ProtocolRounds = 10

// Steps is how many steps the measurement reports.
func (c *ProtocolConfig) Steps() int { return len(exchanges())*ProtocolRounds + c.Sessions + c.Open }

// MeasureProtocol measures exchanges with an issuer and a gate that listen on a loopback address.
func MeasureProtocol(ctx context.Context, c ProtocolConfig) (f ProtocolFigures, err error) {
	f.Clients = c.Clients
	s, err := openSite(ctx, c.Dir, c.Clients)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	b, err := newBareSignatures()
	if err != nil {
		return f, err
	}
	for _, e := range exchanges() {
		x, err := s.compare(ctx, &c, e, b)
		if err != nil {
			return f, fmt.Errorf("%s: %w", e.name, err)
		}
		f.Exchanges = append(f.Exchanges, x)
	}
	if c.Sessions > 0 {
		if f.Memory, err = s.watchMemory(ctx, &c); err != nil {
			return f, err
		}
	}
	if c.Open > 0 {
		f.Open, err = s.watchOpen(ctx, &c)
	}
	return f, err
}

// compare does exchanges of a kind and their bare work in turns.
func (s *site) compare(ctx context.Context, c *ProtocolConfig, e exchange, b *bareSignatures) (ExchangeFigures, error) {
	f := ExchangeFigures{Name: e.name, Work: e.work}
	phones := max(1, c.Exchanges/ProtocolRounds/e.each)
	n := phones * e.each
	var d duel
	var agreements spent
	var latencies []time.Duration
	for round := range ProtocolRounds + 1 {
		ready, err := s.ready(ctx, c.Clients, phones, e.prepare)
		if err != nil {
			return f, err
		}
		took := make([]time.Duration, n)
		ours := func() error {
			return atOnce(ctx, c.Clients, phones, func(ctx context.Context, i int) error {
				for j := range e.each {
					begun := time.Now()
					if err := e.run(ctx, ready[i]); err != nil {
						return err
					}
					took[i*e.each+j] = time.Since(begun)
				}
				return nil
			})
		}
		bare := func() error {
			return atOnce(ctx, c.Clients, n, func(context.Context, int) error { return b.do(e.work) })
		}
		if round == 0 { // to warm up
			if err := errors.Join(ours(), bare()); err != nil {
				return f, err
			}
			continue
		}
		if err := d.round(ctx, ours, bare); err != nil {
			return f, err
		}
		agreement, err := measure(func() error {
			return atOnce(ctx, c.Clients, n, func(context.Context, int) error { return b.agree(e.work.Agreed) })
		})
		if err != nil {
			return f, err
		}
		agreements.add(agreement)
		latencies = append(latencies, took...)
		if err := s.world.Pass(blockEvery); err != nil {
			return f, err
		}
		c.Progress.done(1)
	}
	f.Exchanges = ProtocolRounds * n
	f.PerS, f.BarePerS = perSecond(f.Exchanges, d.ours.wall), perSecond(f.Exchanges, d.bare.wall)
	f.Micros, f.Bare = micros(f.Exchanges, d.ours.cpu), micros(f.Exchanges, d.bare.cpu)
	if e.work.Agreed > 0 {
		f.Agreement = micros(f.Exchanges, agreements.cpu)
	}
	f.Ratio, f.KeyRatio, f.WallRatio = d.ratio(), f.Micros/(f.Bare+f.Agreement), d.wallRatio()
	f.P50Millis, f.P99Millis = quantileMillis(latencies, 0.5), quantileMillis(latencies, 0.99)
	return f, nil
}

// blockEvery is the time that passes on the ledger between rounds.
const blockEvery = 5 * time.Second

func quantileMillis(of []time.Duration, q float64) float64 {
	out := make([]float64, len(of))
	for i := range of {
		out[i] = float64(of[i].Nanoseconds()) / 1e6
	}
	return quantile(out, q)
}

// ready makes wallets, and whatever they need before they are measured.
func (s *site) ready(ctx context.Context, clients, n int, prepare func(context.Context, *phone) error) ([]*phone, error) {
	out := make([]*phone, n)
	err := atOnce(ctx, clients, n, func(ctx context.Context, i int) (err error) {
		if out[i], err = s.phone(); err == nil && prepare != nil {
			err = prepare(ctx, out[i])
		}
		return err
	})
	return out, err
}

// atOnce does work 0 to n-1, clients of them at a time.
func atOnce(ctx context.Context, clients, n int, work func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for c := range min(clients, n) {
		g.Go(func() error {
			for i := c; i < n; i += clients {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := work(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// bareSignatures does nothing but public-key work.
type bareSignatures struct {
	key       keys.Signer
	public    keys.PublicKey
	peer      *ecdh.PublicKey
	message   []byte
	signature []byte
}

func newBareSignatures() (*bareSignatures, error) {
	b := &bareSignatures{message: slices.Repeat([]byte{'m'}, 500)}
	var err error
	if b.key, err = keys.P256.Generate(rand.Reader); err != nil {
		return nil, err
	}
	b.public = b.key.Public()
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	b.peer = peer.PublicKey()
	b.signature, err = b.key.Sign(rand.Reader, b.message)
	return b, err
}

func (b *bareSignatures) do(w BareWork) error {
	for range w.Keys {
		if _, err := keys.P256.Generate(rand.Reader); err != nil {
			return err
		}
	}
	for range w.Signed {
		if _, err := b.key.Sign(rand.Reader, b.message); err != nil {
			return err
		}
	}
	for range w.Verified {
		if !b.public.Verify(b.message, b.signature) {
			return errors.New("bench: a signature does not hold")
		}
	}
	return nil
}

// agree does the work of an agreement: each side has a key, and computes the secret.
func (b *bareSignatures) agree(times int) error {
	for range 2 * times {
		key, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		if _, err := key.ECDH(b.peer); err != nil {
			return err
		}
	}
	return nil
}
