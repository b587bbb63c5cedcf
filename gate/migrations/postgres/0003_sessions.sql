-- +goose Up

-- How a session is asked, and what came of it. secret opens the answer and is sealed; claims are sealed
-- to whoever knows what ticket is the digest of. Both go when keep has passed.
ALTER TABLE requests ADD COLUMN settings TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN secret BYTEA;
ALTER TABLE requests ADD COLUMN ticket BYTEA;
ALTER TABLE requests ADD COLUMN page BYTEA;
ALTER TABLE requests ADD COLUMN keep BIGINT;
ALTER TABLE requests ADD COLUMN outcome TEXT;
ALTER TABLE requests ADD COLUMN receipt BIGINT;
ALTER TABLE requests ADD COLUMN code BYTEA;
ALTER TABLE requests ADD COLUMN claims BYTEA;
CREATE UNIQUE INDEX requests_by_ticket ON requests (ticket);
CREATE UNIQUE INDEX requests_by_page ON requests (page);
CREATE INDEX requests_by_receipt ON requests (receipt);
CREATE INDEX requests_to_forget ON requests (keep);
