package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// A kind is state that can be seen to be whole or lost without knowing what a checkpoint is.
type kind interface {
	// tick moves the state on, and may find that it is broken.
	tick(count uint64) error
	// check reads the state anew, fills in what it can tell, and says what is wrong.
	check(k *report.Kind) error
}

// kinds by their names in COUNTER_KINDS.
var kinds = map[string]func(config, string) (kind, error){
	"process":     openProcess,
	"descriptors": openDescriptors,
	"deleted":     openDeleted,
	"locks":       openLocks,
	"mappings":    openMappings,
	"pipes":       openPipes,
	"unix":        openUnix,
	"listeners":   openListeners,
	"events":      openEvents,
	"children":    openChildren,
	"stopped":     openStopped,
	"threads":     openThreads,
	"signals":     openSignals,
	"timers":      openTimers,
	"timerfd":     openTimerfd,
	"clock":       openClock,
	"pty":         openPty,
	"sysv":        openSysV,
	"mqueue":      openMqueue,
	"signalfd":    openSignalfd,
	"inotify":     openInotify,
	"passed":      openPassed,
	"loopback":    openLoopback,
}

// alone are those that COUNTER_KINDS=all does not mean: a checkpoint of one of them may be refused.
var alone = []string{"stopped", "pty", "sysv", "mqueue", "signalfd", "inotify", "passed", "loopback"}

func openKinds(c config, nonce string) ([]probe, error) {
	names := c.Kinds
	if slices.Equal(names, []string{"all"}) {
		names = slices.Sorted(maps.Keys(kinds))
		names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(alone, name) })
	}
	if len(names) == 0 {
		return nil, nil
	}
	if err := os.MkdirAll(c.State, 0o755); err != nil {
		return nil, fmt.Errorf("make directory for state: %w", err)
	}
	var probes []probe
	for _, name := range names {
		open, ok := kinds[name]
		if !ok {
			return nil, fmt.Errorf("COUNTER_KINDS has %q: want all, or of %s", name, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
		}
		k, err := open(c, nonce)
		if err != nil {
			return nil, fmt.Errorf("make state of kind %s: %w", name, err)
		}
		probes = append(probes, &watched{name: name, kind: k})
	}
	return probes, nil
}

func openTrees(c config, _ string) ([]probe, error) {
	var probes []probe
	for name, dir := range c.Trees {
		t, err := openTree(dir)
		if err != nil {
			return nil, fmt.Errorf("fill directory %s: %w", dir, err)
		}
		probes = append(probes, &watched{name: "tree " + name, kind: t})
	}
	if c.Image != "" {
		t, err := openImage(c.Image)
		if err != nil {
			return nil, fmt.Errorf("change the image's files in %s: %w", c.Image, err)
		}
		probes = append(probes, &watched{name: "image", kind: t})
	}
	return probes, nil
}

// An answer from another process or thread is waited for in slices, 3 s in all. One long wait would be over, and in vain,
// when it began before a checkpoint and ends after the restore.
const (
	slice      = 50 * time.Millisecond
	sliceCount = 60
)

// watched makes a kind a probe: what is wrong with it is told, and remembered, and the counter lives on.
type watched struct {
	kind
	name   string
	failed error
}

func (w *watched) tick(count uint64) error {
	if w.failed == nil {
		if err := w.kind.tick(count); err != nil {
			w.failed = fmt.Errorf("at count %d: %w", count, err)
		}
	}
	return nil
}

func (w *watched) report(s *report.State) error {
	k := report.Kind{Values: map[string]string{}, Progress: map[string]uint64{}}
	// What is broken is not asked again: it may not answer, and whoever asks for the state waits.
	err := w.failed
	if err == nil {
		err = w.check(&k)
	}
	if err != nil {
		k.Error = err.Error()
	}
	s.Kinds[w.name] = k
	return nil
}

// differ names what is not as it was; empty when all is.
func differ(was, is map[string]string) error {
	var lost []string
	for _, key := range slices.Sorted(maps.Keys(was)) {
		now, ok := is[key]
		switch {
		case !ok:
			lost = append(lost, key+" is gone")
		case now != was[key]:
			lost = append(lost, fmt.Sprintf("%s is %s, was %s", key, now, was[key]))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(is)) {
		if _, ok := was[key]; !ok {
			lost = append(lost, key+" is there, and was not")
		}
	}
	if len(lost) > 0 {
		return fmt.Errorf("%s", strings.Join(lost, "; "))
	}
	return nil
}

func (c config) state(name string) string { return filepath.Join(c.State, name) }
