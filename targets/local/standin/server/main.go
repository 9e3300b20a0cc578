package server

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/cedana/cedana-e2e/targets/settings"
)

// grace is how long requests under way may take after a signal to stop.
const grace = 10 * time.Second

// tokenVariable has the token where no --token-file is given.
const tokenVariable = "CEDANA_AUTH_TOKEN"

// misuse is a command line that cannot be run.
type misuse struct{ error }

// ExitCode is the conventional one for a wrong command line.
func (misuse) ExitCode() int { return 2 }

type options struct {
	listen, tokenFile, cert, key string
	cfg                          Config
}

// Main is `cedana propagator`: it serves until ctx ends, then lets requests under way finish. Each of change may alter
// the configuration that the command line gives.
func Main(ctx context.Context, args []string, change ...func(*Config)) error {
	o, err := parse(args, os.Getenv)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return misuse{err}
	}
	o.cfg.Log = slog.New(slog.NewJSONHandler(os.Stderr, nil))
	for _, c := range change {
		c(&o.cfg)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", o.listen, err)
	}
	return serve(ctx, listener, o)
}

func parse(args []string, getenv func(string) string) (options, error) {
	var o options
	flags := flag.NewFlagSet("cedana propagator", flag.ContinueOnError)
	flags.StringVar(&o.listen, "listen", ":1324", "`address` to listen on")
	flags.StringVar(&o.cfg.Dir, "data", "/data", "`directory` for records and archives")
	flags.StringVar(&o.tokenFile, "token-file", "", "`file` with the token that clients must show; else "+tokenVariable+" has it")
	flags.StringVar(&o.cert, "tls-cert", "", "certificate `file` (PEM); with --tls-key, serves TLS")
	flags.StringVar(&o.key, "tls-key", "", "private key `file` (PEM)")
	flags.DurationVar(&o.cfg.Pickup, "pickup-timeout", 0, "how long work waits for a worker (default 15s)")
	flags.DurationVar(&o.cfg.Lease, "lease", 0, "how long a worker may be silent (default 30s)")
	flags.DurationVar(&o.cfg.ActionTimeout, "action-timeout", 0, "how long an action may take in all (default 1h10m)")
	flags.DurationVar(&o.cfg.Retention, "retention", 0, "how long archives of deprecated checkpoints stay (default 10m)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if (o.cert == "") != (o.key == "") {
		return o, errors.New("--tls-cert and --tls-key go together")
	}
	for name, d := range map[string]time.Duration{
		"pickup-timeout": o.cfg.Pickup, "lease": o.cfg.Lease, "action-timeout": o.cfg.ActionTimeout, "retention": o.cfg.Retention,
	} {
		if d < 0 {
			return o, fmt.Errorf("--%s %s: want a duration above 0", name, d)
		}
	}
	token := getenv(tokenVariable)
	if o.tokenFile != "" {
		data, err := os.ReadFile(o.tokenFile)
		if err != nil {
			return o, fmt.Errorf("read token: %w", err)
		}
		token = string(data)
	}
	o.cfg.Token = settings.Secret(strings.TrimSpace(token))
	if !o.cfg.Token.Set() {
		return o, fmt.Errorf("no token: give --token-file or set %s", tokenVariable)
	}
	return o, nil
}

func serve(ctx context.Context, listener net.Listener, o options) error {
	s, err := Open(o.cfg)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	web := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(o.cfg.Log.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() {
		o.cfg.Log.Info("propagator is listening", "address", listener.Addr().String(), "data", o.cfg.Dir, "tls", o.cert != "")
		if o.cert != "" {
			done <- web.ServeTLS(listener, o.cert, o.key)
		} else {
			done <- web.Serve(listener)
		}
	}()
	select {
	case err = <-done:
		err = fmt.Errorf("serve on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
		o.cfg.Log.Info("propagator is stopping")
		s.Stop()
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		if err = web.Shutdown(stopping); err != nil {
			err = errors.Join(fmt.Errorf("stop serving: %w", err), web.Close())
		}
	}
	return errors.Join(err, s.Close())
}
