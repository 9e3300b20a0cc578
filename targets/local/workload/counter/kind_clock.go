package main

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// clock is the clocks that must never go back. What they show on another machine is another matter, unless the restore
// gives the process a time namespace.
type clock struct {
	read func(id int32) (int64, error)
	last map[string]int64
}

var clocks = map[string]int32{"the monotonic clock": unix.CLOCK_MONOTONIC, "the boot clock": unix.CLOCK_BOOTTIME}

func openClock(config, string) (kind, error) {
	c := &clock{read: readClock, last: map[string]int64{}}
	return c, c.tick(0)
}

func readClock(id int32) (int64, error) {
	var now unix.Timespec
	err := unix.ClockGettime(id, &now)
	return now.Nano(), err
}

func (c *clock) tick(uint64) error {
	for name, id := range clocks {
		now, err := c.read(id)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if was := c.last[name]; now < was {
			return fmt.Errorf("%s went back, from %.3f s to %.3f s", name, float64(was)/1e9, float64(now)/1e9)
		}
		c.last[name] = now
	}
	return nil
}

func (c *clock) check(k *report.Kind) error {
	for name, now := range c.last {
		k.Progress[name] = uint64(now)
	}
	return nil
}
