package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"
)

// Limits of the HTTP server.
const (
	readHeaderTimeout = 5 * time.Second  // for the request line and all headers
	idleTimeout       = 75 * time.Second // between requests: a little more than clients keep connections for
	maxHeaderBytes    = 16 << 10
	drainTimeout      = 5 * time.Second // for requests under way when the server stops
)

// urlFile of the data directory says how this server is reached while it runs: for scripts that start it.
const urlFile = "url"

// Run serves until ctx ends, and then stops in order: no new connections; agents and clients are cut off, to come back
// to whoever serves next; recordings and the audit log are brought to disk. It returns nil after an orderly stop.
func (s *Server) Run(ctx context.Context) error {
	s.http = &http.Server{
		Handler: s.handler, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	admin, socket, err := s.serveAdmin()
	if err != nil {
		return err
	}
	var wg sync.WaitGroup // the loops below
	failed := make(chan error, 8)
	start := func(what string, f func() error) {
		wg.Go(func() {
			if err := f(); err != nil && !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("%s: %w", what, err)
			}
		})
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx)) // goes on while requests are drained
	defer stop()
	start("expiry", func() error { return s.broker.Run(background) })
	start("audit log", func() error { s.sequencer.Run(background); return nil })
	if s.publisher != nil {
		start("checkpoints", func() error { s.publisher.Run(background); return nil })
	}
	start("audit sinks", func() error { s.trail.Run(background); return nil })
	start("alerts", func() error { s.alerts.Run(background); return nil })
	start("people", func() error { s.identity.Run(background); return nil })
	start("locks", func() error { s.identity.RunLocks(background); return nil })
	start("old recordings", func() error { s.broker.DeleteOld(background, s.recordings.Remove); return nil })
	if s.mailer != nil {
		start("mail", func() error { s.mailer.Run(background); return nil })
	}
	start("serve", func() error { return s.http.Serve(s.listener) })
	if admin != nil {
		start("admin socket", func() error { return admin.Serve(socket) })
	}
	if err = s.writeURL(); err == nil {
		s.announce()
		select {
		case <-ctx.Done():
		case err = <-failed:
		}
	}
	err = errors.Join(err, s.drain(context.WithoutCancel(ctx)))
	if admin != nil {
		err = errors.Join(err, admin.Close())
	}
	stop()
	wg.Wait()
	return err
}

// drain stops taking requests and ends what is under way.
func (s *Server) drain(ctx context.Context) error {
	s.draining.Store(true)
	close(s.leaving)
	s.log.Info("stopping")
	_ = os.Remove(s.dir.join(urlFile)) // it may never have been written
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	// Shutdown closes the listener first; what it does not finish in time is cut off.
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("requests under way were cut off")
		err = s.http.Close()
	}
	s.relay.Close()
	s.broker.Close()
	s.conns.close()
	if err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return nil
}

func (s *Server) writeURL() error {
	path := s.dir.join(urlFile)
	if err := os.WriteFile(path+".new", []byte(s.URL()+"\n"), 0o600); err != nil {
		return unusable(s.dir.path, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return unusable(s.dir.path, err)
	}
	return nil
}
