-- +goose Up

-- What wallets and browsers hold of the issuer's are secrets: addresses of offers, codes, tokens,
-- cookies. Of each there is a SHA-256 digest here, never the secret.

-- Offers that were made to people.
CREATE TABLE offers (
    id             BYTEA PRIMARY KEY,            -- of the reference in the offer's address
    code           BYTEA UNIQUE,                 -- of the pre-authorized code; NULL: the person signs in
    issuer_state   BYTEA UNIQUE,                 -- NULL: there is a code
    tx_code        BYTEA,                        -- keyed digest of the transaction code; NULL: none is asked for
    tries          BIGINT NOT NULL DEFAULT 0,  -- wrong transaction codes so far
    person         BYTEA,                        -- NULL: whoever signs in
    configurations TEXT NOT NULL,               -- JSON
    held           BIGINT NOT NULL DEFAULT 0,  -- 1: the agency has yet to agree; 2: it did not
    state          BIGINT NOT NULL DEFAULT 0,  -- 0: open; 1: taken; 2: void
    until          BIGINT NOT NULL
);
CREATE INDEX offers_by_end ON offers (until);

-- Authorization requests, from being pushed until their code is redeemed.
CREATE TABLE authorizations (
    id             BYTEA PRIMARY KEY,            -- of the request_uri
    request        TEXT NOT NULL,               -- its parameters
    wallet         TEXT NOT NULL,               -- the name its provider vouches for, or ''
    attested       BIGINT NOT NULL,            -- the wallet has shown an attestation
    jkt            TEXT NOT NULL,               -- thumbprint of the key that the token is to be bound to, or ''
    configurations TEXT NOT NULL,               -- JSON
    identified     BIGINT NOT NULL,            -- authorization_details were used
    offer          BYTEA,
    browser        BYTEA,                        -- of the cookie
    person         BYTEA,                        -- who signed in
    tries          BIGINT NOT NULL DEFAULT 0,  -- at signing in
    code           BYTEA UNIQUE,
    grant_id       BYTEA,                        -- what the code was redeemed for
    state          BIGINT NOT NULL DEFAULT 0,  -- 0: pushed or in a browser; 1: has a code; 2: redeemed; 3: denied
    until          BIGINT NOT NULL
);
CREATE INDEX authorizations_by_end ON authorizations (until);

-- Leave that a person, or the agency, gave to a wallet.
CREATE TABLE grants (
    id             BYTEA PRIMARY KEY,
    person         BYTEA NOT NULL,
    client         TEXT NOT NULL,               -- '': anonymous
    attested       BIGINT NOT NULL,
    jkt            TEXT NOT NULL,               -- '': Bearer
    configurations TEXT NOT NULL,               -- JSON
    identified     BIGINT NOT NULL,
    offer          BYTEA,
    revoked        BIGINT NOT NULL DEFAULT 0,
    until          BIGINT NOT NULL
);
CREATE INDEX grants_by_person ON grants (person);
CREATE INDEX grants_by_end ON grants (until);

CREATE TABLE tokens (
    id             BYTEA PRIMARY KEY,
    grant_id       BYTEA NOT NULL,
    refresh        BIGINT NOT NULL,            -- 1: a refresh token
    configurations TEXT NOT NULL,               -- JSON: what of the grant the token is for
    identified     BIGINT NOT NULL,            -- told as authorization_details
    used           BIGINT NOT NULL DEFAULT 0,  -- a refresh token was exchanged
    copies         BIGINT NOT NULL DEFAULT 0,  -- that were given for an access token
    until          BIGINT NOT NULL
);
CREATE INDEX tokens_by_end ON tokens (until);

-- Issuance that waits for the agency.
CREATE TABLE deferrals (
    id            BYTEA PRIMARY KEY,             -- of the transaction_id
    grant_id      BYTEA NOT NULL,
    configuration TEXT NOT NULL,
    sealed        BYTEA NOT NULL,                -- the holder keys
    until         BIGINT NOT NULL
);
CREATE INDEX deferrals_by_end ON deferrals (until);

-- What wallets told of credentials.
CREATE TABLE notifications (
    id       BYTEA PRIMARY KEY,                  -- of the notification_id
    grant_id BYTEA NOT NULL,
    event    TEXT NOT NULL DEFAULT '',
    until    BIGINT NOT NULL
);
CREATE INDEX notifications_by_end ON notifications (until);

-- What people sign in with.
CREATE TABLE passcodes (
    person BYTEA PRIMARY KEY,
    hash   BYTEA NOT NULL,                       -- Argon2id
    tries  BIGINT NOT NULL DEFAULT 0,          -- since the last success
    locked BIGINT NOT NULL DEFAULT 0           -- until when
);
