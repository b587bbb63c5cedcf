package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/internal/admin"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/limit"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// The verbs by which commands reach the issuer of the running process.
const (
	verbOffer    = "issuer/offer"
	verbPasscode = "issuer/passcode"
	verbRelease  = "issuer/release"
)

// issuerOptions are the flags of whatever serves an issuer.
type issuerOptions struct {
	bearer, encrypt         bool
	demandWallet, demandKey bool
	providers               []string
	batch                   int
	country                 string
	personRate              float64
}

func (o *issuerOptions) add(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&o.bearer, "bearer", true, "issuer: also give tokens that are bound to no key, to wallets without DPoP")
	f.BoolVar(&o.encrypt, "encrypt", false, "issuer: demand encrypted credential requests and responses, which are possible always")
	f.IntVar(&o.batch, "batch", issuer.DefaultBatch, "issuer: copies that a wallet can get in one request")
	f.StringArrayVar(&o.providers, "wallet-provider", nil, "issuer: identifier (DID) whose attestations of wallets and keys are believed; repeat for several")
	f.BoolVar(&o.demandWallet, "demand-wallet-attestation", false, "issuer: serve attested wallets only")
	f.BoolVar(&o.demandKey, "demand-key-attestation", false, "issuer: issue to attested keys only")
	f.Float64Var(&o.personRate, "person-rate", 1, "issuer: requests a second for credentials of one person in the long run, sixty times as many at once")
	f.StringVar(&o.country, "country", "CN", "issuer: its country (ISO 3166-1 alpha-2), in certificates")
}

// exchange is how wallets get credentials at the issuer's URL.
func (o *issuerOptions) exchange(url, name string) (*issuer.Exchange, error) {
	if o.personRate <= 0 {
		return nil, usagef("--person-rate is a number above 0")
	}
	x := &issuer.Exchange{
		URL: url, Name: map[string]string{"en": name}, Bearer: o.bearer, Batch: o.batch,
		EncryptRequests: o.encrypt, EncryptResponses: o.encrypt, WalletAttestation: o.demandWallet,
		PersonRate: limit.Rate{PerSecond: o.personRate, Burst: max(1, int(60*o.personRate))},
	}
	if o.demandKey {
		x.KeyAttestation = &oid4vci.KeyRequirement{}
	}
	for _, p := range o.providers {
		d := hufu.DID(p)
		if _, _, err := d.Parse(); err != nil {
			return nil, usagef("--wallet-provider: %v", err)
		}
		x.Providers = append(x.Providers, issuer.Provider{Issuer: p, DID: d})
	}
	return x, nil
}

// addIssuer opens the issuer that is one of the home's identities, and what reaches it.
func (a *app) addIssuer(ctx context.Context, l *session, g *origin, p *served, name string, o *issuerOptions) error {
	x, err := o.exchange(g.url+"/issuer", name)
	if err != nil {
		return err
	}
	opened, err := a.openLog(ctx, l, name, issuer.LogName)
	if err != nil {
		return err
	}
	s, err := a.openIssuer(ctx, l, name, g.url, func(c *issuer.Config, key roleKey) (err error) {
		g.roles.ofIssuer(c)
		c.AccessLog = opened
		c.Exchange, c.Log = x, g.options.Log
		c.Chain, err = issuerChain(ctx, l, name, c.DID, key, o.country)
		return err
	})
	if err != nil {
		if opened != nil {
			err = errors.Join(err, opened.Close())
		}
		return err
	}
	p.closers = append(p.closers, s.Close)
	if opened != nil {
		p.keepLog(ctx, l, g, opened, issuerLog(name, s))
	}
	p.Issuer, p.IssuerPaths = s.Handler(), s.Paths()
	maps.Copy(p.verbs, office{s}.verbs())
	return nil
}

// issuerChain makes the certificate of an issuer's key, if it is a P-256 key and the identity has an
// authority: see [home.AuthorityMethod].
func issuerChain(ctx context.Context, l *session, name string, did hufu.DID, key roleKey, country string) ([][]byte, error) {
	if key.signer.Public().Suite() != keys.P256 {
		return nil, nil
	}
	authority, err := l.roleKey(ctx, name, home.AuthorityMethod)
	if errors.Is(err, errNoRole) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	// A certificate does not begin before its authority's key was on the ledger, nor is made for a moment.
	from := authority.since.UTC().Truncate(time.Second).Add(time.Second)
	if key.since.After(from) {
		from = key.since.UTC().Truncate(time.Second).Add(time.Second)
	}
	if now := time.Now().UTC().Truncate(24 * time.Hour); now.After(from) {
		from = now
	}
	until := from.Add(x5c.MaxDocumentSignerLife)
	ca, err := x5c.MakeCA(rand.Reader, authority.signer, did, x5c.Subject{CommonName: name + " authority", Country: country}, from, until)
	if err != nil {
		return nil, err
	}
	leaf, err := x5c.MakeLeaf(rand.Reader, ca, authority.signer, x5c.Leaf{
		Key: key.signer.Public(), DID: did, Subject: x5c.Subject{CommonName: name, Country: country},
		Use: x5c.DocumentSigner, NotBefore: from, NotAfter: until,
	})
	if err != nil {
		return nil, err
	}
	return [][]byte{leaf}, nil
}

