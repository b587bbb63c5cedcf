package node

import (
	"errors"
	"fmt"

	"github.com/cometbft/cometbft/consensus"
	"github.com/cometbft/cometbft/libs/log"
)

// closeHeight makes the engine's log say that height is done, where its block is stored and a kill kept
// the engine from writing so. The engine replays the log of a height only after that mark of the one
// before. It would start without it, but a second kill within the next height would then lose the
// votes of that one: a validator that may not vote twice, and does not know what it voted, stays silent
// for ever, and without it a network of one stands still.
func closeHeight(walFile string, height int64, logger log.Logger) (err error) {
	wal, err := consensus.NewWAL(walFile)
	if err != nil {
		return fmt.Errorf("node: the engine's log: %w", err)
	}
	wal.SetLogger(logger)
	if err := wal.Start(); err != nil {
		return errors.Join(fmt.Errorf("node: the engine's log: %w", diskError(err)), wal.Group().Head.Close())
	}
	defer func() {
		err = errors.Join(err, wal.Stop())
		wal.Wait()
	}()
	rest, found, err := wal.SearchForEndHeight(height, &consensus.WALSearchOptions{IgnoreDataCorruptionErrors: true})
	if found {
		return rest.Close()
	}
	if err != nil {
		return fmt.Errorf("node: the engine's log: %w", err)
	}
	return wal.WriteSync(consensus.EndHeightMessage{Height: height})
}
