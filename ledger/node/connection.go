package node

import (
	"context"

	abcicli "github.com/cometbft/cometbft/abci/client"
	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/libs/service"
)

// connection is the engine's way to the application in the same process, without the lock that the
// engine's own local client holds over every call: transactions are checked while blocks execute.
// The application locks what it must.
type connection struct {
	service.BaseService
	abci.Application
	callback abcicli.Callback
}

// connections makes them; it is a proxy.ClientCreator.
type connections struct{ app abci.Application }

func (c connections) NewABCIClient() (abcicli.Client, error) {
	conn := &connection{Application: c.app}
	conn.BaseService = *service.NewBaseService(nil, "connection", conn)
	return conn, nil
}

func (c *connection) Error() error                { return nil }
func (c *connection) Flush(context.Context) error { return nil }

func (c *connection) Echo(_ context.Context, msg string) (*abci.ResponseEcho, error) {
	return &abci.ResponseEcho{Message: msg}, nil
}

// SetResponseCallback is called before the first request.
func (c *connection) SetResponseCallback(cb abcicli.Callback) { c.callback = cb }

func (c *connection) CheckTxAsync(ctx context.Context, req *abci.RequestCheckTx) (*abcicli.ReqRes, error) {
	answer, err := c.CheckTx(ctx, req)
	if err != nil {
		return nil, err
	}
	request, response := abci.ToRequestCheckTx(req), abci.ToResponseCheckTx(answer)
	if c.callback != nil {
		c.callback(request, response)
	}
	rr := abcicli.NewReqRes(request)
	rr.Response = response
	rr.InvokeCallback() // none is set yet: from now on it is called as soon as it is
	return rr, nil
}
