// Package keystore keeps private keys at rest: signing keys of the suites of package keys, and
// 32-byte data keys that services encrypt their own stores with, all in one file.
//
// The file is an age file (age-encryption.org/v1), so it can be opened with other people's tools:
// encrypted to a passphrase, or to an age identity in a key file of its own. Its plaintext is
// deterministic CBOR. Secrets are never written unencrypted and never put into errors or logs.
//
// What is trusted: this process, and the file system to keep modes. A file that others may read or
// write is refused. A write is atomic (temporary file, fsync, rename, fsync of the directory) and
// takes a lock beside the file, so processes that write at once lose nothing of each other.
package keystore
