package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/protocol/didres"
)

// ResolveConfig says how much is measured.
type ResolveConfig struct {
	Dir         string // for the node's databases
	Identifiers int    // each resolved once with nothing known of it
	Resolutions int    // with everything known
	Progress    Progress
}

// ResolveFigures say what resolving an identifier to its document costs a client that believes no node.
type ResolveFigures struct {
	Identifiers   int     `json:"identifiers"`
	Resolutions   int     `json:"resolutions"`
	WarmPerS      float64 `json:"warm_per_s"` // per core: of a second of processor time
	WarmMicros    float64 `json:"warm_cpu_micros"`
	ColdP50Millis float64 `json:"cold_p50_ms"` // with a proof fetched over HTTP from a node on this machine, and checked
	ColdP99Millis float64 `json:"cold_p99_ms"`
	ColdMicros    float64 `json:"cold_cpu_micros"` // the node's work included
	TripP50Millis float64 `json:"trip_p50_ms"`     // the bare round trip in it: a request of the node that needs no work
}

// ResolveBar is the least number of warm resolutions a second and core, ColdBar the most milliseconds that a cold one
// may take.
const (
	ResolveBar = 50_000
	ColdBar    = 2.0
)

// Steps is how many steps Progress will be told of.
func (c ResolveConfig) Steps() int { return 2*c.Identifiers + c.Resolutions }

// MeasureResolve resolves the identifiers of a network of one node.
func MeasureResolve(ctx context.Context, c ResolveConfig) (f ResolveFigures, err error) {
	f.Identifiers, f.Resolutions = c.Identifiers, c.Resolutions
	network, err := sample.New("bench", 1)
	if err != nil {
		return f, err
	}
	cfg := node.Config{Home: filepath.Join(c.Dir, "node")}
	if err := node.InitHome(cfg.Home, network.Genesis); err != nil {
		return f, err
	}
	n, err := node.Start(ctx, cfg, network.Members[0].Keys)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, n.Stop()) }()
	l := &ledgerBench{network: network}
	writer, done, err := l.client(n)
	if err != nil {
		return f, err
	}
	defer done()
	const submitters = 64
	dids := make([]string, c.Identifiers)
	if err := atOnce(ctx, submitters, c.Identifiers, func(ctx context.Context, i int) error {
		raw, id, err := network.CreateDID(uint64(i))
		if err != nil {
			return err
		}
		dids[i] = string(id.DID(network.Name))
		_, err = writer.Submit(ctx, raw)
		c.Progress.done(1)
		return err
	}); err != nil {
		return f, err
	}
	reader, done, err := l.client(n)
	if err != nil {
		return f, err
	}
	defer done()
	// An idle network's state stays the same, and so what is known of it. Two empty blocks: nothing moves now.
	head, err := reader.Head(ctx)
	if err == nil {
		_, err = reader.Await(ctx, head.Height+2)
	}
	if err != nil {
		return f, err
	}
	resolve := func(did string) error { return resolveDocument(ctx, reader, did) }

	transport, err := client.Dial(n.URL())
	if err != nil {
		return f, err
	}
	defer transport.Close()
	trips, cold := make([]time.Duration, c.Identifiers), make([]time.Duration, c.Identifiers)
	var work spent
	for i, did := range dids {
		begun := time.Now()
		if _, err := transport.Peers(ctx); err != nil {
			return f, err
		}
		trips[i] = time.Since(begun)
		took, err := measure(func() error { return resolve(did) })
		if err != nil {
			return f, err
		}
		cold[i] = took.wall
		work.add(took)
		c.Progress.done(1)
	}
	f.TripP50Millis = quantileMillis(trips, 0.5)
	f.ColdP50Millis, f.ColdP99Millis, f.ColdMicros = quantileMillis(cold, 0.5), quantileMillis(cold, 0.99), micros(c.Identifiers, work.cpu)

	warm, err := measure(func() error {
		for i := range c.Resolutions {
			if err := resolve(dids[i%len(dids)]); err != nil {
				return err
			}
		}
		return nil
	})
	c.Progress.done(c.Resolutions)
	f.WarmPerS, f.WarmMicros = perSecond(c.Resolutions, warm.cpu), micros(c.Resolutions, warm.cpu)
	return f, err
}

// resolveDocument is what GET /1.0/identifiers/{did} does before it writes JSON.
func resolveDocument(ctx context.Context, l interface {
	Read(ctx context.Context, f func(client.View) error) error
}, did string,
) error {
	var result didres.Result
	err := l.Read(ctx, func(v client.View) (err error) {
		result, err = didres.Resolve(v, v.Network(), v.AsOf(), did, didres.Options{})
		return err
	})
	if err == nil && (result.Document == nil || result.ResolutionMetadata.Ledger.AppHash == hufu.Digest{}) {
		return fmt.Errorf("bench: %s does not resolve: %+v", did, result.ResolutionMetadata.Error)
	}
	return err
}
