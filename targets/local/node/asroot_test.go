package node

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/console/consoletest"
)

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
	progress := &consoletest.Recorder{}
	err := runBase(t.Context(), progress, []string{sudo, "-n"}, program, BaseOptions{Home: "/home", Flavour: Source, Mirror: "http://m", Dir: "/dir", UID: 7, GID: 8})
	require.NoError(t, err)
	require.Equal(t, []string{"install Debian", "still at it"}, progress.Take())
	said, err := os.ReadFile(asked)
	require.NoError(t, err)
	require.Equal(t, "-n --preserve-env=https_proxy "+program+" -home /home -flavour source -mirror http://m -dir /dir -uid 7 -gid 8", strings.TrimSpace(string(said)))
}

func TestWhatTheCommandSaysIsInTheError(t *testing.T) {
	t.Parallel()
	sudo := script(t, "sudo", `echo "no such mirror" >&2; exit 1`)
	err := runBase(t.Context(), &consoletest.Recorder{}, []string{sudo, "-n"}, "/program", BaseOptions{})
	require.ErrorContains(t, err, "make the node's base as root")
	require.ErrorContains(t, err, "no such mirror")
}

// A user cannot signal what sudo started: it is told by the end of its stdin.
func TestACancelledRunEndsTheCommandByItsStdin(t *testing.T) {
	t.Parallel()
	ended := filepath.Join(t.TempDir(), "ended")
	sudo := script(t, "sudo", `echo ready; cat > /dev/null; echo ended > `+ended+`; exit 1`)
	ctx, cancel := context.WithCancel(t.Context())
	progress := &consoletest.Recorder{}
	go func() {
		defer cancel()
		for range 500 {
			if len(progress.Take()) > 0 {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	err := runBase(ctx, progress, []string{sudo, "-n"}, "/program", BaseOptions{})
	require.ErrorIs(t, err, context.Canceled)
	require.FileExists(t, ended)
}
