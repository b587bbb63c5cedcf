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

// The errors that this resolver gives.
const (
	InvalidDID         ErrorType = "https://www.w3.org/ns/did#INVALID_DID"
	NotFound           ErrorType = "https://www.w3.org/ns/did#NOT_FOUND"
	MethodNotSupported ErrorType = "https://www.w3.org/ns/did#METHOD_NOT_SUPPORTED"
	InternalError      ErrorType = "https://www.w3.org/ns/did#INTERNAL_ERROR"
)

// Problem is the error of a result (RFC 9457 §3.1).
type Problem struct {
	Type  ErrorType `json:"type"`
	Title string    `json:"title"`
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
}

// Failed is the result that only tells an error.
func Failed(e ErrorType) Result {
	titles := map[ErrorType]string{
		InvalidDID:         "the identifier is not a valid DID of this method",
		NotFound:           "the ledger proves that there is no such identifier",
		MethodNotSupported: "this resolver knows did:hufu identifiers of its own network",
		InternalError:      "the ledger could not be read",
	}
	return Result{ResolutionMetadata: ResolutionMetadata{Error: &Problem{e, titles[e]}}}
}

// Resolve resolves an identifier of network from r, whose answers hold for asOf. An error is the
// reader's; everything else is a result.
func Resolve(r state.Reader, network hufu.Network, asOf hufu.AsOf, identifier string) (Result, error) {
	if !strings.HasPrefix(identifier, "did:") {
		return Failed(InvalidDID), nil
	}
	if !strings.HasPrefix(identifier, "did:hufu:") {
		return Failed(MethodNotSupported), nil
	}
	n, id, err := hufu.DID(identifier).Parse()
	if err != nil {
		return Failed(InvalidDID), nil
	}
	if n != network {
		return Failed(MethodNotSupported), nil
	}
	rec, err := did.Get(r, id)
	if err != nil {
		return Result{}, err
	}
	if rec == nil {
		result := Failed(NotFound)
		result.ResolutionMetadata.Ledger = &asOf
		return result, nil
	}
	doc, err := did.NewDocument(rec, network)
	if err != nil {
		return Result{}, err
	}
	return Result{
		Document:           doc,
		ResolutionMetadata: ResolutionMetadata{ContentType: DocumentType, Ledger: &asOf},
		DocumentMetadata: DocumentMetadata{
			Created: rfc3339(rec.CreatedTime), Updated: rfc3339(rec.UpdatedTime),
			Deactivated: rec.IsDeactivated(), VersionID: strconv.FormatUint(rec.Version, 10),
		},
	}, nil
}

func rfc3339(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }

// Status is the HTTP status of a result (§10.1), as a number: protocols here know no HTTP.
func (r *Result) Status() int {
	switch {
	case r.ResolutionMetadata.Error == nil && r.DocumentMetadata.Deactivated:
		return 410
	case r.ResolutionMetadata.Error == nil:
		return 200
	}
	switch r.ResolutionMetadata.Error.Type {
	case InvalidDID:
		return 400
	case NotFound:
		return 404
	case MethodNotSupported:
		return 501
	}
	return 500
}
