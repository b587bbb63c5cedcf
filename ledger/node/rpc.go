package node

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/cometbft/cometbft/libs/log"
	rpccore "github.com/cometbft/cometbft/rpc/core"
	ctypes "github.com/cometbft/cometbft/rpc/core/types"
	rpcserver "github.com/cometbft/cometbft/rpc/jsonrpc/server"
	rpctypes "github.com/cometbft/cometbft/rpc/jsonrpc/types"
	"github.com/cometbft/cometbft/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/node/shutdown"
)

// served are the engine's RPC methods that clients, auditors and other people's light clients need.
// What changes the node, or shows its insides, is left out.
func served() []string {
	return []string{
		"health", "status", "net_info", "genesis", "genesis_chunked", "blockchain", "header", "block",
		"block_results", "commit", "validators", "consensus_params", "abci_query", "abci_info",
	}
}

// errConvictsNobody is for evidence of amnesia (two headers of two rounds). The engine (CometBFT v0.40.0, evidence/verify.go)
// takes it with no list of validators and puts it into every block that it proposes, where it reads back with an
// empty list, by which all hold the block for invalid: the network would make no block any more.
var errConvictsNobody = errors.New("evidence that convicts nobody is not for the ledger")

const (
	maxRequest  = 256 << 10 // a transaction in base64, or 1024 keys
	rpcTimeout  = 30 * time.Second
	headTimeout = 5 * time.Second
)

// newRPC returns the node's RPC: the engine's methods, broadcast_tx_sync, which goes past the engine, and
// broadcast_evidence, which keeps from it what it cannot bear.
func newRPC(env *rpccore.Environment, broadcast func(context.Context, []byte, source) error, logger log.Logger) *http.Server {
	all := env.GetRoutes()
	routes := map[string]*rpcserver.RPCFunc{
		"broadcast_tx_sync": rpcserver.NewRPCFunc(
			func(ctx *rpctypes.Context, tx types.Tx) (*ctypes.ResultBroadcastTx, error) {
				return broadcastResult(tx, broadcast(ctx.Context(), tx, clientOf(ctx.HTTPReq)))
			}, "tx"),
	}
	routes["broadcast_evidence"] = rpcserver.NewRPCFunc(
		func(ctx *rpctypes.Context, evidence types.Evidence) (*ctypes.ResultBroadcastEvidence, error) {
			if attack, ok := evidence.(*types.LightClientAttackEvidence); ok && len(attack.ByzantineValidators) == 0 {
				return nil, errConvictsNobody
			}
			return env.BroadcastEvidence(ctx, evidence) // which checks it before it keeps it
		}, "evidence")
	for _, name := range served() {
		routes[name] = all[name]
	}
	mux := http.NewServeMux()
	rpcserver.RegisterRPCFuncs(mux, routes, logger)
	s := &http.Server{
		Handler:           rpcserver.RecoverAndLogHandler(http.MaxBytesHandler(mux, maxRequest), logger),
		ReadHeaderTimeout: headTimeout,
		ReadTimeout:       rpcTimeout,
		WriteTimeout:      rpcTimeout,
		IdleTimeout:       2 * rpcTimeout,
		MaxHeaderBytes:    16 << 10,
	}
	shutdown.CloseUnused(s)
	return s
}

// broadcastResult is the answer to a transaction that was taken, or refused, or neither.
func broadcastResult(raw types.Tx, err error) (*ctypes.ResultBroadcastTx, error) {
	var r *hufu.Refusal
	switch {
	case err == nil:
		return &ctypes.ResultBroadcastTx{Code: codeOK, Hash: raw.Hash()}, nil
	case errors.As(err, &r):
		return &ctypes.ResultBroadcastTx{Code: codeRefused, Codespace: string(r.Rule), Log: r.Detail, Hash: raw.Hash()}, nil
	}
	return nil, err
}

// clientOf is the address that a request came from: the one that a server on this machine forwards it for, which
// is whom it names last, or else the connection's.
func clientOf(r *http.Request) source {
	if r == nil {
		return ""
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		named := r.Header.Values("X-Forwarded-For")
		if len(named) > 0 {
			last := named[len(named)-1]
			last = strings.TrimSpace(last[strings.LastIndex(last, ",")+1:])
			if ip := net.ParseIP(last); ip != nil {
				return source(ip.String())
			}
		}
	}
	return source(host)
}

func serve(s *http.Server, l net.Listener, failed func(error)) {
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		failed(err)
	}
}
