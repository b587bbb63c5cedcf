-- +goose Up
CREATE TABLE requests (
    state    TEXT PRIMARY KEY,
    nonce    TEXT NOT NULL UNIQUE,
    contract TEXT NOT NULL,
    version  INTEGER NOT NULL,
    opened   INTEGER NOT NULL,
    expires  INTEGER NOT NULL,
    answered INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_by_expiry ON requests (expires);

CREATE TABLE receipts (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    time     INTEGER NOT NULL,
    contract TEXT NOT NULL,
    decision TEXT NOT NULL,
    rule     TEXT NOT NULL,
    token    TEXT NOT NULL
) STRICT;
-- +goose StatementBegin
CREATE TRIGGER receipts_are_not_changed BEFORE UPDATE ON receipts
BEGIN SELECT RAISE(ABORT, 'receipts are append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER receipts_are_not_deleted BEFORE DELETE ON receipts
BEGIN SELECT RAISE(ABORT, 'receipts are append-only'); END;
-- +goose StatementEnd

-- The machine's boot that wrote last: see voidAfterReboot.
CREATE TABLE boot (id TEXT NOT NULL) STRICT;
