-- +goose Up

-- The accesses are the entries of the issuer's log, numbered from 0 without gaps. What the log has of one is a
-- digest over its salt as well. Accesses from before the log are not in it.
ALTER TABLE accesses ADD COLUMN entry INTEGER;
ALTER TABLE accesses ADD COLUMN salt BLOB;
CREATE UNIQUE INDEX accesses_by_entry ON accesses (entry);
