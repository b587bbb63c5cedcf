-- +goose Up
CREATE TABLE requests (
    state    TEXT PRIMARY KEY,
    nonce    TEXT NOT NULL UNIQUE,
    contract TEXT NOT NULL,
    version  BIGINT NOT NULL,
    opened   BIGINT NOT NULL,
    expires  BIGINT NOT NULL,
    answered BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX requests_by_expiry ON requests (expires);

CREATE TABLE receipts (
    number   BIGINT PRIMARY KEY,
    time     BIGINT NOT NULL,
    contract TEXT NOT NULL,
    decision TEXT NOT NULL,
    rule     TEXT NOT NULL,
    token    TEXT NOT NULL
);
-- +goose StatementBegin
CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN RAISE EXCEPTION '% are append-only', TG_TABLE_NAME; END$$;
-- +goose StatementEnd
CREATE TRIGGER receipts_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON receipts
    FOR EACH STATEMENT EXECUTE FUNCTION append_only();
