package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type steps struct {
	mu    sync.Mutex
	lines []string
}

func (s *steps) Step(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

// script is an executable file.
func script(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755))
	return path
}

var proxies = []string{"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}

func TestTheBaseIsMadeByOneCommandBehindSudo(t *testing.T) {
	for _, name := range proxies {
		t.Setenv(name, "")
	}
	t.Setenv("https_proxy", "http://user:secret@proxy")
	asked := filepath.Join(t.TempDir(), "asked")
	sudo := script(t, "sudo", `printf "%s\n" "$*" > `+asked+`; shift 2; exec "$@"`)
	program := script(t, "base", `echo "install Debian"; echo "still at it"`)
	progress := &steps{}
	err := runBase(t.Context(), progress, []string{sudo, "-n"}, program, BaseOptions{Home: "/home", Mirror: "http://m", Dir: "/dir", UID: 7, GID: 8})
	require.NoError(t, err)
	require.Equal(t, []string{"install Debian", "still at it"}, progress.lines)
	said, err := os.ReadFile(asked)
	require.NoError(t, err)
	require.Equal(t, "-n --preserve-env=https_proxy "+program+" -home /home -mirror http://m -dir /dir -uid 7 -gid 8", strings.TrimSpace(string(said)))
}

func TestWhatTheCommandSaysIsInTheError(t *testing.T) {
	t.Parallel()
	sudo := script(t, "sudo", `echo "no such mirror" >&2; exit 1`)
	err := runBase(t.Context(), &steps{}, []string{sudo, "-n"}, "/program", BaseOptions{})
	require.ErrorContains(t, err, "make the node's base as root")
	require.ErrorContains(t, err, "no such mirror")
}

// A user cannot signal what sudo started: it is told by the end of its stdin.
func TestACancelledRunEndsTheCommandByItsStdin(t *testing.T) {
	t.Parallel()
	ended := filepath.Join(t.TempDir(), "ended")
	sudo := script(t, "sudo", `echo ready; cat > /dev/null; echo ended > `+ended+`; exit 1`)
	ctx, cancel := context.WithCancel(t.Context())
	progress := &steps{}
	go func() {
		defer cancel()
		for range 500 {
			progress.mu.Lock()
			ready := len(progress.lines) > 0
			progress.mu.Unlock()
			if ready {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	err := runBase(ctx, progress, []string{sudo, "-n"}, "/program", BaseOptions{})
	require.ErrorIs(t, err, context.Canceled)
	require.FileExists(t, ended)
}
