package supervisor

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func testPrograms(t *testing.T) *programs {
	t.Helper()
	c, err := newPrograms(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		var all []string
		c.mu.Lock()
		for name := range c.running {
			all = append(all, name)
		}
		c.mu.Unlock()
		c.stop(ctx, all)
	})
	return c
}

func shell(name, script string) program {
	return program{name: name, path: "/bin/sh", args: []string{"-c", script}}
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20s for %s", what)
		}
	}
}

func TestAProgramThatEndsIsStartedAgain(t *testing.T) {
	t.Parallel()
	c := testPrograms(t)
	seen := filepath.Join(t.TempDir(), "starts")
	if err := c.start(shell("p", "echo start >> "+seen+"; [ $(wc -l < "+seen+") -ge 2 ] && exec sleep 60; exit 1")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the second start", func() bool { return strings.Count(content(seen), "start") == 2 })
	select {
	case err := <-c.failed:
		t.Errorf("gave up after one end: %v", err)
	default:
	}
}

func TestAProgramThatNeverStaysUpStopsTheNode(t *testing.T) {
	t.Parallel()
	c := testPrograms(t)
	if err := c.start(shell("p", "echo the reason >&2; exit 3")); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-c.failed:
		for _, want := range []string{"run p", "exit status 3", c.logFile("p")} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error does not say %q: %v", want, err)
			}
		}
	case <-time.After(30 * time.Second):
		t.Fatal("not given up within 30s")
	}
	if tail := c.tail("p"); len(tail) != tries || tail[0] != "the reason" {
		t.Errorf("log's last lines are %q", tail)
	}
}

func TestProgramsStopGroupAfterGroup(t *testing.T) {
	t.Parallel()
	c := testPrograms(t)
	order := filepath.Join(t.TempDir(), "order")
	for _, name := range []string{"client", "server"} {
		// The client takes its time: the server must outlive it all the same.
		nap := map[string]string{"client": "0.3", "server": "0"}[name]
		script := "trap 'sleep " + nap + "; echo " + name + " >> " + order + "; exit 0' TERM; echo up; while :; do sleep 0.05; done"
		if err := c.start(shell(name, script)); err != nil {
			t.Fatal(err)
		}
		waitFor(t, name, func() bool { return strings.Contains(content(c.logFile(name)), "up") })
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c.stop(ctx, []string{"client"}, []string{"server"})
	if got := content(order); got != "client\nserver\n" {
		t.Errorf("stopped in the order %q", got)
	}
	if err := c.start(shell("late", "true")); err == nil {
		t.Error("a program was started while the node stops")
	}
}

func TestAProgramThatIgnoresTheSignalIsKilled(t *testing.T) {
	t.Parallel()
	c := testPrograms(t)
	if err := c.start(shell("deaf", "trap '' TERM; echo up; while :; do sleep 0.05; done")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "it", func() bool { return strings.Contains(content(c.logFile("deaf")), "up") })
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	c.stop(ctx, []string{"deaf"})
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestProgramsDoNotSeeTheToken(t *testing.T) {
	t.Parallel()
	got := withoutSecrets([]string{"PATH=/bin", "K3S_TOKEN=hush", "K3S_AGENT_TOKEN=hush", "K3S_URL=https://a"})
	if strings.Join(got, " ") != "PATH=/bin K3S_URL=https://a" {
		t.Errorf("got %v", got)
	}
}
