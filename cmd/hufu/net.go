package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/internal/server"
	"github.com/hufu-id/hufu/keys/keystore"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/tx"
)

func (a *app) netCmd() *cobra.Command {
	return group("net", "Networks of several validators: found one, look at one",
		"  hufu net init --validators 4 --out ./harbour\n  hufu net status ./harbour/node1 ./harbour/node2",
		a.netInitCmd(), a.netCandidateCmd(), a.netGenesisCmd(), a.netJoinCmd(), a.netStatusCmd())
}

// Where nodes listen unless told otherwise: CometBFT's own ports. On one machine each node is portStep above
// the one before.
const (
	peerPort = 26656
	portStep = 10
)

// maxInit bounds the homes of one machine: more is a network for people to found together.
const maxInit = 64

// initOptions are the flags of "hufu net init".
type initOptions struct {
	network    string
	validators int
	out        string
	hosts      []string
	port       int
}

func (a *app) netInitCmd() *cobra.Command {
	var o initOptions
	c := &cobra.Command{
		Use:   "init --out DIR",
		Short: "Make the homes of a network's validators, ready to start",
		Long: `Makes one home for each validator: its own keys in its own encrypted key store, one founding member called
"member", the genesis they share, and where its node listens and connects to. Beside each home is the key file
that opens it, unless --key-file or --passphrase-file names what opens all of them. Give every organisation its
home and key file, and keep none: who makes homes for others has held their keys. Where that matters, found the
network with "hufu net candidate" and "hufu net genesis".

All nodes are on this machine, at ports from --port on, unless --hosts names a machine for each.`,
		Example: "  hufu net init --validators 4 --out ./harbour --network harbour\n" +
			"  hufu net init --validators 4 --out ./harbour --hosts 192.0.2.1,192.0.2.2,192.0.2.3,192.0.2.4",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return a.netInit(&o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.network, "network", "hufu-dev", "name of the network")
	f.IntVar(&o.validators, "validators", 4, "how many; with 3f+1 of them, f may fail or lie")
	f.StringVar(&o.out, "out", "", "directory of the homes: node1, node2, …")
	f.StringSliceVar(&o.hosts, "hosts", nil, "addresses of the machines, one for each validator")
	f.IntVar(&o.port, "port", peerPort, "port for peers; the RPC is on the next one, on loopback")
	_ = c.MarkFlagRequired("out")
	return c
}

func (o *initOptions) check() error {
	switch {
	case !hufu.Network(o.network).Valid():
		return usagef("--network: a name has 1 to %d characters of a-z, 0-9 and -", hufu.MaxNetworkLen)
	case o.validators < 1 || o.validators > maxInit:
		return usagef("--validators is from 1 to %d", maxInit)
	case len(o.hosts) != 0 && len(o.hosts) != o.validators:
		return usagef("--hosts names %d machines for %d validators", len(o.hosts), o.validators)
	case o.port < 1 || o.port+portStep*(o.validators-1)+1 > 65535:
		return usagef("--port leaves no room for the nodes' ports")
	}
	if left, err := os.ReadDir(o.out); err == nil && len(left) > 0 {
		return fmt.Errorf("%s is not empty; name a directory that does not exist yet with --out", o.out)
	}
	return nil
}

// place is where the node of validator i is: its address for peers and its settings.
func (o *initOptions) place(i int) (address string, s home.NodeSettings) {
	if len(o.hosts) > 0 {
		address = net.JoinHostPort(o.hosts[i], strconv.Itoa(o.port))
		return address, home.NodeSettings{Listen: listenFor(address), RPC: loopback(o.port + 1)}
	}
	port := o.port + i*portStep
	return loopback(port), home.NodeSettings{Listen: loopback(port), RPC: loopback(port + 1)}
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// listenFor is where a node listens that others reach at address: there on loopback, else on every address
// of its machine, as the one it is known by may be another's.
func listenFor(address string) string {
	_, port, _ := net.SplitHostPort(address)
	if server.CheckLoopback(address) == nil {
		return address
	}
	return net.JoinHostPort("0.0.0.0", port)
}

// netInit makes all homes in a directory beside --out and puts it in place when they are whole.
func (a *app) netInit(o *initOptions) (err error) {
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(o.out)), 0o700); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(filepath.Clean(o.out)), ".net-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // gone already when all went well
	homes := make([]*home.Home, o.validators)
	founders := make([]*home.Candidate, o.validators)
	for i := range homes {
		if homes[i], founders[i], err = a.initHome(o, dir, i); err != nil {
			return err
		}
	}
	genesis, err := assemble(home.DefaultParams(), founders)
	if err != nil {
		return err
	}
	for _, h := range homes {
		if err := h.Join(genesis, founders); err != nil {
			return err
		}
	}
	if err := os.Rename(dir, o.out); err != nil {
		return err
	}
	return a.emitFounded(o.network, genesis, founders, func(w io.Writer) {
		for i := range founders {
			fmt.Fprintf(w, "start each with\n  hufu node start --home %s%s\n", filepath.Join(o.out, nodeName(i)), a.opens(o.out, i))
		}
	})
}

