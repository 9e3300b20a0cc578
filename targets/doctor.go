package targets

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/platform"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// freeSpace is what a first run needs: module and build caches, node image, engine's copy of it.
const freeSpace = 12 << 30

// Doctor checks everything a run depends on and changes nothing. Its error counts what has to be done first; what a
// run installs by itself is no problem.
func Doctor(ctx context.Context) error {
	con := console.Standard()
	s, err := platform.Load()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, stretch.Limit(settings.DoctorTimeout), fmt.Errorf("no result within %s", stretch.Limit(settings.DoctorTimeout)))
	defer cancel()
	findings := []platform.Finding{
		{Name: "environment", OK: true, Detail: fmt.Sprintf("no bad variable; backend %s, cluster %s", s.Backend, s.ClusterName)},
		machine(runtime.GOOS, runtime.GOARCH, s.Backend),
		disk(s.Home),
	}
	if runtime.GOOS == "linux" { // elsewhere the engine's machine has the limit, and nobody else uses it up
		findings = append(findings, inotify())
	}
	chosen := platform.New(con, s)
	findings = append(findings, chosen.Clusters.Check(ctx)...)
	findings = append(findings, chosen.Propagator.Check(ctx)...)
	bad := 0
	for _, f := range findings {
		if f.OK {
			con.Ok("%s: %s", f.Name, f.Detail)
			continue
		}
		bad++
		con.Fail("%s: %s. To do: %s", f.Name, f.Detail, f.Remedy)
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d checks want something done first", bad, len(findings))
	}
	return nil
}

// machine tells whether this client's system will do. CRIU is on the nodes: on macOS they are in Docker's Linux machine,
// and so is all but the local backend's private engine.
func machine(system, arch string, backend settings.Backend) platform.Finding {
	f := platform.Finding{Name: "platform", Detail: system + "/" + arch}
	switch {
	case arch != "amd64" && arch != "arm64":
		f.Remedy = "use a machine with amd64 or arm64: CRIU and Cedana's images are built for these"
	case system == "linux":
		f.OK = true
	case system != "darwin":
		f.Remedy = "run on Linux, or on macOS with Docker Desktop"
	case backend == settings.BackendLocal:
		f.Remedy = "set CEDANA_AUTH_TOKEN and CEDANA_URL: the local backend was never seen on macOS; or run it in a Linux machine"
	default:
		f.OK = true
	}
	return f
}

func disk(home string) platform.Finding {
	f := platform.Finding{Name: "disk space", Remedy: fmt.Sprintf("free %d GiB, or set E2E_HOME to a directory on another disk", freeSpace>>30)}
	// The directory may not be there yet; the disk is its nearest parent's.
	dir := home
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		f.Detail = fmt.Sprintf("cannot tell for %s: %v", dir, err)
		return f
	}
	free := fs.Bavail * uint64(fs.Bsize)
	f.Detail = fmt.Sprintf("%d GiB free for %s", free>>30, home)
	f.OK = free >= freeSpace
	return f
}

// inotifyWanted is room for a few nodes beside what else a machine runs: each uses about twenty instances, and
// containerd and CRIU cannot do without. Many kernels' default is 128. The limit is the whole machine's, so no run
// changes it.
const inotifyWanted = 128

const inotifyLimit = "/proc/sys/fs/inotify/max_user_instances"

func inotify() platform.Finding {
	f := platform.Finding{Name: "inotify instances", Remedy: "sysctl -w fs.inotify.max_user_instances=1024"}
	text, err := os.ReadFile(inotifyLimit)
	if err != nil {
		f.Detail = err.Error()
		return f
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(text)))
	f.OK = err == nil && limit >= inotifyWanted
	f.Detail = fmt.Sprintf("at most %d a user; more than five nodes at once want more", limit)
	return f
}
