package issuer

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/hufu-id/hufu/database"
)

//go:embed migrations
var migrations embed.FS

// openStore opens the issuer's database. What is in it is sealed by the callers. A change is on disk
// when it returns: an entry of a status list that was forgotten could be given twice, and a copy that
// was forgotten could not be revoked.
func openStore(ctx context.Context, dsn string) (*database.DB, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	d, err := database.Open(ctx, dsn, database.Schema{Name: "issuer", Migrations: dir})
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	return d, nil
}
