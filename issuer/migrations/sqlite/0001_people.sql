-- +goose Up

-- Proves that the store is opened with the key and by the issuer it was made for.
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One file a person, encrypted under a key of its own. Without data_key the file is erased.
CREATE TABLE people (
    number   INTEGER PRIMARY KEY,
    person   BLOB NOT NULL UNIQUE, -- keyed digest of the resident number
    data_key BLOB,                 -- sealed under the master key
    file     BLOB,                 -- sealed under the data key
    mark     BLOB,                 -- keyed digest of the row, to tell an unchanged one
    changed  INTEGER NOT NULL
) STRICT;

-- The copies a person holds. Which status entry a copy has is sealed under the person's data key.
CREATE TABLE copies (
    number INTEGER PRIMARY KEY,
    person BLOB NOT NULL,
    status INTEGER NOT NULL DEFAULT 0,
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX copies_by_person ON copies (person);

-- Who looked at whose file: every reading, its time and purpose.
CREATE TABLE accesses (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    person  BLOB NOT NULL,
    time    INTEGER NOT NULL,
    purpose TEXT NOT NULL
) STRICT;
CREATE INDEX accesses_by_person ON accesses (person);
-- +goose StatementBegin
CREATE TRIGGER accesses_are_not_changed BEFORE UPDATE ON accesses
BEGIN SELECT RAISE(ABORT, 'accesses are append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER accesses_are_not_deleted BEFORE DELETE ON accesses
BEGIN SELECT RAISE(ABORT, 'accesses are append-only'); END;
-- +goose StatementEnd

-- Status lists, and how many entries of each were given. The order they are given in is a secret
-- permutation, sealed under the master key.
CREATE TABLE lists (
    number INTEGER PRIMARY KEY,
    size   INTEGER NOT NULL,
    uri    TEXT NOT NULL,
    seed   BLOB NOT NULL,
    given  INTEGER NOT NULL DEFAULT 0,
    opened INTEGER NOT NULL DEFAULT 0
) STRICT;
