package database

import "testing"

func TestRebind(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT 1":                                 "SELECT 1",
		"SELECT a FROM b WHERE c = ? AND d = ?":    "SELECT a FROM b WHERE c = $1 AND d = $2",
		"UPDATE a SET b = b + ?1 WHERE b + ?1 < c": "UPDATE a SET b = b + $1 WHERE b + $1 < c",
		"SELECT '?', \"?\", 'it''s ?', ?":          "SELECT '?', \"?\", 'it''s ?', $1",
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)":    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
		"?":                                        "$1", "": "",
	} {
		if got := postgres.rebind(query); got != want {
			t.Errorf("%q became %q, want %q", query, got, want)
		}
		if got := sqlite.rebind(query); got != query {
			t.Errorf("for SQLite %q became %q", query, got)
		}
	}
}
