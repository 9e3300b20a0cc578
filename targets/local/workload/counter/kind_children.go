package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// childRole makes this program a child of the counter: parent, which has a child of its own; leaf; or the code to end
// with.
const (
	childRole  = "COUNTER_CHILD"
	roleParent = "parent"
	roleLeaf   = "leaf"
	endCode    = 7
)

// beChild answers each line with who it is and how many lines it was sent, until there are no more.
func beChild(role string, in io.Reader, out io.Writer) int {
	if code, err := strconv.Atoi(role); err == nil {
		return code
	}
	var below *child
	if role == roleParent {
		var err error
		if below, err = startChild(roleLeaf); err != nil {
			fmt.Fprintln(os.Stderr, "counter: child:", err)
			return 1
		}
	}
	nonce, asked := rand.Text(), 0
	for lines := bufio.NewScanner(in); lines.Scan(); {
		asked++
		answer := fmt.Sprintf("%d of %d, nonce %s, asked %d", os.Getpid(), os.Getppid(), nonce, asked)
		if below != nil {
			said, err := below.ask()
			if err != nil {
				said = err.Error()
			}
			answer += "; " + said
		}
		if _, err := fmt.Fprintln(out, answer); err != nil {
			return 1
		}
	}
	return 0
}

// child is a process that this one has started, and talks to through pipes.
type child struct {
	role    string
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	file    *os.File
}

func startChild(role string) (*child, error) {
	command := exec.Command("/proc/self/exe")
	command.Env = append(os.Environ(), childRole+"="+role)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start child: %w", err)
	}
	return &child{role: role, command: command, in: in, out: bufio.NewReader(out), file: out.(*os.File)}, nil
}

func (c *child) ask() (string, error) {
	if _, err := fmt.Fprintln(c.in, "?"); err != nil {
		return "", fmt.Errorf("child %d (%s) does not listen: %w", c.command.Process.Pid, c.role, err)
	}
	said := ""
	for n := 1; ; n++ {
		if err := c.file.SetReadDeadline(time.Now().Add(slice)); err != nil {
			return "", err
		}
		part, err := c.out.ReadString('\n')
		if said += part; err == nil {
			return strings.TrimSpace(said), nil
		}
		if n == sliceCount || !errors.Is(err, os.ErrDeadlineExceeded) {
			return "", fmt.Errorf("child %d (%s) does not answer: %w", c.command.Process.Pid, c.role, err)
		}
	}
}

// children are a tree of processes: a child with a child of its own.
type children struct {
	parent *child
	// first is the first answer, less the numbers that go up.
	first string
	asked uint64
	tree  map[string]string
}

func openChildren(config, string) (kind, error) {
	c := &children{asked: 1}
	var err error
	if c.parent, err = startChild(roleParent); err != nil {
		return nil, err
	}
	said, err := c.parent.ask()
	if err != nil {
		return nil, err
	}
	c.first = withoutNumber(said)
	c.tree, err = c.processes()
	return c, err
}

// withoutNumber takes the numbers that go up out of an answer.
func withoutNumber(said string) string {
	var kept []string
	for part := range strings.SplitSeq(said, "; ") {
		who, _, _ := strings.Cut(part, ", asked ")
		kept = append(kept, who)
	}
	return strings.Join(kept, "; ")
}

func (c *children) tick(uint64) error { return c.askParent() }

func (c *children) askParent() error {
	said, err := c.parent.ask()
	if err != nil {
		return err
	}
	c.asked++
	if who := withoutNumber(said); who != c.first {
		return fmt.Errorf("the child was %s, and is %s", c.first, who)
	}
	for part := range strings.SplitSeq(said, "; ") {
		if _, asked, _ := strings.Cut(part, ", asked "); asked != strconv.FormatUint(c.asked, 10) {
			return fmt.Errorf("child %s was asked %s times, want %d", part, asked, c.asked)
		}
	}
	return nil
}

func (c *children) check(k *report.Kind) error {
	if err := c.askParent(); err != nil {
		return err
	}
	k.Progress["asked"] = c.asked
	tree, err := c.processes()
	if err != nil {
		return err
	}
	maps.Copy(k.Values, tree)
	if err := differ(c.tree, tree); err != nil {
		return err
	}
	// A child that ends is still waited for.
	var exit *exec.ExitError
	command := exec.Command("/proc/self/exe")
	command.Env = append(os.Environ(), fmt.Sprintf("%s=%d", childRole, endCode))
	if err := command.Run(); !errors.As(err, &exit) || exit.ExitCode() != endCode {
		return fmt.Errorf("a child that was started now ended with %s, want code %d", fmt.Sprint(err), endCode)
	}
	return nil
}

// processes are the descendants of this process, and as process 1 all that there are: in a restored container there
// must be none that were not there, and no zombies.
func (c *children) processes() (map[string]string, error) {
	found, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	parents, states := map[int]int{}, map[int]string{}
	for _, dir := range found {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			return nil, err
		}
		parent, state, err := processStat(pid)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			return nil, err
		}
		parents[pid], states[pid] = parent, state
	}
	tree, ours := map[string]string{}, c.parent.command.Process.Pid
	for pid, parent := range parents {
		if os.Getpid() != 1 && pid != ours && parent != ours || pid == os.Getpid() {
			continue
		}
		what := "alive"
		if states[pid] == "Z" || states[pid] == "X" {
			what = "a zombie"
		}
		tree[fmt.Sprintf("process %d", pid)] = fmt.Sprintf("%s, child of %d", what, parent)
	}
	return tree, nil
}

// processStat is a process's parent and the letter of its state.
func processStat(pid int) (parent int, state string, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, "", err
	}
	// The name, in brackets, may have anything in it.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 2 {
		return 0, "", fmt.Errorf("process %d has the status %q", pid, stat)
	}
	parent, err = strconv.Atoi(fields[1])
	return parent, fields[0], err
}
