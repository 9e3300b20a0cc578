// Command base makes the node's Debian base as root, for a user who is not root but may become it with sudo. Its
// progress goes to stdout, a line at a time; it stops when its stdin ends, since a user cannot signal root's processes.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/cedana/cedana-e2e/targets/local/node"
)

func main() {
	var o node.BaseOptions
	flag.StringVar(&o.Home, "home", "", "the project's `directory`")
	flag.StringVar((*string)(&o.Flavour), "flavour", "", "of the node: k3s or source")
	flag.StringVar(&o.Mirror, "mirror", "", "Debian mirror; empty is the host's")
	flag.StringVar(&o.Dir, "dir", "", "`directory` to make")
	flag.IntVar(&o.UID, "uid", 0, "user that it is given to")
	flag.IntVar(&o.GID, "gid", 0, "group that it is given to")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		// However it ends, there is nobody left to make it for.
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if err := node.MakeBase(ctx, lines{}, o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type lines struct{}

func (lines) Step(format string, args ...any) { fmt.Printf(format+"\n", args...) }
