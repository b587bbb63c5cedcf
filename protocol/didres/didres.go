// Package didres is DID Resolution 1.0 for did:hufu: from an identifier's record, which the caller has
// had proven, to the result that any resolver's client understands. It is pure; the HTTP binding lives
// with the server.
package didres

import (
	"strconv"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/did"
)

// Media types of the HTTP binding (§10.1) and of a document (DID Core 1.1).
const (
	ResultType   = "application/did-resolution"
	DocumentType = "application/did"
)

// ErrorType is the type of a problem, a URL (§11).
type ErrorType string

// The errors that this resolver gives (§11).
const (
	InvalidDID                 ErrorType = "https://www.w3.org/ns/did#INVALID_DID"
	InvalidOptions             ErrorType = "https://www.w3.org/ns/did#INVALID_OPTIONS"
	NotFound                   ErrorType = "https://www.w3.org/ns/did#NOT_FOUND"
	RepresentationNotSupported ErrorType = "https://www.w3.org/ns/did#REPRESENTATION_NOT_SUPPORTED"
	MethodNotSupported         ErrorType = "https://www.w3.org/ns/did#METHOD_NOT_SUPPORTED"
	FeatureNotSupported        ErrorType = "https://www.w3.org/ns/did#FEATURE_NOT_SUPPORTED"
	InternalError              ErrorType = "https://www.w3.org/ns/did#INTERNAL_ERROR"
)

// Problem is the error of a result (RFC 9457 §3.1).
type Problem struct {
	Type   ErrorType `json:"type"`
	Title  string    `json:"title"`
	Detail string    `json:"detail,omitempty"`
}

// Result is a DID resolution result (§4.4).
type Result struct {
	Document           *did.Document      `json:"didDocument"`
	ResolutionMetadata ResolutionMetadata `json:"didResolutionMetadata"`
	DocumentMetadata   DocumentMetadata   `json:"didDocumentMetadata"`
}

// ResolutionMetadata is about the resolution itself (§4.2). Ledger, an addition, says for which proven
// state the answer holds.
type ResolutionMetadata struct {
	ContentType string     `json:"contentType,omitempty"`
	Error       *Problem   `json:"error,omitempty"`
	Ledger      *hufu.AsOf `json:"ledger,omitempty"`
}

// DocumentMetadata is about the document (§4.3). Times are RFC 3339 in UTC.
type DocumentMetadata struct {
	Created     string `json:"created,omitempty"`
	Updated     string `json:"updated,omitempty"`
	Deactivated bool   `json:"deactivated,omitempty"`
	VersionID   string `json:"versionId,omitempty"`
	// Recovery, an addition, tells whoever relies on the identifier that its keys may change hands.
	Recovery *Recovery `json:"recovery,omitempty"`
}

// Recovery is what guardians have under way. Without a Plan, too few have approved one.
type Recovery struct {
	Approvals       int          `json:"approvals"`
	Threshold       int          `json:"threshold"`
	Plan            *hufu.Digest `json:"plan,omitempty"`
	Since           string       `json:"since,omitempty"`     // RFC 3339
	NotBefore       string       `json:"notBefore,omitempty"` // when it can be finished, and
	NotBeforeHeight hufu.Height  `json:"notBeforeHeight,omitempty"`
}

// meaning is a title for people, and its HTTP status (§10.1), as a number: protocols here know
// no HTTP.
func (e ErrorType) meaning() (title string, status int) {
	switch e {
	case InvalidDID:
		return "the identifier is not a valid DID of this method", 400
	case InvalidOptions:
		return "the options of the resolution are not valid", 400
	case NotFound:
		return "the ledger proves that there is no such identifier", 404
	case RepresentationNotSupported:
		return "there is no such representation", 406
	case MethodNotSupported:
		return "this resolver knows did:hufu identifiers of its own network", 501
	case FeatureNotSupported:
		return "the resolver does not have this feature", 501
	}
	return "the ledger could not be read", 500
}

