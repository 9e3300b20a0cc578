// Command capfilter is an OCI runtime that hands everything to runc, but takes out of every container's and every
// exec's specification the capabilities that the host itself lacks. Some sandboxes drop CAP_SYS_RESOURCE from the
// bounding set; Docker up to 20.10 asks for it regardless for privileged containers, and runc then fails with
// "unable to apply caps: operation not permitted".
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "capfilter:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return fmt.Errorf("read the bounding set: %w", err)
	}
	bounding, err := boundingSet(string(status))
	if err != nil {
		return fmt.Errorf("read the bounding set: %w", err)
	}
	if bundle := option(args, "--bundle", "-b"); bundle != "" {
		if err := filterFile(filepath.Join(bundle, "config.json"), bounding, "process", "capabilities"); err != nil {
			return err
		}
	}
	if slices.Contains(args, "exec") {
		if process := option(args, "--process", "-p"); process != "" {
			if err := filterFile(process, bounding, "capabilities"); err != nil {
				return err
			}
		}
	}
	runc, err := exec.LookPath("runc")
	if err != nil {
		return fmt.Errorf("find runc: %w", err)
	}
	return fmt.Errorf("exec %s: %w", runc, syscall.Exec(runc, append([]string{"runc"}, args...), os.Environ()))
}

// option returns the value of an option given as "--name value" or "--name=value".
func option(args []string, names ...string) string {
	for i, arg := range args {
		for _, name := range names {
			if arg == name && i+1 < len(args) {
				return args[i+1]
			}
			if value, ok := strings.CutPrefix(arg, name+"="); ok {
				return value
			}
		}
	}
	return ""
}

// boundingSet reads CapBnd from the text of /proc/self/status.
func boundingSet(status string) (uint64, error) {
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			return strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		}
	}
	return 0, fmt.Errorf("no line CapBnd in /proc/self/status")
}

// filterFile filters the capability lists at the given path of keys in a JSON file. Everything else stays as it is,
// byte for byte. A path that is not there means there is nothing to filter.
func filterFile(path string, bounding uint64, keys ...string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("filter capabilities: %w", err)
	}
	filtered, err := filter(data, bounding, keys)
	if err != nil {
		return fmt.Errorf("filter capabilities in %s: %w", path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("filter capabilities: %w", err)
	}
	tmp := path + ".filtered"
	if err := os.WriteFile(tmp, filtered, info.Mode().Perm()); err != nil {
		return fmt.Errorf("filter capabilities: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("filter capabilities: %w", err)
	}
	return nil
}

func filter(data []byte, bounding uint64, keys []string) ([]byte, error) {
	if len(keys) == 0 {
		var lists map[string][]string
		if err := json.Unmarshal(data, &lists); err != nil {
			return nil, err
		}
		for name, list := range lists {
			lists[name] = slices.DeleteFunc(list, func(c string) bool { return lacking(c, bounding) })
		}
		return json.Marshal(lists)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return nil, err
	}
	inner, ok := object[keys[0]]
	if !ok || string(inner) == "null" {
		return data, nil
	}
	inner, err := filter(inner, bounding, keys[1:])
	if err != nil {
		return nil, err
	}
	object[keys[0]] = inner
	return json.Marshal(object)
}

// lacking says whether the set does not have the capability. One that this program does not know is left to runc.
func lacking(name string, set uint64) bool {
	bit := slices.Index(capabilities, name)
	return bit >= 0 && set&(1<<bit) == 0
}

// capabilities in the order of their bits: include/uapi/linux/capability.h.
var capabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
	"CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
	"CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
	"CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}
