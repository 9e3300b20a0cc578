package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// stopped is a child that was stopped, as a shell stops a job, and has to stay so.
type stopped struct {
	child *child
	first string
}

func openStopped(config, string) (kind, error) {
	s := &stopped{}
	var err error
	if s.child, err = startChild(roleLeaf); err != nil {
		return nil, err
	}
	said, err := s.child.ask()
	if err != nil {
		return nil, err
	}
	s.first = withoutNumber(said)
	return s, s.stop()
}

func (s *stopped) tick(uint64) error { return nil }

func (s *stopped) check(*report.Kind) error {
	pid := s.child.command.Process.Pid
	_, state, err := processStat(pid)
	if err != nil {
		return fmt.Errorf("look at stopped child %d: %w", pid, err)
	}
	if state != "T" {
		return fmt.Errorf("child %d, which was stopped, is in state %s", pid, state)
	}
	return s.wake()
}

// wake lets the stopped child say who it is, and stops it again.
func (s *stopped) wake() error {
	if err := s.child.command.Process.Signal(unix.SIGCONT); err != nil {
		return fmt.Errorf("wake stopped child: %w", err)
	}
	said, err := s.child.ask()
	if err != nil {
		return err
	}
	if who := withoutNumber(said); who != s.first {
		return fmt.Errorf("the stopped child was %s, and is %s", s.first, who)
	}
	return s.stop()
}

func (s *stopped) stop() error {
	if err := s.child.command.Process.Signal(unix.SIGSTOP); err != nil {
		return fmt.Errorf("stop child: %w", err)
	}
	// The signal is not instant.
	for deadline := time.Now().Add(answerTimeout); ; time.Sleep(time.Millisecond) {
		_, state, err := processStat(s.child.command.Process.Pid)
		if err != nil || state == "T" {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("child %d is in state %s after %s, want stopped", s.child.command.Process.Pid, state, answerTimeout)
		}
	}
}
