// Package admin is how a command of this program talks to the process that serves a home: JSON over
// HTTP on a socket in the home that its owner alone can open, with a bearer token from a file that its
// owner alone can read. Both are made anew each time a process starts, so a stale copy opens nothing. It
// is never put on a network.
package admin
