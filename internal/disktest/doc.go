// Package disktest gives tests a disk of their own, which they can fill and protect against writing. Linux only.
package disktest
