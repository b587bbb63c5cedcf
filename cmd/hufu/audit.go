package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/status"
	"github.com/hufu-id/hufu/ledger/state/trust"
	"github.com/hufu-id/hufu/ledger/tx"
)

// target is a network to look at: its genesis and a node.
type target struct {
	genesis, node string
}

func (t *target) flags(c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(&t.genesis, "genesis", "", "genesis file of the network (default: that of --home)")
	c.Flags().StringVar(&t.node, "node", "", nodeUsage)
	return c
}

// readGenesis is the genesis that was named, or that of --home.
func (t *target) readGenesis(a *app) ([]byte, error) {
	if t.genesis != "" {
		return os.ReadFile(t.genesis)
	}
	h, err := home.Peek(a.home)
	if err != nil {
		return nil, err
	}
	return h.Genesis()
}

// url is the node that was named, or the one of the process that serves --home.
func (t *target) url(a *app) (string, error) {
	if t.node != "" {
		return t.node, nil
	}
	h, err := home.Peek(a.home)
	if err != nil {
		return "", err
	}
	running, err := h.GetRunning()
	return running.Node, err
}

func (a *app) auditSnapshotCmd() *cobra.Command {
	var t target
	var out string
	c := &cobra.Command{
		Use:     "snapshot --out FILE",
		Short:   "Write all that a verifier needs offline, signed by the validators, into one file",
		Example: "  hufu audit snapshot --home ./net --out ledger.snapshot",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := t.dial(a)
			if err != nil {
				return err
			}
			asOf, err := writeSnapshot(c.Context(), l, out)
			if err = errors.Join(err, l.Close()); err != nil {
				return err
			}
			return a.emit(asOf, func(w io.Writer) {
				fmt.Fprintf(w, "the ledger at height %d, as of %s, in %s\n", asOf.Height, asOf.Time.Format(time.RFC3339), out)
			})
		},
	}
	c.Flags().StringVar(&out, "out", "", "file to write")
	_ = c.MarkFlagRequired("out")
	return t.flags(c)
}

func writeSnapshot(ctx context.Context, l *client.Client, path string) (hufu.AsOf, error) {
	var asOf hufu.AsOf
	err := writeNew(path, func(w io.Writer) (err error) {
		asOf, err = l.ExportSnapshot(ctx, w)
		return err
	})
	return asOf, err
}

// defaultMaxAge is how old a snapshot may be unless somebody says otherwise: statuses change every day.
const defaultMaxAge = 24 * time.Hour

// verdict is what hufu verify finds out about a credential. It holds no claims.
type verdict struct {
	Type      string    `json:"type"`
	Issuer    string    `json:"issuer"`
	IssuedAt  time.Time `json:"issued_at"`
	ExpiresAt time.Time `json:"expires_at"`
	Status    string    `json:"status"`
	Chain     int       `json:"accreditations"` // links up to the members
	AsOf      hufu.AsOf `json:"as_of"`
	StaleS    float64   `json:"staleness_s"`
}

func (a *app) verifyCmd() *cobra.Command {
	var t target
	var snapshot string
	var maxAge time.Duration
	c := &cobra.Command{
		Use:   "verify CREDENTIAL",
		Short: "Check a credential: signature, times, accreditation and status, online or from a snapshot",
		Long: `Checks a credential (SD-JWT VC, without key binding) against the ledger, or with --snapshot against a file and
no network at all, and says how old the ledger state was. Whether its holder is here, only a gate can tell.`,
		Example: "  hufu verify credential.txt --snapshot ledger.snapshot --genesis genesis.json",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			raw, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			cred, err := sdjwt.Parse(strings.TrimSpace(string(raw)))
			if err != nil {
				return err
			}
			var out verdict
			check := func(v client.View) (err error) {
				out, err = verifyCredential(v, cred, time.Now())
				return err
			}
			if err := a.onView(c.Context(), &t, snapshot, maxAge, check); err != nil {
				return err
			}
			err = a.emit(out, func(w io.Writer) {
				fmt.Fprintf(w, "%s\n  issued by %s, accredited through %d links\n  issued %s, until %s, %s\n  on the ledger at height %d, %.0f s old\n",
					out.Type, out.Issuer, out.Chain, out.IssuedAt.Format(time.RFC3339), out.ExpiresAt.Format(time.RFC3339), out.Status, out.AsOf.Height, out.StaleS)
			})
			if err == nil && out.Status != hufu.StatusValid.String() {
				return silentError{errors.New("the credential is " + out.Status)}
			}
			return err
		},
	}
	c.Flags().StringVar(&snapshot, "snapshot", "", "verify offline, against this snapshot file")
	c.Flags().DurationVar(&maxAge, "max-age", defaultMaxAge, "how old the state in the snapshot may be; 0: as old as the trusting period allows")
	return t.flags(c)
}

