-- +goose Up

-- Digests of what is good once and was used, such as nonces, until it would be refused by its time.
CREATE TABLE spent (
    id    BYTEA PRIMARY KEY,
    until BIGINT NOT NULL
);
CREATE INDEX spent_by_end ON spent (until);
