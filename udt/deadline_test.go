package udt

import (
	"testing"
	"testing/synctest"
	"time"
)

func (d *deadline) hasExpired() bool {
	select {
	case <-d.wait():
		return true
	default:
		return false
	}
}

func TestDeadline(t *testing.T) {
	for _, tt := range []struct {
		name string
		// moves are made one second after the other; each is relative to its
		// own time, 0 means none.
		moves []time.Duration
		want  time.Duration // after the last move, 0 = never
	}{
		{"never set", nil, 0},
		{"set", []time.Duration{5 * time.Second}, 5 * time.Second},
		{"cleared", []time.Duration{5 * time.Second, 0}, 0},
		{"later", []time.Duration{5 * time.Second, time.Minute}, time.Minute},
		{"sooner", []time.Duration{time.Minute, 5 * time.Second}, 5 * time.Second},
		{"in the past", []time.Duration{-time.Second}, -1},
		{"cleared after it passed", []time.Duration{-time.Second, 0}, 0},
		{"moved after it passed", []time.Duration{500 * time.Millisecond, 5 * time.Second}, 5 * time.Second},
		{"in the past, twice", []time.Duration{-time.Second, -time.Second}, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDeadline()
				for i, m := range tt.moves {
					if i > 0 {
						time.Sleep(time.Second)
					}
					if m == 0 {
						d.move(time.Time{})
					} else {
						d.move(time.Now().Add(m))
					}
				}
				switch tt.want {
				case 0:
					time.Sleep(time.Hour)
					synctest.Wait()
					if d.hasExpired() {
						t.Error("expired")
					}
				case -1:
					if !d.hasExpired() {
						t.Error("not expired at once")
					}
				default:
					start := time.Now()
					<-d.wait()
					if got := time.Since(start); got != tt.want {
						t.Errorf("expired after %v, want %v", got, tt.want)
					}
				}
			})
		})
	}
}

// A call that waits sees the deadline that was set while it waited.
func TestDeadlineMovedWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeadline()
		d.move(time.Now().Add(time.Hour))
		waited := d.wait()
		time.Sleep(time.Second)
		start := time.Now()
		d.move(start.Add(time.Second))
		<-waited
		if got := time.Since(start); got != time.Second {
			t.Errorf("woken after %v, want 1 s", got)
		}
	})
}
