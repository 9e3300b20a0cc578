package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/magefile/mage/mage"
	"github.com/magefile/mage/mg"

	"github.com/cedana/cedana-e2e/targets/build/parent"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/filelock"
)

// generated is the file with the main program that Mage writes beside the magefile while it compiles.
const generated = "mage_output_file.go"

// runMage is Mage's own main program, but for the compilation, which is done under a lock.
func runMage(args []string) int {
	// Ends with the process group, and tidies up before.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-parent.Gone(ctx)
		// The watching process was killed. The target ends in good order when the magefile does.
		_ = syscall.Kill(0, syscall.SIGTERM) // this process included
	}()

	inv, command, err := mage.Parse(os.Stderr, os.Stdout, args)
	if err != nil || command != mage.None || inv.List || inv.Help || inv.Keep || inv.HashFast || inv.Autocomplete {
		// Mage says what is wrong, or compiles nothing, or something that is not kept here.
		return mage.ParseAndRun(os.Stdout, os.Stderr, os.Stdin, args)
	}
	inv.Stdin, inv.Stdout, inv.Stderr = os.Stdin, os.Stdout, os.Stderr
	if inv.Dir == "" {
		inv.Dir = "."
	}
	if inv.WorkDir == "" {
		inv.WorkDir = inv.Dir
	}
	program, status, err := compile(ctx, inv)
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		return 1
	}
	if status != 0 {
		return status
	}
	return mage.RunCompiled(inv, program, log.New(os.Stderr, "", 0))
}

// firstRun is what somebody should know who calls a target in a clone for the first time. The figures are those of two processors.
func firstRun(processors int) string {
	minutes := func(ofTwo int) int { return max(1, (ofTwo*2+processors-1)/processors) }
	return fmt.Sprintf("the first run of this clone, with %d processors: about %d min to compile the targets, and for the first cluster about %d min more "+
		"where no k3s image can be had and Kubernetes is compiled; the next runs take half a minute", processors, minutes(3), minutes(9))
}

// compile makes the program of the magefile and returns its path, and Mage's exit status if it could not. Every clone
// has a program of its own: two may be at different commits.
func compile(ctx context.Context, inv mage.Invocation) (path string, status int, err error) {
	dir, err := filepath.Abs(inv.Dir)
	if err != nil {
		return "", 0, fmt.Errorf("find the magefile: %w", err)
	}
	sum := sha256.Sum256([]byte(dir))
	cache := filepath.Join(mg.CacheDir(), hex.EncodeToString(sum[:8]))
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", 0, fmt.Errorf("make a place for the compiled magefile: %w", err)
	}
	unlock, err := filelock.Lock(ctx, console.Standard(), filepath.Join(cache, "lock"), "compiles the magefile of "+dir)
	if err != nil {
		return "", 0, err
	}
	defer unlock()
	// Whoever holds the lock is alone: one that is there was left by a Mage that was killed.
	if err := os.Remove(filepath.Join(dir, generated)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", 0, fmt.Errorf("remove what a killed mage left: %w", err)
	}
	path = filepath.Join(cache, "mage")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		console.Standard().Step("%s", firstRun(runtime.NumCPU()))
	}
	// Under another name first: the program may be running. It is the same file under both, which Go leaves alone where it
	// is up to date and replaces where it is not: linking it each time would take half of a target's start.
	inv.CompileOut = path + ".new"
	if err := os.Remove(inv.CompileOut); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", 0, fmt.Errorf("remove what a killed mage left: %w", err)
	}
	if err := os.Link(path, inv.CompileOut); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", 0, fmt.Errorf("compile the magefile beside the program that is there: %w", err)
	}
	if status := mage.Invoke(inv); status != 0 {
		return "", status, nil
	}
	if err := os.Rename(inv.CompileOut, path); err != nil {
		return "", 0, fmt.Errorf("put the compiled magefile in its place: %w", err)
	}
	return path, 0, nil
}
