// Package server is the local propagator: the HTTP API of package propagator's wire types for one machine, with its
// records and archives in one directory. It does no checkpoint itself: helpers and managers poll it for their work.
package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/cedana/cedana-e2e/targets/local/standin/archives"
	"github.com/cedana/cedana-e2e/targets/local/standin/store"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// Config says how a Server runs. Zero fields but Dir and Token take their defaults.
type Config struct {
	// Dir holds everything that has to outlive the process.
	Dir string
	// Token is what every request but the health check has to show.
	Token settings.Secret
	Log   *slog.Logger

	// Pickup is how long work may wait for a worker to take it (15 s).
	Pickup time.Duration
	// Lease is how long a worker may hold work without a sign of life (work.LeaseDuration).
	Lease time.Duration
	// ActionTimeout is how long an action may take in all (70 min): whoever does it gives up before.
	ActionTimeout time.Duration
	// Retention is how long archives are kept that belong to a deprecated checkpoint or to none (10 min).
	Retention time.Duration
	// HistoryAge is how long an action that has ended is told of (7 days), HistoryCount how many of them are (10,000). What
	// can still be restored is, however old and however many.
	HistoryAge   time.Duration
	HistoryCount int
	// StatusHold is how long the status of an unfinished action is held back for it to finish (500 ms), so that a
	// poller hears of the end at once.
	StatusHold time.Duration
	// URLLife is how long the URLs work that are handed out for files (15 min).
	URLLife time.Duration
	// BlobLimit is how large an archive may be, in bytes (64 GiB).
	BlobLimit int64
	// BodyIdle is how long a request's body may bring nothing (1 min). A whole one may take as long as it takes.
	BodyIdle time.Duration
	// Tick is how often deadlines are looked at (250 ms), ArchiveTick how often archives are (1 min).
	Tick        time.Duration
	ArchiveTick time.Duration

	// Archives, where set, is given the store of archives and returns what the server uses in its place.
	Archives func(Archives) Archives
	// Middleware, where set, is given the records and the API's handler and returns what answers in its place. The
	// handler checks the token and has the workers' calls, too.
	Middleware func(*store.Store, http.Handler) http.Handler
}

func (c *Config) defaults() {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.Pickup, stretch.Limit(15 * time.Second)}, {&c.Lease, work.LeaseDuration}, {&c.ActionTimeout, settings.LongestOperation + 10*time.Minute},
		{&c.Retention, 10 * time.Minute}, {&c.StatusHold, 500 * time.Millisecond}, {&c.URLLife, 15 * time.Minute},
		{&c.BodyIdle, stretch.Limit(time.Minute)}, {&c.HistoryAge, 7 * 24 * time.Hour}, {&c.Tick, 250 * time.Millisecond}, {&c.ArchiveTick, time.Minute},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.HistoryCount == 0 {
		c.HistoryCount = 10_000
	}
	if c.BlobLimit == 0 {
		c.BlobLimit = 64 << 30
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// Server answers the API. Open starts it, Close stops it.
type Server struct {
	cfg      Config
	log      *slog.Logger
	tokenSum [sha256.Size]byte
	urlKey   []byte
	store    *store.Store
	archives Archives
	queue    *queue
	endings  endings
	now      func() time.Time

	// life ends with Close: polls end, the background loop ends.
	life    context.Context
	stop    context.CancelFunc
	loop    sync.WaitGroup
	handler http.Handler
}

// Open opens the directory, takes up what was unfinished, and starts to watch deadlines.
func Open(cfg Config) (*Server, error) {
	cfg.defaults()
	if !cfg.Token.Set() {
		return nil, errors.New("open propagator: no token given")
	}
	if cfg.Dir == "" {
		return nil, errors.New("open propagator: no data directory given")
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	records, err := store.Open(cfg.Dir)
	if err != nil {
		return nil, err
	}
	blobs, err := archives.Open(cfg.Dir)
	if err != nil {
		return nil, errors.Join(err, records.Close())
	}
	s := &Server{
		cfg: cfg, log: cfg.Log, tokenSum: sha256.Sum256([]byte(cfg.Token.Reveal())), urlKey: signingKey(cfg.Token.Reveal()),
		store: records, archives: Stored(blobs), queue: newQueue(cfg.Lease, time.Now), now: time.Now,
	}
	s.cfg.Token = "" // only its sum is needed from here on
	if cfg.Archives != nil {
		s.archives = cfg.Archives(s.archives)
	}
	s.life, s.stop = context.WithCancel(context.Background())
	s.handler = s.middleware(s.routes())
	if cfg.Middleware != nil {
		s.handler = cfg.Middleware(records, s.handler)
	}
	s.handler = withoutIdleBodies(s.cfg.BodyIdle, s.handler)
	if err := s.resume(); err != nil {
		s.stop()
		return nil, errors.Join(err, blobs.Close(), records.Close())
	}
	s.loop.Go(s.watch)
	return s, nil
}

// Handler answers the API, the workers' calls and the health check.
func (s *Server) Handler() http.Handler { return s.handler }

// Stop ends the polls that are held, so that an HTTP server around the handler can shut down.
func (s *Server) Stop() { s.stop() }

// Close stops the background work and closes the directory. Requests still under way fail.
func (s *Server) Close() error {
	s.stop()
	s.loop.Wait()
	return errors.Join(s.archives.Close(), s.store.Close())
}

// watch gives up on what is late and removes what is no longer needed, until the server closes.
func (s *Server) watch() {
	tick, archiveTick := time.NewTicker(s.cfg.Tick), time.NewTicker(s.cfg.ArchiveTick)
	defer tick.Stop()
	defer archiveTick.Stop()
	for {
		select {
		case <-s.life.Done():
			return
		case <-tick.C:
			s.expire()
		case <-archiveTick.C:
			if err := s.removeArchives(); err != nil {
				s.log.Error("remove archives", "error", err)
			}
			if err := s.forgetHistory(s.now()); err != nil {
				s.log.Error("forget old actions", "error", err)
			}
		}
	}
}