// onView runs f on a snapshot, or on the newest state that a node can prove.
func (a *app) onView(ctx context.Context, t *target, snapshot string, maxAge time.Duration, f func(client.View) error) error {
	if snapshot != "" {
		view, err := t.openSnapshot(a, snapshot, maxAge)
		if err != nil {
			return err
		}
		return f(view)
	}
	l, err := t.dial(a)
	if err != nil {
		return err
	}
	return errors.Join(l.Read(ctx, f), l.Close())
}

// trust is what to verify from: the genesis that was named, or what --home trusts.
func (t *target) trust(a *app) (client.Trust, error) {
	if t.genesis == "" {
		h, err := home.Peek(a.home)
		if err != nil {
			return client.Trust{}, err
		}
		return h.Trust()
	}
	return t.anchor(a)
}

// anchor is trust, also while --home has evidence of two histories.
func (t *target) anchor(a *app) (client.Trust, error) {
	if t.genesis == "" {
		h, err := home.Peek(a.home)
		if err != nil {
			return client.Trust{}, err
		}
		return h.Anchor()
	}
	genesis, err := os.ReadFile(t.genesis)
	if err != nil {
		return client.Trust{}, err
	}
	return client.ParseGenesis(genesis)
}

func (t *target) dial(a *app) (*client.Client, error) {
	node, err := t.url(a)
	if err != nil {
		return nil, err
	}
	if t.genesis == "" {
		h, err := home.Peek(a.home)
		if err != nil {
			return nil, err
		}
		return a.dialHome(h, node)
	}
	trust, err := t.trust(a)
	if err != nil {
		return nil, err
	}
	return dial(node, trust, client.Options{Log: a.serverLog(slog.LevelWarn)})
}

func (t *target) openSnapshot(a *app, path string, maxAge time.Duration) (*client.Snapshot, error) {
	trust, err := t.trust(a)
	if err != nil {
		return nil, err
	}
	return openSnapshot(path, trust, maxAge)
}

func openSnapshot(path string, trust client.Trust, maxAge time.Duration) (*client.Snapshot, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return client.OpenSnapshot(f, trust, time.Now(), maxAge)
}

// clockSkew is how far the clocks of issuers may be off.
const clockSkew = 30 * time.Second

func verifyCredential(v client.View, cred *sdjwt.Credential, now time.Time) (verdict, error) {
	got, err := cred.Verify(sdjwt.VerifyParams{Now: now, ClockSkew: clockSkew, ResolveKey: func(iss, kid, _ string, iat int64) (keys.PublicKey, error) {
		return issuerKey(v, iss, kid, iat)
	}})
	if err != nil {
		return verdict{}, err
	}
	_, id, err := hufu.DID(got.Issuer).Parse()
	if err != nil {
		return verdict{}, err
	}
	chain, err := trust.Chain(v, id, got.Type, got.IssuedAt.Unix(), v.AsOf())
	if err != nil {
		return verdict{}, err
	}
	out := verdict{
		Type: got.Type, Issuer: got.Issuer, IssuedAt: got.IssuedAt, ExpiresAt: got.ExpiresAt, Status: hufu.StatusValid.String(),
		Chain: len(chain), AsOf: v.AsOf(), StaleS: now.Sub(v.AsOf().Time).Seconds(),
	}
	if got.Status != nil {
		st, err := status.LookupURI(v, hufu.DID(got.Issuer), got.Status.URI, got.Status.Index)
		if err != nil {
			return out, err
		}
		out.Status = st.String()
	}
	return out, nil
}

func issuerKey(v client.View, iss, kid string, iat int64) (keys.PublicKey, error) {
	owner, fragment, err := hufu.SplitDIDURL(kid)
	if err != nil {
		return keys.PublicKey{}, err
	}
	network, id, err := owner.Parse()
	if err != nil || string(owner) != iss || network != v.Network() {
		return keys.PublicKey{}, hufu.Refuse(sdjwt.RuleIssuerKey, "the key named is none of the issuer's on this ledger")
	}
	rec, err := did.Active(v, id)
	if err != nil {
		return keys.PublicKey{}, err
	}
	return rec.KeyAt(fragment, tx.PurposeAssertion, iat)
}