// office is the issuer that a process serves.
type office struct{ *issuer.Service }

// offerAsked is what "hufu issuer offer" asks the process for.
type offerAsked struct {
	Person string        `json:"person,omitempty"` // resident number
	Types  []string      `json:"types"`
	Format string        `json:"format"`
	Grant  string        `json:"grant"`
	TxCode bool          `json:"tx_code"`
	Hold   bool          `json:"hold"`
	Life   time.Duration `json:"life"`
	Wallet string        `json:"wallet,omitempty"`
}

type passcodeAsked struct {
	Person string `json:"person"`
}

type releaseAsked struct {
	Offer   string `json:"offer"`
	Decline bool   `json:"decline"`
}

func (o office) verbs() admin.Verbs {
	return admin.Verbs{
		verbOffer: admin.Verb(o.offer),
		verbPasscode: admin.Verb(func(ctx context.Context, in passcodeAsked) (string, error) {
			return o.SetPasscode(ctx, o.Ref(in.Person), "")
		}),
		verbRelease: admin.Verb(func(ctx context.Context, in releaseAsked) (bool, error) {
			if in.Decline {
				return true, o.Decline(ctx, in.Offer)
			}
			return true, o.Release(ctx, in.Offer)
		}),
	}
}

// offerMade is [issuer.Offered] on its way to a command.
type offerMade struct {
	ID        string          `json:"id"`
	Link      string          `json:"uri"`
	ByValue   string          `json:"uri_by_value"`
	Offer     json.RawMessage `json:"offer"`
	TxCode    string          `json:"tx_code,omitempty"`
	ExpiresAt time.Time       `json:"expires_at"`
}

// typeNames are short names of credential types: pid, person identification data, is what many wallets call it.
var typeNames = map[string]string{
	"resident-id": issuer.TypeResidentID, "pid": issuer.TypeResidentID, "guardianship": issuer.TypeGuardianship,
}

// formatAll asks for a type in every format.
const formatAll = "all"

func (o office) offer(ctx context.Context, in offerAsked) (*issuer.Offered, error) {
	known, err := o.Configurations(ctx)
	if err != nil {
		return nil, err
	}
	req := issuer.OfferRequest{Grant: in.Grant, TxCode: in.TxCode, Hold: in.Hold, Life: in.Life, Wallet: in.Wallet}
	if in.Person != "" {
		req.Person = o.Ref(in.Person)
	}
	for _, t := range in.Types {
		ids := configurations(known, t, in.Format)
		if len(ids) == 0 {
			return nil, hufu.Refuse(issuer.RuleUnknownType, "no credential %q in format %s is issued here", t, in.Format)
		}
		req.Configurations = append(req.Configurations, ids...)
	}
	return o.CreateOffer(ctx, req)
}

