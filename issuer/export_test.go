package issuer

import (
	"context"

	"github.com/hufu-id/hufu/database"
)

// GiveAll marks every entry of all lists as given, as if so many copies had been issued.
func (s *Service) GiveAll(ctx context.Context) error {
	return s.store.Write(ctx, func(t *database.Tx) error {
		_, err := t.ExecContext(ctx, "UPDATE lists SET given = size")
		return err
	})
}
