-- +goose Up

-- Each gate's receipts are the entries of its log, numbered from 0 without gaps; digest is what the log has
-- of one. Receipts from before the log are in none.
ALTER TABLE receipts ADD COLUMN gate TEXT;
ALTER TABLE receipts ADD COLUMN entry BIGINT;
ALTER TABLE receipts ADD COLUMN digest BYTEA;
CREATE UNIQUE INDEX receipts_by_entry ON receipts (gate, entry);
CREATE INDEX receipts_by_digest ON receipts (digest);
