package mdoc

import (
	"crypto/sha256"
	"crypto/subtle"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/cose"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

// Content is what a document says.
type Content struct {
	DocType    string
	DeviceKey  keys.PublicKey // the holder's; the zero key when it is of no suite of ours
	Signed     time.Time      // when the issuer signed
	ValidFrom  time.Time
	ValidUntil time.Time
	Status     *StatusRef                // nil: the document has no status
	Elements   map[string]map[string]any // the elements at hand as JSON values, by namespace and identifier
	Signer     x5c.Certified             // what the issuer's certificate says

	noDevice error // why DeviceKey is zero
}

// Claims are the elements of the namespace that is named as the document type, in the form of a
// JSON credential: see [ElementsOf]. It refuses elements that lie within one another.
func (c *Content) Claims() (map[string]any, error) { return claimsOf(c.Elements[c.DocType]) }

// item is one element with the bytes that its digest goes over.
type item struct {
	issuerSignedItem
	namespace string
	raw       encoding.RawCBOR
}

// issued is IssuerSigned taken apart.
type issued struct {
	Content
	items   []item
	digests map[string]map[uint64][]byte
	auth    *cose.Message
	authRaw encoding.RawCBOR
	chain   x5c.Chain
}

// decode reads the base64url form that the protocols carry.
func decode(text string) ([]byte, error) {
	if len(text) > (MaxSize+2)/3*4 {
		return nil, hufu.Refuse(RuleTooLarge, "more than %d bytes", MaxSize)
	}
	raw, err := jws.DecodeBase64(text)
	if err != nil {
		return nil, hufu.Refuse(RuleMalformed, "not in base64url")
	}
	if len(raw) > MaxSize {
		return nil, hufu.Refuse(RuleTooLarge, "%d bytes, more than %d", len(raw), MaxSize)
	}
	return raw, nil
}

// parseIssued reads an IssuerSigned structure, checking its form.
func parseIssued(raw []byte) (*issued, error) {
	var w issuerSigned
	if err := read(raw, &w, "IssuerSigned"); err != nil {
		return nil, err
	}
	d := &issued{authRaw: w.IssuerAuth}
	if err := d.readItems(w.NameSpaces); err != nil {
		return nil, err
	}
	var err error
	if d.auth, err = cose.Parse(w.IssuerAuth, MaxSize); err != nil {
		return nil, refuseAs(RuleIssuerAuth, "issuerAuth", err)
	}
	if d.auth.Tagged || d.auth.Payload == nil || len(d.auth.X5Chain) == 0 {
		return nil, hufu.Refuse(RuleIssuerAuth, "issuerAuth is tagged, detached or without certificates")
	}
	if err := d.readObject(); err != nil {
		return nil, err
	}
	if d.chain, err = x5c.Parse(d.auth.X5Chain); err != nil {
		return nil, err
	}
	d.Signer = d.chain.Leaf()
	return d, nil
}

func refuseAs(rule hufu.Rule, what string, err error) error {
	return hufu.Refuse(rule, "%s: %v", what, err)
}

func (d *issued) readItems(nameSpaces map[string][]encoding.RawCBOR) error {
	d.Elements = make(map[string]map[string]any, len(nameSpaces))
	for ns, raws := range nameSpaces {
		if len(d.items)+len(raws) > MaxElements {
			return hufu.Refuse(RuleTooLarge, "more than %d elements", MaxElements)
		}
		if len(raws) == 0 || ns == "" || len(ns) > MaxIdentifier {
			return hufu.Refuse(RuleMalformed, "a namespace without elements or of no fitting name")
		}
		values := make(map[string]any, len(raws))
		used := make(map[uint64]bool, len(raws))
		for _, raw := range raws {
			it := item{namespace: ns, raw: raw}
			inner, err := unembed(raw)
			if err != nil {
				return err
			}
			if err := read(inner, &it.issuerSignedItem, "an element"); err != nil {
				return err
			}
			_, twice := values[it.Identifier]
			switch {
			case it.Identifier == "" || len(it.Identifier) > MaxIdentifier:
				return hufu.Refuse(RuleMalformed, "an element without a fitting identifier")
			case twice || used[it.DigestID]:
				return hufu.Refuse(RuleTwice, "an element or its digest is there twice")
			case len(it.Random) < MinSalt:
				return hufu.Refuse(RuleSalt, "a salt of %d bytes, fewer than %d", len(it.Random), MinSalt)
			}
			if values[it.Identifier], err = readValue(it.Value); err != nil {
				return err
			}
			used[it.DigestID] = true
			d.items = append(d.items, it)
		}
		d.Elements[ns] = values
	}
	return nil
}

// readObject reads the mobile security object.
func (d *issued) readObject() error {
	inner, err := unembed(d.auth.Payload)
	if err != nil {
		return err
	}
	var o securityObject
	if err := read(inner, &o, "the security object"); err != nil {
		return err
	}
	if err := checkVersion(o.Version); err != nil {
		return err
	}
	if o.DigestAlg != digestAlg {
		return hufu.Refuse(RuleDigestAlg, "digests are made with another algorithm than %s", digestAlg)
	}
	if o.DocType == "" || len(o.DocType) > MaxIdentifier {
		return hufu.Refuse(RuleMalformed, "no fitting docType")
	}
	if err := checkDigestForm(o.ValueDigests); err != nil {
		return err
	}
	d.DocType, d.digests = o.DocType, o.ValueDigests
	for _, t := range []struct {
		at   *time.Time
		raw  encoding.RawCBOR
		what string
	}{{&d.Signed, o.ValidityInfo.Signed, "signed"}, {&d.ValidFrom, o.ValidityInfo.ValidFrom, "validFrom"}, {&d.ValidUntil, o.ValidityInfo.ValidUntil, "validUntil"}} {
		if *t.at, err = readTime(t.raw, t.what); err != nil {
			return err
		}
	}
	if d.ValidFrom.Before(d.Signed) || !d.ValidUntil.After(d.ValidFrom) {
		return hufu.Refuse(RuleMalformed, "signed, validFrom and validUntil are not in this order")
	}
	if d.DeviceKey, err = cose.ParseKey(o.DeviceKeyInfo.DeviceKey); err != nil {
		d.noDevice = refuseAs(RuleDeviceKey, "deviceKey", err)
	}
	d.Status, err = readStatus(o.Status)
	return err
}

func checkDigestForm(digests map[string]map[uint64][]byte) error {
	n := 0
	seen := map[string]bool{}
	for _, of := range digests {
		if n += len(of); n > MaxDigests {
			return hufu.Refuse(RuleTooLarge, "more than %d digests", MaxDigests)
		}
		for _, digest := range of {
			if len(digest) != sha256.Size {
				return hufu.Refuse(RuleMalformed, "a digest of %d bytes", len(digest))
			}
			if seen[string(digest)] {
				return hufu.Refuse(RuleTwice, "one digest in two places")
			}
			seen[string(digest)] = true
		}
	}
	return nil
}

// checkDigests checks that every element at hand is one that the issuer signed (§9.3.1).
func (d *issued) checkDigests() error {
	for i := range d.items {
		it := &d.items[i]
		want, there := d.digests[it.namespace][it.DigestID]
		if !there {
			return hufu.Refuse(RuleUnsigned, "an element that the issuer signed no digest for")
		}
		if got := sha256.Sum256(it.raw); subtle.ConstantTimeCompare(got[:], want) != 1 {
			return hufu.Refuse(RuleDigest, "an element is not what the issuer signed")
		}
	}
	return nil
}
