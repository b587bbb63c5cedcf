package didres

import (
	"strconv"
	"time"

	"github.com/hufu-id/hufu/ledger/state/did"
)

// Options are the options of a resolution (§4.1), besides the representation. The ledger proves an
// identifier's present document alone, so a version that is past is not to be had.
type Options struct {
	version uint64
	at      *time.Time
}

// ParseOptions reads options by their names. A nil problem says that they are good.
func ParseOptions(values map[string][]string) (o Options, bad *Result) {
	fail := func(e ErrorType, detail string) *Result {
		r := Failed(e, detail)
		return &r
	}
	for name, v := range values {
		if len(v) != 1 {
			return Options{}, fail(InvalidOptions, "an option is given twice")
		}
		var err error
		switch name {
		case "versionId":
			o.version, err = strconv.ParseUint(v[0], 10, 64)
			if err != nil || strconv.FormatUint(o.version, 10) != v[0] || o.version == 0 {
				return Options{}, fail(InvalidOptions, "versionId is a number from 1")
			}
		case "versionTime":
			var at time.Time
			if at, err = time.Parse(time.RFC3339, v[0]); err != nil {
				return Options{}, fail(InvalidOptions, "versionTime is a time such as 2026-01-31T12:00:00Z")
			}
			o.at = &at
		case "expandRelativeUrls": // all are absolute
			if v[0] != "true" && v[0] != "false" {
				return Options{}, fail(InvalidOptions, "expandRelativeUrls is true or false")
			}
		default:
			return Options{}, fail(FeatureNotSupported, "the options are versionId, versionTime and expandRelativeUrls")
		}
	}
	if o.version != 0 && o.at != nil {
		return Options{}, fail(InvalidOptions, "versionId and versionTime exclude each other")
	}
	return o, nil
}

// is reports whether rec is the version asked for.
func (o Options) is(rec *did.Record) bool {
	switch {
	case o.version != 0:
		return o.version == rec.Version
	case o.at != nil:
		return o.at.Unix() >= rec.UpdatedTime
	}
	return true
}

// other is the result for a version that rec is not.
func (o Options) other(rec *did.Record) Result {
	if o.version > rec.Version || o.at != nil && o.at.Unix() < rec.CreatedTime {
		return Failed(NotFound, "the identifier has no such version")
	}
	return Failed(FeatureNotSupported, "the ledger proves the present document, version "+strconv.FormatUint(rec.Version, 10)+"; which key held when is in its record")
}