// configurations are those that a type stands for: a configuration's own identifier, or a type's name, of
// which the one that names the issuer by DID is taken where there are several.
func configurations(known []*issuer.Configuration, name, format string) (ids []string) {
	vct := name
	if full, ok := typeNames[name]; ok {
		vct = full
	}
	for _, c := range known {
		switch {
		case c.ID == name:
			return []string{name}
		case c.Type != vct:
		case format == formatAll, c.Format == format && (!c.Certified || c.Format != oid4vci.FormatSDJWT):
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// grantNames are the short names of grants.
var grantNames = map[string]string{"pre": oauth.GrantPreAuthorized, "code": oauth.GrantCode}

func (a *app) issuerOfferCmd() *cobra.Command {
	var person, image string
	in := offerAsked{}
	c := &cobra.Command{
		Use:   "offer --type TYPE",
		Short: "Offer credentials to a person's wallet: prints the link that a wallet takes up, and its QR code",
		Long: `Makes a credential offer (OpenID4VCI 1.0) at the process that serves --home. With the grant "pre" the offer is
for the person named, and whoever has the link, and the transaction code if there is one, gets the credentials.
With the grant "code" the person signs in with a passcode (hufu issuer passcode) and agrees.

On a terminal the link is shown as a QR code, too; --qr writes it as a picture.`,
		Example: `  hufu issuer offer --person - --type resident-id --tx-code --json < number
  hufu issuer offer --type pid --grant code --qr poster.png`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) (err error) {
			grant, ok := grantNames[in.Grant]
			if !ok {
				return usagef("--grant is pre or code")
			}
			if !slices.Contains([]string{oid4vci.FormatSDJWT, oid4vci.FormatMDoc, formatAll}, in.Format) {
				return usagef("--format is %s, %s or %s", oid4vci.FormatSDJWT, oid4vci.FormatMDoc, formatAll)
			}
			asked := in
			if asked.Grant = grant; person != "" {
				if asked.Person, err = a.resident(person); err != nil {
					return err
				}
			}
			picture, err := newPicture(image)
			if err != nil {
				return err
			}
			out, err := admin.Call[offerMade](c.Context(), a.home, verbOffer, asked)
			if err = picture.finish(out.Link, err); err != nil {
				return err
			}
			code, err := issuer.QRText(out.Link)
			if err != nil {
				return err
			}
			return a.emit(out, func(w io.Writer) {
				if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
					fmt.Fprint(w, code)
				}
				fmt.Fprintf(w, "%s\n", out.Link)
				if out.TxCode != "" {
					fmt.Fprintf(w, "  transaction code %s: tell it to the person in another way\n", out.TxCode)
				}
				fmt.Fprintf(w, "  open until       %s\n", out.ExpiresAt.Format(time.RFC3339))
			})
		},
	}
	f := c.Flags()
	f.StringVar(&image, "qr", "", "write the link as a QR code (PNG) to this new file")
	f.StringVar(&person, "person", "", "resident number of the person"+personHelp)
	f.StringArrayVar(&in.Types, "type", nil, "what to offer: "+strings.Join(slices.Sorted(maps.Keys(typeNames)), ", ")+", or the identifier of a credential configuration; repeat for several")
	f.StringVar(&in.Format, "format", oid4vci.FormatSDJWT, "format of what is offered: dc+sd-jwt, mso_mdoc or all")
	f.StringVar(&in.Grant, "grant", "pre", "how the wallet is let in: pre (the offer is enough) or code (the person signs in)")
	f.BoolVar(&in.TxCode, "tx-code", false, "also ask for a code that the person is told in another way")
	f.BoolVar(&in.Hold, "hold", false, "issue only when released: hufu issuer release")
	f.DurationVar(&in.Life, "life", issuer.DefaultOfferLife, "how long the offer is open")
	f.StringVar(&in.Wallet, "wallet", "", "address of the wallet to invoke (default: "+oid4vci.OfferScheme+")")
	_ = c.MarkFlagRequired("type")
	return c
}

// moduleScale is how many pixels of a picture a module of a QR code is wide: enough for print.
const moduleScale = 8

// picture is a file for a QR code, opened before there is an offer that could be lost. nil: none is wanted.
type picture struct{ file *os.File }

// newPicture makes the file; who can read it can take up the offer, so nobody else can.
func newPicture(path string) (*picture, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // no picture is an answer
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("--qr: %s is there already; name a new file", path)
	}
	return &picture{f}, err
}

// finish draws the link, or removes the file when failed says that there is none.
func (p *picture) finish(link string, failed error) error {
	if p == nil {
		return failed
	}
	if failed == nil {
		var png []byte
		if png, failed = issuer.QR(link, moduleScale); failed == nil {
			_, failed = p.file.Write(png)
		}
	}
	if failed = errors.Join(failed, p.file.Close()); failed != nil {
		return errors.Join(failed, os.Remove(p.file.Name()))
	}
	return nil
}

func (a *app) issuerPasscodeCmd() *cobra.Command {
	var person string
	c := &cobra.Command{
		Use:     "passcode --person NUMBER",
		Short:   "Give a person a new passcode to sign in with",
		Example: "  hufu issuer passcode --person - < number",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			number, err := a.resident(person)
			if err != nil {
				return err
			}
			passcode, err := admin.Call[string](c.Context(), a.home, verbPasscode, passcodeAsked{number})
			if err != nil {
				return err
			}
			return a.emit(map[string]string{"passcode": passcode}, func(w io.Writer) { fmt.Fprintln(w, passcode) })
		},
	}
	c.Flags().StringVar(&person, "person", "", "resident number of the person"+personHelp)
	_ = c.MarkFlagRequired("person")
	return c
}

func (a *app) issuerReleaseCmd() *cobra.Command {
	var decline bool
	c := &cobra.Command{
		Use:     "release OFFER",
		Short:   "Let the credentials of an offer made with --hold be issued, or decline them",
		Example: "  hufu issuer release 4f1c… ",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := admin.Call[bool](c.Context(), a.home, verbRelease, releaseAsked{args[0], decline}); err != nil {
				return err
			}
			what := "released"
			if decline {
				what = "declined"
			}
			return a.emit(map[string]bool{what: true}, func(w io.Writer) { fmt.Fprintln(w, what) })
		},
	}
	c.Flags().BoolVar(&decline, "decline", false, "issue nothing instead")
	return c
}
