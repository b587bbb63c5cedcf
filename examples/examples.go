// Package examples embeds the example contracts and credential types, so that the demonstration, the
// tests and a reader use the same files.
package examples

import "embed"

// Files holds contracts/*.toml and types/*.json.
//
//go:embed contracts types
var Files embed.FS
