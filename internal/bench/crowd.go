//go:build linux

package main

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Many sessions at once.
const (
	crowdKeyEvery = 50 * time.Millisecond // per session: 20 keys per second
	crowdStarters = 4                     // sessions that start at the same time
	crowdCalm     = time.Second           // before memory is looked at
	crowdLate     = 5 * time.Second       // for the last echoes
)

func (b *bench) crowdSize() int {
	if b.quick {
		return 20
	}
	return 50
}

func (b *bench) crowdTime() time.Duration {
	if b.quick {
		return time.Second
	}
	return 3 * time.Second
}

// idleFor is how long both idle before they are looked at: an agent gives back what connecting took two seconds later.
const idleFor = 5 * time.Second

// idleMemory looks at a server and an agent that have not served anybody yet.
func (b *bench) idleMemory(s *system) {
	<-time.After(idleFor)
	for _, d := range s.parts {
		b.results.add("idle_"+d.name, s.name, 0, float64(resident(d.pid))/mib)
	}
}

// crowd opens many sessions, looks at the memory they take, and then types into all of them.
func (b *bench) crowd(s *system, round int) error {
	if b.quick && s.name == sshJump {
		return nil // twenty logins through two sshd take long
	}
	if _, err := s.settle(); err != nil {
		return err
	}
	before, err := s.memories(nil)
	if err != nil {
		return err
	}
	list, err := openMany(s, b.crowdSize())
	defer func() {
		var wg sync.WaitGroup
		for _, t := range list {
			wg.Go(t.close)
		}
		wg.Wait()
	}()
	if err != nil {
		return err
	}
	<-time.After(crowdCalm)
	var clients []int
	for _, t := range list {
		clients = append(clients, t.cmd.Process.Pid)
	}
	after, err := s.memories(clients)
	if err != nil {
		return err
	}
	if s.name != bare {
		var sum float64
		for name, v := range after {
			each := float64(v-before[name]) / mib / float64(len(list))
			sum += each
			b.results.addPart("memory", s.name, name, each)
			if name == "sess-agent" {
				b.results.add("memory_agent", s.name, round, each)
			}
		}
		b.results.add("memory", s.name, round, sum)
	}
	millis, err := typeAll(list, b.crowdTime())
	b.results.add("crowd_p99", s.name, round, quantile(millis, 0.99))
	return err
}

// memories gives what the parts of a system and its clients hold, bytes.
func (s *system) memories(clients []int) (map[string]int64, error) {
	t, err := processes()
	if err != nil {
		return nil, err
	}
	m := map[string]int64{s.client: t.memory("cat", clients...)}
	for _, d := range s.parts {
		m[d.name] += t.memory("cat", d.pid)
	}
	return m, nil
}

// openMany opens sessions; it gives those that are open, also with an error.
func openMany(s *system, n int) ([]*terminal, error) {
	var (
		mu    sync.Mutex
		list  []*terminal
		first error
		wg    sync.WaitGroup
	)
	slots := make(chan struct{}, crowdStarters)
	for range n {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			t, err := openEcho(s)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				list = append(list, t)
			} else if first == nil {
				first = err
			}
		})
	}
	wg.Wait()
	return list, first
}

// typist is one person of the crowd.
type typist struct {
	*terminal
	next time.Time   // of the next key
	sent []time.Time // of keys that are not back
}

// typeAll types into all terminals, each key at its time whether the last one is back or not, and gives how long each
// was on its way, ms.
func typeAll(list []*terminal, long time.Duration) ([]float64, error) {
	began := time.Now()
	people := make([]typist, len(list))
	fds := make([]unix.PollFd, len(list))
	for i, t := range list {
		people[i] = typist{terminal: t, next: began.Add(crowdKeyEvery * time.Duration(i) / time.Duration(len(list)))}
		fds[i] = unix.PollFd{Fd: int32(t.fd), Events: unix.POLLIN}
	}
	var millis []float64
	stop := began.Add(long)
	for {
		wake, waiting, err := typeDue(people, stop)
		if err != nil {
			return millis, err
		}
		if now := time.Now(); now.After(stop) && waiting == 0 {
			return millis, nil
		} else if now.After(stop.Add(crowdLate)) {
			return millis, fmt.Errorf("%d keys never came back", waiting)
		}
		if ok, err := pollIn(fds, time.Until(wake)); err != nil || !ok {
			if err != nil {
				return millis, err
			}
			continue
		}
		for i := range fds {
			if fds[i].Revents == 0 {
				continue
			}
			p, err := people[i].read(0, 4<<10)
			if err != nil {
				return millis, err
			}
			now := time.Now()
			for range min(len(p), len(people[i].sent)) {
				millis = append(millis, float64(now.Sub(people[i].sent[0]).Nanoseconds())/1e6)
				people[i].sent = people[i].sent[1:]
			}
		}
	}
}

// typeDue types the keys whose time has come, and says when the next ones are due and how many are on their way.
func typeDue(people []typist, stop time.Time) (wake time.Time, waiting int, err error) {
	wake = time.Now().Add(crowdKeyEvery)
	for i := range people {
		p := &people[i]
		if now := time.Now(); !now.Before(p.next) && now.Before(stop) {
			if err := p.write("k"); err != nil {
				return wake, 0, err
			}
			p.sent = append(p.sent, now)
			p.next = p.next.Add(crowdKeyEvery)
		}
		if p.next.Before(wake) && p.next.Before(stop) {
			wake = p.next
		}
		waiting += len(p.sent)
	}
	return wake, waiting, nil
}
