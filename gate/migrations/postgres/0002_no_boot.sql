-- +goose Up

-- The schema began without what this version removes elsewhere; the numbers of versions stay the same.
SELECT 1;