// Failed is the result that only tells an error. Detail may be empty.
func Failed(e ErrorType, detail string) Result {
	title, _ := e.meaning()
	return Result{ResolutionMetadata: ResolutionMetadata{Error: &Problem{e, title, detail}}}
}

// Resolve resolves an identifier of network from r, whose answers hold for asOf (§4.5). An error is the
// reader's; everything else is a result.
func Resolve(r state.Reader, network hufu.Network, asOf hufu.AsOf, identifier string, o Options) (Result, error) {
	method, ok := methodOf(identifier)
	if !ok {
		return Failed(InvalidDID, ""), nil
	}
	if method != "hufu" {
		return Failed(MethodNotSupported, ""), nil
	}
	n, id, invalid := hufu.DID(identifier).Parse()
	if invalid != nil {
		return Failed(InvalidDID, ""), nil //nolint:nilerr // what is wrong with the identifier is the result
	}
	if n != network {
		return Failed(MethodNotSupported, ""), nil
	}
	rec, err := did.Peek(r, id)
	if err != nil {
		return Result{}, err
	}
	var result Result
	switch {
	case rec == nil:
		result = Failed(NotFound, "")
	case !o.is(rec):
		result = o.other(rec)
	default:
		if result, err = resolved(rec, network); err != nil {
			return Result{}, err
		}
	}
	result.ResolutionMetadata.Ledger = &asOf
	return result, nil
}

// resolved is the result for a record: without a document when the identifier is deactivated.
func resolved(rec *did.Record, network hufu.Network) (Result, error) {
	result := Result{DocumentMetadata: DocumentMetadata{
		Created: rfc3339(rec.CreatedTime), Deactivated: rec.IsDeactivated(), VersionID: strconv.FormatUint(rec.Version, 10),
	}}
	if rec.Version > 1 {
		result.DocumentMetadata.Updated = rfc3339(rec.UpdatedTime)
	}
	if rec.IsDeactivated() {
		return result, nil
	}
	result.DocumentMetadata.Recovery = recovery(rec)
	doc, err := did.NewDocument(rec, network)
	if err != nil {
		return Result{}, err
	}
	result.Document, result.ResolutionMetadata.ContentType = doc, DocumentType
	return result, nil
}

func recovery(rec *did.Record) *Recovery {
	if !rec.Recovering() {
		return nil
	}
	r := &Recovery{Approvals: len(rec.Recovery.Approvals), Threshold: int(rec.Guard.Threshold)}
	if p := rec.Recovery.Pending; p != nil {
		r.Plan, r.Approvals = &p.Digest, len(p.Guardians)
		r.Since, r.NotBefore, r.NotBeforeHeight = rfc3339(p.SinceTime), rfc3339(p.RipeTime), p.Ripe
	}
	return r
}

func rfc3339(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }

// Status is the HTTP status of a result (§10.1).
func (r *Result) Status() int {
	switch {
	case r.ResolutionMetadata.Error != nil:
		_, status := r.ResolutionMetadata.Error.Type.meaning()
		return status
	case r.DocumentMetadata.Deactivated:
		return 410
	}
	return 200
}

// methodOf is the method of a DID, if that is what it is (DID Core 1.0 §3.1).
func methodOf(identifier string) (method string, ok bool) {
	rest, ok := strings.CutPrefix(identifier, "did:")
	if !ok {
		return "", false
	}
	method, id, ok := strings.Cut(rest, ":")
	if !ok || method == "" || id == "" || id[len(id)-1] == ':' {
		return "", false
	}
	for _, c := range []byte(method) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return "", false
		}
	}
	for i := 0; i < len(id); i++ {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_', c == ':':
		case c == '%' && i+2 < len(id) && isHex(id[i+1]) && isHex(id[i+2]):
			i += 2
		default:
			return "", false
		}
	}
	return method, true
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