func nodeName(i int) string { return "node" + strconv.Itoa(i+1) }

// opens is the flag that opens the key store of home i.
func (a *app) opens(dir string, i int) string {
	switch {
	case a.keyFile != "":
		return " --key-file " + a.keyFile
	case a.passphraseFile != "":
		return " --passphrase-file " + a.passphraseFile
	}
	return " --key-file " + filepath.Join(dir, nodeName(i)+".key")
}

func (a *app) initHome(o *initOptions, dir string, i int) (*home.Home, *home.Candidate, error) {
	keyFile := filepath.Join(dir, nodeName(i)+".key")
	u := keystore.KeyFile(keyFile)
	var err error
	if a.keyFile != "" || a.passphraseFile != "" {
		u, err = a.unlock(true)
	} else {
		err = keystore.CreateKeyFile(keyFile)
	}
	if err != nil {
		return nil, nil, err
	}
	address, settings := o.place(i)
	var c *home.Candidate
	h, err := home.CreateWith(filepath.Join(dir, nodeName(i)), u, hufu.Network(o.network), func(h *home.Home) (err error) {
		if err := h.SetNodeSettings(settings); err != nil {
			return err
		}
		c, err = h.NewCandidate(rand.Reader, time.Now(), founderName, home.Terms{
			Name: fmt.Sprintf("Member %d", i+1), Address: address,
			Power: home.DefaultPower, Quota: home.DefaultQuota, OpenQuota: home.DefaultOpenQuota,
		})
		return err
	})
	return h, c, err
}

func assemble(params tx.Params, founders []*home.Candidate) ([]byte, error) {
	doc, at, err := home.Assemble(params, founders)
	if err != nil {
		return nil, err
	}
	return node.NewGenesis(doc, at)
}

// emitFounded tells of a genesis: what all founders compare.
func (a *app) emitFounded(network string, genesis []byte, founders []*home.Candidate, next func(w io.Writer)) error {
	type founder struct {
		Name    string   `json:"name"`
		DID     hufu.DID `json:"did"`
		Power   uint64   `json:"power"`
		Quota   uint64   `json:"quota"`
		Address string   `json:"address"`
		Node    string   `json:"node"`
	}
	sum := sha256.Sum256(genesis)
	out := struct {
		Network  string    `json:"network"`
		SHA256   string    `json:"genesis_sha256"`
		Founders []founder `json:"founders"`
	}{Network: network, SHA256: hex.EncodeToString(sum[:])}
	for _, c := range founders {
		out.Founders = append(out.Founders, founder{c.Name, c.ID().DID(c.Network), c.Power, c.Quota, c.Address, home.NodeID(c.NodeKey)})
	}
	return a.emit(out, func(w io.Writer) {
		fmt.Fprintf(w, "genesis of network %s, SHA-256 %s\n", out.Network, out.SHA256)
		for _, f := range out.Founders {
			fmt.Fprintf(w, "  %s: power %d, quota %d bytes an epoch, at %s\n    %s\n", f.Name, f.Power, f.Quota, f.Address, f.DID)
		}
		next(w)
	})
}

