-- +goose Up

-- What wallets and browsers hold of the issuer's are secrets: addresses of offers, codes, tokens,
-- cookies. Of each there is a SHA-256 digest here, never the secret.

-- Offers that were made to people.
CREATE TABLE offers (
    id             BLOB PRIMARY KEY,            -- of the reference in the offer's address
    code           BLOB UNIQUE,                 -- of the pre-authorized code; NULL: the person signs in
    issuer_state   BLOB UNIQUE,                 -- NULL: there is a code
    tx_code        BLOB,                        -- keyed digest of the transaction code; NULL: none is asked for
    tries          INTEGER NOT NULL DEFAULT 0,  -- wrong transaction codes so far
    person         BLOB,                        -- NULL: whoever signs in
    configurations TEXT NOT NULL,               -- JSON
    held           INTEGER NOT NULL DEFAULT 0,  -- 1: the agency has yet to agree; 2: it did not
    state          INTEGER NOT NULL DEFAULT 0,  -- 0: open; 1: taken; 2: void
    until          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX offers_by_end ON offers (until);

-- Authorization requests, from being pushed until their code is redeemed.
CREATE TABLE authorizations (
    id             BLOB PRIMARY KEY,            -- of the request_uri
    request        TEXT NOT NULL,               -- its parameters
    wallet         TEXT NOT NULL,               -- the name its provider vouches for, or ''
    attested       INTEGER NOT NULL,            -- the wallet has shown an attestation
    jkt            TEXT NOT NULL,               -- thumbprint of the key that the token is to be bound to, or ''
    configurations TEXT NOT NULL,               -- JSON
    identified     INTEGER NOT NULL,            -- authorization_details were used
    offer          BLOB,
    browser        BLOB,                        -- of the cookie
    person         BLOB,                        -- who signed in
    tries          INTEGER NOT NULL DEFAULT 0,  -- at signing in
    code           BLOB UNIQUE,
    grant_id       BLOB,                        -- what the code was redeemed for
    state          INTEGER NOT NULL DEFAULT 0,  -- 0: pushed or in a browser; 1: has a code; 2: redeemed; 3: denied
    until          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX authorizations_by_end ON authorizations (until);

-- Leave that a person, or the agency, gave to a wallet.
CREATE TABLE grants (
    id             BLOB PRIMARY KEY,
    person         BLOB NOT NULL,
    client         TEXT NOT NULL,               -- '': anonymous
    attested       INTEGER NOT NULL,
    jkt            TEXT NOT NULL,               -- '': Bearer
    configurations TEXT NOT NULL,               -- JSON
    identified     INTEGER NOT NULL,
    offer          BLOB,
    revoked        INTEGER NOT NULL DEFAULT 0,
    until          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_by_person ON grants (person);
CREATE INDEX grants_by_end ON grants (until);

CREATE TABLE tokens (
    id             BLOB PRIMARY KEY,
    grant_id       BLOB NOT NULL,
    refresh        INTEGER NOT NULL,            -- 1: a refresh token
    configurations TEXT NOT NULL,               -- JSON: what of the grant the token is for
    identified     INTEGER NOT NULL,            -- told as authorization_details
    used           INTEGER NOT NULL DEFAULT 0,  -- a refresh token was exchanged
    copies         INTEGER NOT NULL DEFAULT 0,  -- that were given for an access token
    until          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_by_end ON tokens (until);

-- Issuance that waits for the agency.
CREATE TABLE deferrals (
    id            BLOB PRIMARY KEY,             -- of the transaction_id
    grant_id      BLOB NOT NULL,
    configuration TEXT NOT NULL,
    sealed        BLOB NOT NULL,                -- the holder keys
    until         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX deferrals_by_end ON deferrals (until);

-- What wallets told of credentials.
CREATE TABLE notifications (
    id       BLOB PRIMARY KEY,                  -- of the notification_id
    grant_id BLOB NOT NULL,
    event    TEXT NOT NULL DEFAULT '',
    until    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX notifications_by_end ON notifications (until);

-- What people sign in with.
CREATE TABLE passcodes (
    person BLOB PRIMARY KEY,
    hash   BLOB NOT NULL,                       -- Argon2id
    tries  INTEGER NOT NULL DEFAULT 0,          -- since the last success
    locked INTEGER NOT NULL DEFAULT 0           -- until when
) STRICT, WITHOUT ROWID;
