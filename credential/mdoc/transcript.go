package mdoc

import (
	"crypto/sha256"

	"github.com/hufu-id/hufu/encoding"
)

// Transcript is the encoded SessionTranscript that a holder signs and a verifier makes again.
type Transcript []byte

// RedirectTranscript is the transcript of a request by redirects or URL (OpenID4VP 1.0 Appendix
// B.2.6.1). clientID includes its prefix; thumbprint is the SHA-256 thumbprint of the key that the
// response is encrypted to, nil when it is not; responseURI is response_uri or redirect_uri.
func RedirectTranscript(clientID, nonce string, thumbprint []byte, responseURI string) (Transcript, error) {
	return transcript("OpenID4VPHandover", []any{clientID, nonce, orNull(thumbprint), responseURI})
}

// DCAPITranscript is the transcript of a request through the Digital Credentials API (Appendix
// B.2.6.2). origin is the caller's, without the prefix "origin:".
func DCAPITranscript(origin, nonce string, thumbprint []byte) (Transcript, error) {
	return transcript("OpenID4VPDCAPIHandover", []any{origin, nonce, orNull(thumbprint)})
}

func orNull(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

func transcript(name string, info []any) (Transcript, error) {
	raw, err := encoding.Marshal(info)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(raw)
	return encoding.Marshal([]any{nil, nil, []any{name, hash[:]}})
}

// deviceAuthentication is the bytes that the holder's key signs (ISO/IEC 18013-5 §9.1.3.4):
// #6.24(bstr .cbor ["DeviceAuthentication", SessionTranscript, DocType, DeviceNameSpacesBytes]).
func deviceAuthentication(t Transcript, docType string, nameSpaces encoding.RawCBOR) ([]byte, error) {
	raw, err := encoding.MarshalForeign([]any{"DeviceAuthentication", encoding.RawCBOR(t), docType, nameSpaces})
	if err != nil {
		return nil, err
	}
	return embed(raw)
}
