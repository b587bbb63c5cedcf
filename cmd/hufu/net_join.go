package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
)

// joinRetain is for how long a home that joins keeps blocks unless told otherwise: the least there is.
const joinRetain = "180d"

func (a *app) netJoinCmd() *cobra.Command {
	var peers []string
	var retain string
	c := &cobra.Command{
		Use:   "join GENESIS --peer ID@HOST:PORT",
		Short: "Ready this home for a network that runs already",
		Long: `Keeps the network's genesis in --home, which "hufu net candidate" made, and the nodes that its own is to connect
to: name two or more where there are. The genesis is what everything is verified from: compare its SHA-256 with the
members'. Then "hufu node start" begins with a snapshot of the peers' state, verified by headers that the
validators signed, and keeps blocks from there on for as long as --retain says; with --retain all it fetches and
replays every block. The node votes once the members have admitted the organisation with its file.`,
		Example: "  hufu net join genesis.json --home ./net --peer 0ed9f81f11c4055f08a91905a836970265770217@node.harbour.example:26656",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			for _, peer := range peers {
				id, address, _ := strings.Cut(peer, "@")
				if raw, err := hex.DecodeString(id); err != nil || len(raw) != 20 {
					return usagef("%q names no peer: ID@HOST:PORT, as its operator sees in: hufu node start", peer)
				}
				if err := home.CheckAddress(address); err != nil {
					return usageError{err}
				}
			}
			if _, err := home.Retain(retain).Duration(node.LeastRetain); err != nil {
				return usageError{err}
			}
			genesis, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			trust, err := client.ParseGenesis(genesis)
			if err != nil {
				return err
			}
			h, err := home.Peek(a.home)
			if err != nil {
				return err
			}
			if trust.Network != h.Network() {
				return fmt.Errorf("%w: it is of %s, and the genesis is of %s", node.ErrWrongNetwork, h.Network(), trust.Network)
			}
			s, err := h.NodeSettings()
			if err != nil {
				return err
			}
			if err := h.SetGenesis(genesis); err != nil {
				return err
			}
			s.Peers, s.Retain = peers, home.Retain(retain)
			if err := h.SetNodeSettings(s); err != nil {
				return err
			}
			sum := sha256.Sum256(genesis)
			return a.emit(map[string]any{"network": h.Network(), "genesis_sha256": hex.EncodeToString(sum[:]), "peers": peers, "retain": retain}, func(w io.Writer) {
				fmt.Fprintf(w, "genesis of network %s, SHA-256 %x: compare it with the members'\nthen start with\n  hufu node start --home %s\n", h.Network(), sum, a.home)
			})
		},
	}
	c.Flags().StringSliceVar(&peers, "peer", nil, "node to connect to, ID@HOST:PORT; several separated by commas")
	c.Flags().StringVar(&retain, "retain", joinRetain, "how long blocks are kept: all, or a number of days")
	_ = c.MarkFlagRequired("peer")
	return c
}
