package main

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// pty is a pseudo terminal: what is written to its one end, and read from the other, with a size that was set.
type pty struct {
	queues
	slave int
}

const (
	// lineSize is small: a terminal keeps 4 KiB.
	lineSize           = 64
	ptyRows, ptyColumn = 37, 111
)

func openPty(_ config, nonce string) (kind, error) {
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make pseudo terminal: %w", err)
	}
	number, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("unlock pseudo terminal: %w", err)
	}
	p := &pty{}
	if p.slave, err = unix.Open(fmt.Sprintf("/dev/pts/%d", number), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("open pseudo terminal: %w", err)
	}
	how, err := unix.IoctlGetTermios(p.slave, unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("read terminal's settings: %w", err)
	}
	how.Iflag, how.Oflag, how.Lflag = 0, 0, 0 // raw
	how.Cc[unix.VMIN], how.Cc[unix.VTIME] = 1, 0
	err = errors.Join(unix.IoctlSetTermios(p.slave, unix.TCSETS, how),
		unix.IoctlSetWinsize(p.slave, unix.TIOCSWINSZ, &unix.Winsize{Row: ptyRows, Col: ptyColumn}))
	if err != nil {
		return nil, fmt.Errorf("set up pseudo terminal: %w", err)
	}
	q, err := sizedQueue("the pseudo terminal", nonce, master, p.slave, lineSize)
	if err != nil {
		return nil, err
	}
	p.queues = queues{q}
	return p, nil
}

func (p *pty) check(k *report.Kind) error {
	size, err := unix.IoctlGetWinsize(p.slave, unix.TIOCGWINSZ)
	if err != nil {
		return fmt.Errorf("read terminal's size: %w", err)
	}
	if size.Row != ptyRows || size.Col != ptyColumn {
		return fmt.Errorf("the terminal has %d rows of %d, want %d of %d", size.Row, size.Col, ptyRows, ptyColumn)
	}
	return p.queues.check(k)
}
