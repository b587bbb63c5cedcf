-- +goose Up

-- Most sessions have no page, and those that wait have no receipt: an index of what is there spares each of
-- them an entry.
DROP INDEX requests_by_ticket;
DROP INDEX requests_by_page;
DROP INDEX requests_by_receipt;
DROP INDEX requests_to_forget;
CREATE UNIQUE INDEX requests_by_ticket ON requests (ticket) WHERE ticket IS NOT NULL;
CREATE UNIQUE INDEX requests_by_page ON requests (page) WHERE page IS NOT NULL;
CREATE INDEX requests_by_receipt ON requests (receipt) WHERE page IS NOT NULL AND receipt IS NOT NULL;
CREATE INDEX requests_to_forget ON requests (keep) WHERE keep IS NOT NULL;
