// Package criu holds what dump and restore have to agree on, and reads CRIU's own words.
package criu

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Arguments are those that `runc checkpoint` and `runc restore` must share. Without --tcp-established: with it a pod
// that has any open connection, a probe's for instance, cannot be restored under its new address
// ("Can't bind inet socket back: Cannot assign requested address").
func Arguments(imagePath, workPath string) []string {
	return []string{
		"--image-path", imagePath, "--work-path", workPath,
		"--file-locks", "--ext-unix-sk", "--manage-cgroups-mode", "ignore",
	}
}

// ConfigHeader is the first line of a Config that the helper may replace.
const ConfigHeader = "# written by cedana-helper"

// Config is what CRIU reads through runc (/etc/criu/runc.conf): open connections are closed on restore, half-open ones
// are left out, and deleted files that are still open are kept up to 64 MiB (CRIU's default is 1). The pod's network is
// not cut off during the dump: that is for connections that are to survive, it takes four runs of iptables while the
// pod stands still, and a CRIU that is killed would leave the pod cut off for good.
const Config = ConfigHeader + `
tcp-close
skip-in-flight
ghost-limit 64M
network-lock skip
`

// Required are the options without which a probed pod does not survive.
var Required = []string{"tcp-close", "skip-in-flight"}

// MissingOptions lists which of Required a configuration file lacks.
func MissingOptions(config string) []string {
	have := map[string]bool{}
	for line := range strings.Lines(config) {
		line, _, _ = strings.Cut(line, "#")
		if fields := strings.Fields(line); len(fields) > 0 {
			have[strings.TrimPrefix(fields[0], "--")] = true
		}
	}
	var missing []string
	for _, option := range Required {
		if !have[option] {
			missing = append(missing, option)
		}
	}
	return missing
}

// Version is a version of criu or runc.
type Version struct{ Major, Minor int }

// Oldest versions that work: CRIU 4.1 cannot dump sockets on Linux 6.18, runc 1.1 refuses --manage-cgroups-mode ignore.
var (
	OldestCRIU = Version{4, 2}
	OldestRunc = Version{1, 2}
)

var versionPattern = regexp.MustCompile(`(?i)version:? v?(\d+)\.(\d+)`)

// ParseVersion reads the output of `criu --version` or `runc --version`.
func ParseVersion(output string) (Version, error) {
	m := versionPattern.FindStringSubmatch(output)
	if m == nil {
		return Version{}, fmt.Errorf("no version in %q", strings.TrimSpace(output))
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	return Version{major, minor}, nil
}

// Before reports whether v is older than other.
func (v Version) Before(other Version) bool {
	return v.Major < other.Major || v.Major == other.Major && v.Minor < other.Minor
}

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

var (
	errorLine = regexp.MustCompile(`Error \([^)]*\): (.*)$`)
	// harmless are lines that CRIU writes in dumps that go well, too.
	harmless = []string{"Can't setup RLIMIT_NOFILE for self"}
	// consequences are lines that only say that something failed before.
	consequences = []string{
		"Dumping FAILED", "Restoring FAILED", "Dump files (pid", "Parasite exited with", "exited, status=", "killed by signal",
		"cgroupd: recv req error",
	}
)

// hints turn a known reason into what to do about it.
var hints = []struct{ reason, hint string }{
	{"Unsupported proto 262", "the program listens with MPTCP, as Go 1.24 and newer do by default: set GODEBUG=multipathtcp=0 in its environment"},
	{"io_uring", "the program uses io_uring, which CRIU cannot dump: turn it off in the program, or on the node with sysctl kernel.io_uring_disabled=2"},
	{"Can't dump that handle", "the program watches files with inotify or fanotify on a file system that has no handles of them, such as a container's root: CRIU cannot dump that; turn the watching off"},
	{"Can't lookup mount", "the program has a file open whose file system is not mounted in its container, such as a POSIX message queue: CRIU cannot dump that"},
	{"has unreachable sharing", "a volume follows the node's mounts (mountPropagation HostToContainer or Bidirectional), which are outside of the container, and CRIU cannot dump it: take mountPropagation out"},
	{"Can't get rlimit", "the node lacks CAP_SYS_RESOURCE, so CRIU reads limits of its own user's processes only: run the program as root there"},
	{"Cannot assign requested address", "a connection bound to the old pod's address was dumped: tcp-close must be in /etc/criu/runc.conf"},
	{"Can't create inotify: Too many open files", "this machine's inotify instances are used up, by its clusters for the most part: sysctl -w fs.inotify.max_user_instances=1024"},
	{"bad size", "a file changed between the dump of the memory and of the files"},
}

// Reason reads a dump.log or restore.log and gives CRIU's own reason for a failure, with a hint where one is known; ""
// when the log names no error. The first errors are kept, in their order: what follows is mostly their echo.
func Reason(log io.Reader) string {
	const most = 4
	var reasons []string
	scanner := bufio.NewScanner(log)
	scanner.Buffer(make([]byte, 64<<10), 1<<20)
	for scanner.Scan() {
		m := errorLine.FindStringSubmatch(scanner.Text())
		if m == nil || len(reasons) == most || containsAny(m[1], harmless) || len(reasons) > 0 && containsAny(m[1], consequences) {
			continue
		}
		if reason := strings.TrimSpace(m[1]); len(reasons) == 0 || reasons[len(reasons)-1] != reason {
			reasons = append(reasons, reason)
		}
	}
	text := strings.Join(reasons, "; ")
	if hint := Hint(text); hint != "" {
		text += " (" + hint + ")"
	}
	return text
}

// Hint is what to do about a reason, by the first known message that it has; "" where none is known.
func Hint(reason string) string {
	for _, h := range hints {
		if strings.Contains(reason, h.reason) {
			return h.hint
		}
	}
	return ""
}

func containsAny(text string, parts []string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
}

// ReasonFile is Reason of a file; a file that cannot be read has none.
func ReasonFile(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	return Reason(f)
}
