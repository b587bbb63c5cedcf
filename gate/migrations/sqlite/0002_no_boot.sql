-- +goose Up

-- Changes are on disk before they are answered, so a reboot no longer voids what is open.
DROP TABLE boot;
