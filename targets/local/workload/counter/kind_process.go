package main

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// process is what the kernel keeps about a process beside its memory and descriptors. It is read, and only what can be
// set without harm to the rest is set to something else than usual.
type process struct{ was map[string]string }

// Unusual values, so that a default in their place shows.
const (
	ownUmask = 0o027
	ownFiles = 4321
)

func openProcess(c config, _ string) (kind, error) {
	unix.Umask(ownUmask)
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return nil, fmt.Errorf("read limit of open files: %w", err)
	}
	// Only the soft limit, which can be raised again without a capability.
	if files.Cur = ownFiles; files.Max >= ownFiles {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
			return nil, fmt.Errorf("set limit of open files: %w", err)
		}
	}
	dir := c.state("cwd")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.Chdir(dir); err != nil {
		return nil, err
	}
	was, err := processFacts()
	return &process{was}, err
}

func (p *process) tick(uint64) error { return nil }

func (p *process) check(k *report.Kind) error {
	is, err := processFacts()
	if err != nil {
		return err
	}
	maps.Copy(k.Values, is)
	return differ(p.was, is)
}

func processFacts() (map[string]string, error) {
	facts := map[string]string{}
	cwd, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("read working directory: %w", err)
	}
	facts["working directory"] = cwd
	// Of the process, not of the thread: what the Go runtime changes on its threads is no part of it.
	for _, name := range []string{"comm", "cmdline", "personality", "oom_score_adj"} {
		content, err := os.ReadFile("/proc/self/" + name)
		if err != nil {
			return nil, err
		}
		facts[name] = strings.TrimSpace(strings.ReplaceAll(string(content), "\x00", " "))
	}
	if facts["program"], err = os.Readlink("/proc/self/exe"); err != nil {
		return nil, err
	}
	status, err := os.Open("/proc/self/status")
	if err != nil {
		return nil, err
	}
	defer status.Close()
	wanted := map[string]string{
		"Umask": "umask", "Uid": "user ids", "Gid": "group ids", "Groups": "groups", "NoNewPrivs": "no new privileges", "Seccomp": "seccomp mode",
		"CapEff": "effective capabilities", "CapBnd": "bounding capabilities", "NSpid": "pids", "NSsid": "session", "NSpgid": "process group",
	}
	lines := bufio.NewScanner(status)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		if name, ok := wanted[key]; ok {
			fields := strings.Fields(value)
			if strings.HasPrefix(key, "NS") && len(fields) > 1 {
				fields = fields[len(fields)-1:] // those outside the container are others after a restore
			}
			facts[name] = strings.Join(fields, " ")
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	for name, which := range map[string]int{"open files": unix.RLIMIT_NOFILE, "stack": unix.RLIMIT_STACK, "core size": unix.RLIMIT_CORE} {
		var limit unix.Rlimit
		if err := unix.Getrlimit(which, &limit); err != nil {
			return nil, fmt.Errorf("read limit of %s: %w", name, err)
		}
		facts["limit of "+name] = fmt.Sprintf("%d of %d", limit.Cur, limit.Max)
	}
	return facts, nil
}
