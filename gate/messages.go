package gate

import (
	"encoding/json"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

// PrefixNone is the [SessionInput.ClientIDPrefix] that asks over the Digital Credentials API without a
// signature: who asks is told by the browser alone.
const PrefixNone = "none"

// SessionInput is what the service behind the gate wants asked. What a person is asked to show is not in
// it: that is the published contract's to say.
type SessionInput struct {
	Contract         string            `json:"contract" minLength:"1" maxLength:"64" doc:"Name of a published contract of this gate"`
	Format           string            `json:"format,omitempty" enum:"dc+sd-jwt,mso_mdoc" doc:"Credential format; dc+sd-jwt unless given"`
	ResponseMode     string            `json:"response_mode,omitempty" enum:"direct_post,direct_post.jwt,dc_api,dc_api.jwt" doc:"direct_post.jwt unless given"`
	ClientIDPrefix   string            `json:"client_id_prefix,omitempty" enum:"decentralized_identifier,x509_san_dns,x509_hash,redirect_uri,none" doc:"How the gate names itself; decentralized_identifier unless given. none: unsigned, over the Digital Credentials API only"`
	RequestURIMethod string            `json:"request_uri_method,omitempty" enum:"get,post" doc:"How wallets fetch the request; get unless given"`
	CrossDevice      bool              `json:"cross_device,omitempty" doc:"The wallet is on another device than the browser: show page, whose browser is sent back"`
	ReturnURI        string            `json:"return_uri,omitempty" maxLength:"2048" doc:"Where the person's browser is sent afterwards, with a fresh response_code that the result is fetched with"`
	Origins          []string          `json:"expected_origins,omitempty" maxItems:"16" doc:"Origins of the pages that ask over the Digital Credentials API"`
	TransactionData  []json.RawMessage `json:"transaction_data,omitempty" maxItems:"8" doc:"What the person is to consent to, each an object with type and credential_ids"`
	Claims           bool              `json:"claims,omitempty" doc:"Hand over what was shown, once, when the person is let in"`
}

// SessionOutput is a session that was opened.
type SessionOutput struct {
	ID        string            `json:"id" doc:"For the service alone; the result is fetched with it"`
	State     string            `json:"state" doc:"Names the session to the wallet"`
	ExpiresAt time.Time         `json:"expires_at"`
	URI       string            `json:"uri,omitempty" doc:"Link that invokes a wallet on this device"`
	Request   string            `json:"request_uri,omitempty" doc:"Where the wallet gets the request"`
	Page      string            `json:"page,omitempty" doc:"Page to show on the device without the wallet: QR code, and back to return_uri"`
	DC        *oid4vp.DCRequest `json:"digital_credentials_request,omitempty" doc:"For navigator.credentials.get"`
}

// The values of [SessionResult.Status].
const (
	StatusOpen     = "open"     // nobody has answered
	StatusAnswered = "answered" // and it was decided
	StatusExpired  = "expired"  // nobody answered in time, or what was answered is forgotten
	StatusFailed   = "failed"   // an answer came, but no decision was reached: ask again
)

// SessionResult is what came of a session.
type SessionResult struct {
	Status   string                `json:"status" enum:"open,answered,expired,failed"`
	Contract hufu.ContractID       `json:"contract"`
	Version  uint32                `json:"version"`
	Decision *hufu.Decision        `json:"decision,omitempty" doc:"allow or deny"`
	Rule     hufu.Rule             `json:"rule,omitempty" doc:"What the answer was refused by"`
	Reason   string                `json:"reason,omitempty"`
	Policies []string              `json:"policies,omitempty" doc:"The contract's policies that decided"`
	Grant    *Grant                `json:"grant,omitempty"`
	Receipt  string                `json:"receipt,omitempty" doc:"The signed decision"`
	Claims   map[string]Credential `json:"claims,omitempty" doc:"What was shown, by the id of the contract's credential query; only once"`
}

// Credential is one credential that was shown and verified.
type Credential struct {
	Type   string         `json:"type" doc:"vct, or the document type, which is the same"`
	Issuer hufu.DID       `json:"issuer"`
	Claims map[string]any `json:"claims" doc:"The claims that the contract asks for, and no others"`
}

// DCInput is what a page got from navigator.credentials.get.
type DCInput struct {
	Origin   string          `json:"origin" doc:"Of the page, one of expected_origins"`
	Protocol string          `json:"protocol" doc:"As in the request"`
	Data     json.RawMessage `json:"data"`
}
