// Package sudo is for single commands that take root, where this user is not root but may become it without being
// asked for a password, as on GitHub's runners.
package sudo

import (
	"context"
	"os"
	"os/exec"
	"time"
)

// answerTimeout is for a sudo that asks a directory service who may do what.
const answerTimeout = 10 * time.Second

// Prefix is what comes before a command so that it runs as root: nothing for root itself, else `sudo -n`. ok is false
// where this user cannot become root so.
func Prefix(ctx context.Context) (prefix []string, ok bool) { return prefixFor(ctx, os.Geteuid()) }

func prefixFor(ctx context.Context, uid int) (prefix []string, ok bool) {
	if uid == 0 {
		return nil, true
	}
	path, err := exec.LookPath("sudo")
	if err != nil {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	// Listing the rights does not do: a user may be allowed a command, and still be asked for a password.
	if exec.CommandContext(ctx, path, "-n", "true").Run() != nil {
		return nil, false
	}
	return []string{path, "-n"}, true
}
