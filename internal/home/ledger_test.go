package home_test

import (
	"context"
	"errors"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
)

// ledger is one without a record.
type ledger struct{}

func (*ledger) Submit(context.Context, []byte) (client.Receipt, error) {
	return client.Receipt{}, errors.New("nothing may be submitted")
}

func (*ledger) Read(_ context.Context, f func(client.View) error) error { return f(blank{}) }

type blank struct{}

func (blank) Get([]byte) ([]byte, error) { return nil, nil }
func (blank) AsOf() hufu.AsOf            { return hufu.AsOf{Height: 1} }
func (blank) Network() hufu.Network      { return network }
