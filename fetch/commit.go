package fetch

import (
	"time"

	"github.com/chunkget/chunkget/journal"
)

// commit is one change of the journal: first what it must forget, then what it
// gains.
type commit struct {
	forget     []int
	forgetRoot bool
	batch      journal.Batch
}

// committer owns the journal while the loop runs. Syncs are slow, so it has a
// goroutine of its own; the loop hands it one commit at a time.
func (d *download) committer() {
	for c := range d.commits {
		var err error
		if len(c.forget) > 0 || c.forgetRoot {
			err = d.target.journal.Forget(c.forget, c.forgetRoot)
		}
		if err == nil {
			err = d.target.journal.Commit(d.target.part, c.batch)
		}
		d.post(func(time.Time) {
			d.committing = false
			if err != nil {
				// A journal that failed once accepts nothing any more.
				d.journalBroken = true
				d.stop(diskError("record progress", err))
			}
		})
	}
}

// startCommit hands the committer what has gathered, when that is due.
func (d *download) startCommit(now time.Time) {
	if d.committing {
		return
	}
	if d.journalBroken {
		d.forget, d.batch = nil, journal.Batch{}
	}
	if d.batch.Empty() && len(d.forget) == 0 {
		return
	}
	if !d.stopping && d.batchBytes < commitBytes && now.Sub(d.lastCommit) < commitEvery {
		return
	}
	d.commits <- commit{d.forget, d.forgetRoot, d.batch}
	d.committing, d.lastCommit = true, now
	d.forget, d.forgetRoot, d.batch, d.batchBytes = nil, false, journal.Batch{}, 0
}
