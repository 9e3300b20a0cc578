package runtime

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// valueFlags are the flags of `runc` and of its `create` that take a value as an argument of their own.
var (
	globalValues = set("root", "log", "log-format", "criu", "rootless")
	createValues = set("bundle", "b", "console-socket", "pid-file", "preserve-fds", "pidfd-socket")
)

func set(names ...string) map[string]bool {
	out := map[string]bool{}
	for _, name := range names {
		out[name] = true
	}
	return out
}

// Invocation is a runc command line, taken apart as far as the wrapper has to know it.
type Invocation struct {
	// Globals are the arguments before the command, as they were.
	Globals []string
	Command string
	// ID is the last argument that is no flag.
	ID string
	// Flags are the global's and the command's, by name without dashes; one without a value has "true".
	Flags map[string]string
}

// Pid is the first process of the container, once runc has created it.
func (in Invocation) Pid() (int, error) {
	text, err := os.ReadFile(in.Flags["pid-file"])
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", in.Flags["pid-file"], err)
	}
	return pid, nil
}

// parse reads a command line the way containerd's shim writes it: --flag value or --flag=value, flags before operands.
func parse(args []string) Invocation {
	in := Invocation{Flags: map[string]string{}}
	values := globalValues
	for i := 0; i < len(args); i++ {
		name, isFlag := strings.CutPrefix(args[i], "-")
		if !isFlag {
			if in.Command == "" {
				in.Globals, in.Command = args[:i], args[i]
				if values = nil; in.Command == "create" {
					values = createValues
				}
			} else {
				in.ID = args[i]
			}
			continue
		}
		name, value, hasValue := strings.Cut(strings.TrimPrefix(name, "-"), "=")
		switch {
		case hasValue:
		case values[name] && i+1 < len(args):
			i++
			value = args[i]
		default:
			value = "true"
		}
		in.Flags[name] = value
	}
	return in
}

// bundle is the container's bundle; runc's default is the current directory.
func (in Invocation) bundle() string {
	for _, name := range []string{"bundle", "b"} {
		if value := in.Flags[name]; value != "" {
			return value
		}
	}
	return "."
}
