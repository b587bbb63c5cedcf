// Package encoding is the project's one binary form and its one way to read JSON.
//
// The binary form is CBOR under the core deterministic requirements (RFC 8949 §4.2.1), and strict:
// what is not the one encoding of a value is refused, so bytes that parse are the bytes that would
// be written again, and a hash or signature over them means one thing. The JSON form is I-JSON (RFC
// 7493), read with caps on size and depth and with duplicate member names refused.
//
// Everything here is pure. Errors name what is wrong and where, never the content.
package encoding
