// Package database opens the relational database of a role: a SQLite file, or PostgreSQL by a DSN.
// What is in it is sealed or of no one's by the callers; this package promises four things about it.
//
//   - Changes happen one after another, in however many processes they are made. So "look, then
//     write" inside one change is safe, and what may be taken once is taken once.
//   - A change is on disk when [DB.Write] returns. Changes of many callers share transactions, so that
//     the wait for the disk is shared as well; one that fails is undone and leaves the others alone.
//   - Each schema's migrations are embedded in the program and applied when it is opened.
//   - On SQLite, what was deleted is overwritten, and [DB.Forget] sees to it that no log of changes has
//     it either. On PostgreSQL that is the operator's to see to (VACUUM, the write-ahead log's archive, backups),
//     which is why whatever may have to be erased is kept under a key that is destroyed with it.
//
// Queries are written once, with "?" or "?1" for their arguments, in the SQL that both engines speak.
package database
