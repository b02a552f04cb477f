package agent

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessctl/sess/internal/sess"
)

// mouth is a connection of which a test says what is heard by it.
type mouth struct{ heard, asked uint64 }

func (m *mouth) Heard() uint64 { return m.heard }

func (m *mouth) Ask() { m.asked++ }

// machine is a clock that goes on while the machine sleeps: timers do not.
type machine struct {
	on    time.Time
	slept time.Duration
}

func (m *machine) now() time.Duration { return time.Since(m.on) + m.slept }

// until looks, as a session does, until the lease is over, for at most d, and gives when that was.
func (l *lease) until(d time.Duration, control, stream voice) (after time.Duration, over bool) {
	began := time.Now()
	t := time.NewTicker(l.every())
	defer t.Stop()
	for now := range t.C {
		if !l.lasts(control, stream) {
			return now.Sub(began), true
		}
		if now.Sub(began) >= d {
			break
		}
	}
	return 0, false
}

func TestLeaseRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{on: time.Now()}
		l := newLease(time.Minute, m.now)
		control := &mouth{}
		if _, over := l.until(30*time.Second, control, nil); over {
			t.Fatal("it ran out before its time")
		}
		control.heard++
		if after, over := l.until(2*time.Minute, control, nil); !over || after < time.Minute || after > time.Minute+2*leaseLook {
			t.Errorf("it ran out %s after the last word (%v)", after, over)
		}
		if l.lasts(control, nil) {
			t.Error("it goes on again")
		}
	})
}

// Whoever is connected and says nothing renews nothing; a word by either connection does, and a new connection is a word.
func TestLeaseIsRenewedByWordsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{on: time.Now()}
		l := newLease(12*time.Second, m.now)
		control, stream := &mouth{}, &mouth{}
		for range 5 {
			if _, over := l.until(8*time.Second, control, stream); over {
				t.Fatal("it ran out between words")
			}
			stream.heard++
		}
		for range 5 {
			if _, over := l.until(8*time.Second, &mouth{}, nil); over {
				t.Fatal("it ran out between connections")
			}
		}
		if _, over := l.until(time.Minute, control, stream); !over {
			t.Error("connections that say nothing renew it")
		}
	})
}

// A machine that sleeps through a lease has no session when it wakes, whatever it hears first.
func TestLeaseRunsOutInSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for slept, over := range map[time.Duration]bool{59 * time.Second: false, 61 * time.Second: true, 30 * 24 * time.Hour: true} {
			m := &machine{on: time.Now()}
			l := newLease(time.Minute, m.now)
			control := &mouth{}
			if !l.lasts(control, nil) {
				t.Fatal("it ran out at once")
			}
			m.slept += slept
			control.heard++
			if got := !l.lasts(control, nil); got != over {
				t.Errorf("slept %s: over is %v", slept, got)
			}
		}
	})
}

// A connection that is silent is asked to say something, in time.
func TestLeaseAsksForAWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{on: time.Now()}
		l := newLease(30*time.Second, m.now)
		control := &mouth{heard: 1}
		if l.until(9*time.Second, control, nil); control.asked > 0 {
			t.Errorf("asked %d times before a third of it was over", control.asked)
		}
		if l.until(6*time.Second, control, nil); control.asked == 0 {
			t.Error("never asked")
		}
	})
}

func TestLeaseOfAnOffer(t *testing.T) {
	for name, c := range map[string]struct {
		grace, lease int64 // ms
		own          time.Duration
		want         time.Duration
	}{
		"as the server says":         {600_000, 120_000, 0, 2 * time.Minute},
		"the owner says less":        {600_000, 120_000, 30 * time.Second, 30 * time.Second},
		"the owner says more":        {600_000, 120_000, time.Hour, 2 * time.Minute},
		"a server without leases":    {60_000, 0, 0, 2 * time.Minute},
		"and an owner":               {60_000, 0, time.Minute, time.Minute},
		"a server that says forever": {0, 1 << 50, 0, sess.MaxLease},
	} {
		a := &Agent{opts: Options{Config: Config{Lease: c.own}}}
		if got := a.leaseOf(c.grace, c.lease); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// The clock of this machine goes on, and is not the one people set.
func TestBootClock(t *testing.T) {
	a := bootClock()
	if a <= 0 || bootClock() < a {
		t.Errorf("it says %s", a)
	}
}
