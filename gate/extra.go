package gate

import (
	"slices"
	"strings"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/credential/mdoc"
	"github.com/hufu-id/hufu/credential/sdjwt"
)

// onlyAsked refuses a presentation that discloses a claim beyond those of one claim set of the query.
// What the issuer left in the clear is nobody's choice at the door and passes; Decide does not see it.
func onlyAsked(query *dcql.CredentialQuery, got *sdjwt.Verified, presentation string) error {
	for _, paths := range claimSets(query) {
		if covered(got.Claims, paths) {
			return nil
		}
	}
	// Something is there that no claim set has. Was it disclosed, or could it not be withheld?
	bare := presentation[:strings.LastIndexByte(presentation, '~')+1]
	cred, err := sdjwt.Parse(bare)
	if err != nil {
		return err
	}
	for _, paths := range claimSets(query) {
		there := slices.DeleteFunc(paths, func(p dcql.Path) bool {
			_, err := dcql.Select(got.Claims, p)
			return err != nil
		})
		// Without a key binding nothing is signed, so no randomness is read.
		least, err := cred.Present(nil, there, sdjwt.KeyBinding{})
		if err != nil {
			return err
		}
		if len(least) == len(bare) {
			return nil
		}
	}
	return hufu.Refuse(RuleExtraClaims, "credential %s: more is disclosed than the contract asks for", query.ID)
}

func claimSets(query *dcql.CredentialQuery) [][]dcql.Path {
	if len(query.ClaimSets) == 0 {
		all := make([]dcql.Path, len(query.Claims))
		for i := range query.Claims {
			all[i] = query.Claims[i].Path
		}
		return [][]dcql.Path{all}
	}
	out := make([][]dcql.Path, len(query.ClaimSets))
	for i, set := range query.ClaimSets {
		for _, c := range set {
			out[i] = append(out[i], query.Claims[c].Path)
		}
	}
	return out
}

// covered reports whether every claim but the registered ones is inside what the paths select.
func covered(claims map[string]any, paths []dcql.Path) bool {
	for name, value := range claims {
		if registered(name) {
			continue
		}
		if !inside(value, name, paths, 0) {
			return false
		}
	}
	return true
}

// registered reports whether a claim is about the credential and not about a person.
func registered(name string) bool {
	switch name {
	case "iss", "vct", "iat", "nbf", "exp", "cnf", "status":
		return true
	}
	return false
}

// inside reports whether value, which stands at step (a member's name or an element's index) of a place
// that the first depth components of each path select, is covered by them.
func inside(value any, step any, paths []dcql.Path, depth int) bool {
	var further []dcql.Path
	for _, p := range paths {
		_, element := step.(int)
		if p[depth] != step && (p[depth] != nil || !element) {
			continue
		}
		if len(p) == depth+1 {
			return true
		}
		further = append(further, p)
	}
	if len(further) == 0 {
		return false
	}
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			if !inside(member, name, further, depth+1) {
				return false
			}
		}
		return len(v) > 0
	case []any:
		for i, element := range v {
			if !inside(element, i, further, depth+1) {
				return false
			}
		}
		return len(v) > 0
	}
	return false
}

// onlyAskedElements refuses a document that shows an element beyond those of one claim set of the query.
// Every element is shown by the holder's choice.
func onlyAskedElements(query *dcql.CredentialQuery, got *mdoc.Verified) error {
	refusal := hufu.Refuse(RuleExtraClaims, "credential %s: more is shown than the contract asks for", query.ID)
	for namespace := range got.Elements {
		if namespace != got.DocType {
			return refusal
		}
	}
	for _, paths := range claimSets(query) {
		asked := make(map[string]bool, len(paths))
		for _, p := range paths {
			element, err := dcql.ElementOf(p)
			if err != nil {
				return err
			}
			asked[element] = true
		}
		all := true
		for element := range got.Elements[got.DocType] {
			all = all && asked[element]
		}
		if all {
			return nil
		}
	}
	return refusal
}
