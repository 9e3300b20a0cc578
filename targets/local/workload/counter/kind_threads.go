package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// The process's first thread is kept for the main goroutine: its name, priority and id are those of the process, so no
// goroutine that changes its own thread may get it.
func init() { runtime.LockOSThread() }

// thread is a goroutine that has a thread of its own, and does there what it is told.
type thread struct {
	id   int
	work chan func()
}

func startThread() *thread {
	t := &thread{work: make(chan func())}
	ids := make(chan int)
	go func() {
		// Never unlocked: the thread has what no other goroutine may get.
		runtime.LockOSThread()
		ids <- unix.Gettid()
		for do := range t.work {
			do()
		}
	}()
	t.id = <-ids
	return t
}

// do runs f on the thread and waits for it.
func (t *thread) do(f func() error) error {
	done := make(chan error, 1)
	work := func() { done <- f() }
	for range sliceCount {
		select {
		case t.work <- work:
			return <-done
		case <-time.After(slice):
		}
	}
	return fmt.Errorf("thread %d does nothing any more", t.id)
}

const ownThreads = 4

// threads are threads with names, priorities and numbers of their own.
type threads struct {
	all   []*thread
	moved []uint64
}

func openThreads(config, string) (kind, error) {
	ts := &threads{moved: make([]uint64, ownThreads)}
	for i := range ownThreads {
		t := startThread()
		if err := t.do(func() error { return t.mark(i) }); err != nil {
			return nil, err
		}
		ts.all = append(ts.all, t)
	}
	return ts, nil
}

func threadName(i int) string { return fmt.Sprintf("e2e-thread-%d", i) }

// threadNice is unusual, and lower in priority: that needs no capability.
func threadNice(i int) int { return i + 1 }

func (t *thread) mark(i int) error {
	name := append([]byte(threadName(i)), 0)
	if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0); err != nil {
		return fmt.Errorf("name thread: %w", err)
	}
	return unix.Setpriority(unix.PRIO_PROCESS, t.id, threadNice(i))
}

func (ts *threads) tick(uint64) error {
	for i, t := range ts.all {
		if err := t.do(func() error { ts.moved[i]++; return nil }); err != nil {
			return err
		}
	}
	return nil
}

func (ts *threads) check(k *report.Kind) error {
	var errs []error
	for i, t := range ts.all {
		k.Values[threadName(i)] = fmt.Sprint(t.id)
		k.Progress[threadName(i)] = ts.moved[i]
		errs = append(errs, t.do(func() error { return t.check(i) }))
	}
	return errors.Join(errs...)
}

func (t *thread) check(i int) error {
	if id := unix.Gettid(); id != t.id {
		return fmt.Errorf("thread %d has the id %d now", t.id, id)
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/comm", t.id))
	if err != nil {
		return fmt.Errorf("read name of thread %d: %w", t.id, err)
	}
	if got := strings.TrimSpace(string(name)); got != threadName(i) {
		return fmt.Errorf("thread %d is named %q, want %q", t.id, got, threadName(i))
	}
	// The system call's answer is 20 less the value.
	nice, err := unix.Getpriority(unix.PRIO_PROCESS, t.id)
	if err != nil {
		return fmt.Errorf("read priority of thread %d: %w", t.id, err)
	}
	if got := 20 - nice; got != threadNice(i) {
		return fmt.Errorf("thread %d has the nice value %d, want %d", t.id, got, threadNice(i))
	}
	return nil
}
