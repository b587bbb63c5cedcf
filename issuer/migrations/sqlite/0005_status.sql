-- +goose Up

-- What the status of a copy is, the ledger says.
ALTER TABLE copies DROP COLUMN status;
