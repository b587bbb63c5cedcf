package client

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
)

// Limits of the HTTP transport.
const (
	maxResponse    = 64 << 20 // a full block in JSON, or a page of a snapshot
	requestTimeout = 30 * time.Second
	connections    = 256
)

// HTTP is the [Transport] to a CometBFT node's RPC over HTTP (JSON-RPC 2.0).
type HTTP struct {
	url  string
	http *http.Client
}

// Dial returns the transport to the RPC at rawURL, "http://host:port" on a loopback address or
// "https://…". It connects on the first request.
func Dial(rawURL string) (*HTTP, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("client: %q is not the URL of a node", rawURL)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, fmt.Errorf("client: %q is neither https nor on this machine", rawURL)
	}
	return &HTTP{
		url: u.String(),
		http: &http.Client{
			Timeout: requestTimeout,
			// A node has no business sending its clients elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				MaxIdleConns: connections, MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections,
				IdleConnTimeout: time.Minute, DisableCompression: true, ForceAttemptHTTP2: true,
			},
		},
	}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Close drops the idle connections.
func (h *HTTP) Close() error {
	h.http.CloseIdleConnections()
	return nil
}

// remoteError is a JSON-RPC error: the node was reached and would not answer.
type remoteError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    string `json:"data"`
}

func (e *remoteError) Error() string {
	text := e.Message + ": " + e.Data
	if len(text) > 200 {
		text = text[:200] + "…"
	}
	return "the node answers: " + text
}

// notKept recognises the engine's words about a block before the first that it keeps.
func (e *remoteError) notKept() error {
	var asked, first hufu.Height
	if n, _ := fmt.Sscanf(e.Data, "height %d is not available, lowest height is %d", &asked, &first); n == 2 {
		return fmt.Errorf("%w: it keeps blocks from %d on, and was asked for %d", ErrNotKept, first, asked)
	}
	return e
}

func (h *HTTP) call(ctx context.Context, method string, params, result any) error {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := h.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	if err != nil {
		return err
	}
	if len(data) > maxResponse {
		return fmt.Errorf("%s: an answer above %d bytes", method, maxResponse)
	}
	var envelope struct {
		Result json.RawMessage `json:"result"`
		Error  *remoteError    `json:"error"`
	}
	if err := json.Unmarshal(data, &envelope); err != nil {
		return fmt.Errorf("%s: HTTP status %d and no JSON-RPC answer", method, resp.StatusCode)
	}
	if envelope.Error != nil {
		return envelope.Error.notKept()
	}
	if err := json.Unmarshal(envelope.Result, result); err != nil {
		return fmt.Errorf("%s: the answer does not read as one: %w", method, err)
	}
	return nil
}

func at(height hufu.Height) map[string]any {
	return map[string]any{"height": strconv.FormatUint(uint64(height), 10)}
}

// Broadcast is broadcast_tx_sync.
func (h *HTTP) Broadcast(ctx context.Context, raw []byte) (Admission, error) {
	var r struct {
		Code      uint32    `json:"code"`
		Log       string    `json:"log"`
		Codespace hufu.Rule `json:"codespace"`
	}
	err := h.call(ctx, "broadcast_tx_sync", map[string]any{"tx": base64.StdEncoding.EncodeToString(raw)}, &r)
	switch {
	case err != nil || r.Code == 0:
		return Admission{}, err
	case r.Codespace == "":
		return Admission{}, &remoteError{Code: int(r.Code), Message: "refused without a rule", Data: r.Log}
	}
	return Admission{Rule: r.Codespace, Detail: r.Log}, nil
}

// SignedHeader is commit.
func (h *HTTP) SignedHeader(ctx context.Context, height hufu.Height) (*proof.SignedHeader, error) {
	var r struct {
		SignedHeader struct {
			Header headerJSON `json:"header"`
			Commit commitJSON `json:"commit"`
		} `json:"signed_header"`
	}
	if err := h.call(ctx, "commit", at(height), &r); err != nil {
		return nil, err
	}
	return &proof.SignedHeader{Header: r.SignedHeader.Header.header(), Commit: r.SignedHeader.Commit.commit()}, nil
}

// Validators is validators, all pages.
func (h *HTTP) Validators(ctx context.Context, height hufu.Height) (proof.ValidatorSet, error) {
	const perPage = 100
	var set proof.ValidatorSet
	for page := 1; page <= proof.MaxValidators/perPage; page++ {
		var r struct {
			Validators []validatorJSON `json:"validators"`
			Total      int             `json:"total,string"`
		}
		params := at(height)
		params["page"], params["per_page"] = strconv.Itoa(page), strconv.Itoa(perPage)
		if err := h.call(ctx, "validators", params, &r); err != nil {
			return nil, err
		}
		if len(r.Validators) > perPage {
			return nil, hufu.Refuse(RuleBadValidators, "a page of more than %d validators", perPage)
		}
		for _, v := range r.Validators {
			val, err := v.validator()
			if err != nil {
				return nil, hufu.Refuse(RuleBadValidators, "%v", err)
			}
			set = append(set, val)
		}
		if len(set) >= r.Total || len(r.Validators) == 0 {
			return set, nil
		}
	}
	return nil, hufu.Refuse(RuleBadValidators, "more than %d validators", proof.MaxValidators)
}

// Block is block.
func (h *HTTP) Block(ctx context.Context, height hufu.Height) ([][]byte, error) {
	var r struct {
		Block struct {
			Data struct {
				Txs [][]byte `json:"txs"`
			} `json:"data"`
		} `json:"block"`
	}
	err := h.call(ctx, "block", at(height), &r)
	return r.Block.Data.Txs, err
}

// Evidence is block.
func (h *HTTP) Evidence(ctx context.Context, height hufu.Height) ([]byte, error) {
	var r struct {
		Block struct {
			Evidence struct {
				Evidence json.RawMessage `json:"evidence"`
			} `json:"evidence"`
		} `json:"block"`
	}
	err := h.call(ctx, "block", at(height), &r)
	return r.Block.Evidence.Evidence, err
}

// Results is block_results.
func (h *HTTP) Results(ctx context.Context, height hufu.Height) ([]Result, error) {
	var r struct {
		Results []struct {
			Code uint32 `json:"code"`
			Data []byte `json:"data"`
			Log  string `json:"log"`
		} `json:"txs_results"`
	}
	if err := h.call(ctx, "block_results", at(height), &r); err != nil {
		return nil, err
	}
	out := make([]Result, len(r.Results))
	for i, x := range r.Results {
		out[i] = Result{Result: proof.Result{Code: x.Code, Data: x.Data}, Log: x.Log}
	}
	return out, nil
}

// Query is abci_query.
func (h *HTTP) Query(ctx context.Context, path string, data []byte) ([]byte, error) {
	var r struct {
		Response struct {
			Code      uint32 `json:"code"`
			Log       string `json:"log"`
			Codespace string `json:"codespace"`
			Value     []byte `json:"value"`
		} `json:"response"`
	}
	params := map[string]any{"path": path, "data": hex.EncodeToString(data)}
	if err := h.call(ctx, "abci_query", params, &r); err != nil {
		return nil, err
	}
	if r.Response.Code != 0 {
		return nil, &remoteError{Code: int(r.Response.Code), Message: r.Response.Codespace, Data: r.Response.Log}
	}
	return r.Response.Value, nil
}
