// Package server puts the HTTP faces of the roles on one origin: health, metrics, DID resolution,
// status lists and the gate. It decides nothing; it bounds what a caller can cost (body, header and
// time limits), serves plain HTTP on loopback only, and stops without cutting off an answer.
package server