func (a *app) netCandidateCmd() *cobra.Command {
	var network, listen, rpc, out, tokenURI string
	t := home.Terms{}
	c := &cobra.Command{
		Use:   "candidate --name NAME --address HOST:PORT",
		Short: "Make this organisation's keys, and the file about them for the other members",
		Long: `Makes --home, unless it is there: the keys of an identifier called "member", of a validator and of a node. They
never leave it. The file it writes holds their public halves, signed with each of them, and what the organisation
asks for. Founders exchange these files and run "hufu net genesis" on all of them.`,
		Example: `  hufu net candidate --home ./net --network harbour --name "City of Harbour" --address node.harbour.example:26656 --out harbour.json`,
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := home.CheckAddress(t.Address); err != nil {
				return usageError{err}
			}
			if err := server.CheckLoopback(rpc); err != nil {
				return err
			}
			token, err := parseToken(tokenURI)
			if err != nil {
				return err
			}
			h, err := a.openOrMake(hufu.Network(network), token)
			if err != nil {
				return err
			}
			settings, err := h.NodeSettings()
			if err != nil {
				return err
			}
			if settings.Listen = listen; listen == "" {
				settings.Listen = listenFor(t.Address)
			}
			settings.RPC = rpc
			candidate, err := h.NewCandidate(rand.Reader, time.Now(), founderName, t)
			if err != nil {
				return err
			}
			if err := h.SetNodeSettings(settings); err != nil {
				return err
			}
			raw, err := json.MarshalIndent(candidate, "", "  ")
			if err != nil {
				return err
			}
			if err := os.WriteFile(out, append(raw, '\n'), 0o644); err != nil { //nolint:gosec // public keys, for others
				return err
			}
			return a.emit(map[string]any{"did": candidate.ID().DID(candidate.Network), "peer": candidate.Peer(), "file": out}, func(w io.Writer) {
				fmt.Fprintf(w, "%s is %s\n  give %s to the other members\n", t.Name, candidate.ID().DID(candidate.Network), out)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&network, "network", "", "name of the network (of a home that is there: its own)")
	tokenFlag(c, &tokenURI)
	f.StringVar(&t.Name, "name", "", "the organisation's name on the record")
	f.StringVar(&t.Address, "address", "", "where the other nodes reach this one, host:port")
	f.StringVar(&listen, "listen", "", "where the node listens for them (default: the port of --address)")
	f.StringVar(&rpc, "rpc", loopback(peerPort+1), "address of the node's RPC, on loopback")
	f.StringVar(&out, "out", "candidate.json", "file to write")
	f.Uint64Var(&t.Power, "power", home.DefaultPower, "voting power of the validator")
	f.Uint64Var(&t.Quota, "quota", home.DefaultQuota, "weighted bytes an epoch the member may write or sponsor")
	f.Uint64Var(&t.OpenQuota, "open-quota", home.DefaultOpenQuota, "weighted bytes an epoch for identifiers made without its signature")
	_ = c.MarkFlagRequired("name")
	_ = c.MarkFlagRequired("address")
	return c
}

// openOrMake opens --home, or makes an empty one for network.
func (a *app) openOrMake(network hufu.Network, token keystore.TokenURI) (*home.Home, error) {
	if home.Exists(a.home) {
		if token != (keystore.TokenURI{}) {
			return nil, errTokenOfHome()
		}
		h, err := a.openHome()
		if err == nil && network != "" && h.Network() != network {
			return nil, fmt.Errorf("%w: it is of %s, and %s was asked for", node.ErrWrongNetwork, h.Network(), network)
		}
		return h, err
	}
	if network == "" {
		return nil, usagef("a new home needs --network")
	}
	u, err := a.unlock(true)
	if err != nil {
		return nil, err
	}
	return home.CreateWith(a.home, u, network, func(h *home.Home) error { return h.Keys().UseToken(token) })
}

func (a *app) netGenesisCmd() *cobra.Command {
	var paramsFile, out string
	c := &cobra.Command{
		Use:   "genesis CANDIDATE.json...",
		Short: "Assemble the genesis from all founders' files, and ready this home for it",
		Long: `Every founder runs this on the same files, in any order, and gets the same genesis: compare the SHA-256 by
another way than the files came by, and look at the names and powers. It is kept in --home with the addresses of
the others; one of the files must be of this home. With --out it is only written to a file, for those who read.`,
		Example: "  hufu net genesis --home ./net harbour.json hospital.json bank.json university.json",
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			params := home.DefaultParams()
			if paramsFile != "" {
				params = tx.Params{}
				if err := readJSON(paramsFile, &params); err != nil {
					return err
				}
			}
			founders := make([]*home.Candidate, len(args))
			for i, path := range args {
				var err error
				if founders[i], err = readCandidate(path); err != nil {
					return err
				}
			}
			genesis, err := assemble(params, founders)
			if err != nil {
				return err
			}
			if out != "" {
				if err := os.WriteFile(out, genesis, 0o644); err != nil { //nolint:gosec // it is public
					return err
				}
				return a.emitFounded(string(founders[0].Network), genesis, founders, func(io.Writer) {})
			}
			h, err := a.openHome()
			if err != nil {
				return err
			}
			if h.Network() != founders[0].Network {
				return fmt.Errorf("%w: it is of %s, and the founders are of %s", node.ErrWrongNetwork, h.Network(), founders[0].Network)
			}
			if err := h.Join(genesis, founders); err != nil {
				return err
			}
			return a.emitFounded(string(h.Network()), genesis, founders, func(w io.Writer) {
				fmt.Fprintf(w, "when all have the same, start with\n  hufu node start --home %s\n", a.home)
			})
		},
	}
	c.Flags().StringVar(&paramsFile, "params", "", "JSON file of the network's parameters, as of: hufu gov params --json (default: a week to vote, two thirds decide)")
	c.Flags().StringVar(&out, "out", "", "write the genesis to this file instead")
	return c
}

func readCandidate(path string) (*home.Candidate, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, home.MaxCandidate+1))
	if err != nil {
		return nil, err
	}
	c, err := home.ParseCandidate(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// errNoGenesis is of a home whose network has not been founded yet.
func noGenesis(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return hint(errors.New("this home has no genesis yet"), "assemble it from the founders' files with: hufu net genesis FILE...")
	}
	return err
}
