package contract

import (
	"strings"

	"github.com/cedar-policy/cedar-go"
)

// cedarName writes a path below context as a policy would.
func cedarName(path []string) string {
	var b strings.Builder
	for i, name := range path {
		switch {
		case !isIdentifier(name):
			b.WriteString("[" + string(cedar.String(clip(name)).MarshalCedar()) + "]")
		case i > 0:
			b.WriteString("." + name)
		default:
			b.WriteString(name)
		}
	}
	return b.String()
}

// guard is the expression that asks whether the last name of a path is there.
func guard(path []string) string {
	last := path[len(path)-1]
	if !isIdentifier(last) {
		last = string(cedar.String(clip(last)).MarshalCedar())
	}
	below := "context"
	if len(path) > 1 {
		if below = cedarName(path[:len(path)-1]); below[0] == '[' {
			below = "context" + below
		} else {
			below = "context." + below
		}
	}
	return below + " has " + last
}

func isIdentifier(s string) bool {
	for i, c := range []byte(s) {
		if !isLetter(c) && (i == 0 || !isDigit(c)) {
			return false
		}
	}
	return s != ""
}
