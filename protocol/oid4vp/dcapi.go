package oid4vp

import (
	"encoding/json"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/encoding"
)

// The exchange protocols of the Digital Credentials API (§A.1) that are understood.
const (
	ProtocolUnsigned = "openid4vp-v1-unsigned"
	ProtocolSigned   = "openid4vp-v1-signed"
)

// DCRequest is one entry of digital.requests, which a page gives to navigator.credentials.get.
type DCRequest struct {
	Protocol string          `json:"protocol"`
	Data     json.RawMessage `json:"data"`
}

// UnsignedDC writes r for [ProtocolUnsigned]. Who asks is told by the browser: the page's origin.
func (r *Request) UnsignedDC() (DCRequest, error) {
	p, err := r.payload(unsignedDC)
	if err != nil {
		return DCRequest{}, err
	}
	data, err := jws.MarshalJSON(p)
	return DCRequest{Protocol: ProtocolUnsigned, Data: data}, err
}

// SignedDC writes a signed request object for [ProtocolSigned].
func SignedDC(token string) (DCRequest, error) {
	data, err := jws.MarshalJSON(map[string]string{"request": token})
	return DCRequest{Protocol: ProtocolSigned, Data: data}, err
}

// Parse reads what a page asked for over the Digital Credentials API. Exactly one of the results is not
// nil: the signed request, still to be verified and held against the page's origin with
// [Request.FromOrigin], or the unsigned one. Errors are refusals.
func (d DCRequest) Parse() (*SignedRequest, *Request, error) {
	switch d.Protocol {
	case ProtocolUnsigned:
		r, err := parsePayload(d.Data, unsignedDC)
		return nil, r, err
	case ProtocolSigned:
		var data struct {
			Request string `json:"request"`
		}
		if err := encoding.UnmarshalJSON(d.Data, MaxRequest+1024, &data); err != nil {
			return nil, nil, hufu.Refuse(RuleRequest, "data holds no request")
		}
		s, err := ParseRequest(data.Request)
		if err == nil && !OverDC(s.Mode) {
			err = hufu.Refuse(RuleRequest, "response_mode %s over the Digital Credentials API", s.Mode)
		}
		if err != nil {
			return nil, nil, err
		}
		return s, nil, nil
	}
	return nil, nil, hufu.Refuse(RuleUnsupported, "protocol %q", clip(d.Protocol))
}
