package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/cedana/cedana-e2e/targets/stretch"
)

// guest is a machine that can be logged in to.
type guest struct{ client *ssh.Client }

// connect waits until the machine lets root in.
func (m *machine) connect(ctx context.Context, d disk) (*guest, error) {
	text, err := os.ReadFile(d.key)
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", d.key, err)
	}
	config := &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), // a machine of our own, on this host's loopback
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(m.port))
	for {
		client, err := dial(ctx, address, config)
		if err == nil {
			return &guest{client}, nil
		}
		select {
		case <-m.ended:
			return nil, fmt.Errorf("QEMU has ended: %w", errors.Join(m.err, err))
		case <-ctx.Done():
			return nil, fmt.Errorf("log in at %s: %w; last state: %w", address, context.Cause(ctx), err)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// dial gives one try a limit: QEMU takes the connection before the guest does.
func dial(ctx context.Context, address string, config *ssh.ClientConfig) (*ssh.Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(stretch.Limit(time.Minute))); err != nil {
		return nil, err
	}
	c, channels, requests, err := ssh.NewClientConn(conn, address, config)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return ssh.NewClient(c, channels, requests), conn.SetDeadline(time.Time{})
}

func (g *guest) close() { _ = g.client.Close() } // the machine is gone by now

// shell runs a script, which it gives to the shell's standard input: a value may be a secret, and an argument is seen by
// all processes.
func (g *guest) shell(ctx context.Context, script string, stdout, stderr io.Writer) error {
	session, err := g.client.NewSession()
	if err != nil {
		return fmt.Errorf("open a session in the machine: %w", err)
	}
	defer func() { _ = session.Close() }()
	session.Stdin, session.Stdout, session.Stderr = strings.NewReader(script), stdout, stderr
	if err := session.Start("exec sh -es"); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- session.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// work is what takes both machines some time, and uses little but the processor.
const work = "i=0; while [ $i -lt %d ]; do i=$((i+1)); done\n"

// slowness is how many times longer the guest takes for the same work than this host, at least 1.
func (g *guest) slowness(ctx context.Context) (float64, error) {
	script := fmt.Sprintf(work, 300000)
	begin := time.Now()
	if out, err := exec.CommandContext(ctx, "sh", "-c", script).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("measure this host: %w: %s", err, out)
	}
	here := time.Since(begin)
	begin = time.Now()
	var said bytes.Buffer
	if err := g.shell(ctx, script, &said, &said); err != nil {
		return 0, fmt.Errorf("measure the machine: %w: %s", err, said.String())
	}
	return scale(here, time.Since(begin)), nil
}

// scale is a factor for limits. A tenth more is noise.
func scale(host, guest time.Duration) float64 {
	factor := float64(guest) / float64(max(host, time.Millisecond))
	if factor < 1.1 {
		return 1
	}
	return min(float64(int(factor*10))/10, stretch.Largest)
}

// run runs the target, and shows what it says.
func (g *guest) run(ctx context.Context, o Options, target string, shares []share) error {
	err := g.shell(ctx, script(o, target, shares), o.Progress.Data(), o.Progress.Progress())
	var exit *ssh.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("mage %s in %s: exit status %d", target, o.Release, exit.ExitStatus())
	}
	if err != nil {
		return fmt.Errorf("mage %s in %s: %w", target, o.Release, err)
	}
	return nil
}

// script mounts the shares, each below a layer of the guest's own that takes what is written, and runs the target.
func script(o Options, target string, shares []share) string {
	var s strings.Builder
	for _, one := range shares {
		own := "/var/lib/shares/" + one.tag
		fmt.Fprintf(&s, "mkdir -p %[1]s/lower %[1]s/upper %[1]s/work %[2]s\n", own, quote(one.path))
		fmt.Fprintf(&s, "mount -t 9p -o trans=virtio,version=9p2000.L,msize=1048576,cache=loose,ro %s %s/lower\n", one.tag, own)
		fmt.Fprintf(&s, "mount -t overlay -o lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work %[2]s %[3]s\n", own, one.tag, quote(one.path))
	}
	for _, one := range append(o.Env, "E2E_ARTIFACTS="+artifacts, stretch.Variable+"="+strconv.FormatFloat(o.Scale, 'g', -1, 64)) {
		name, value, _ := strings.Cut(one, "=")
		fmt.Fprintf(&s, "export %s=%s\n", name, quote(value))
	}
	fmt.Fprintf(&s, "export HOME=%s PATH=%s:$PATH\nmkdir -p %s\ncd %s\nexec %s </dev/null\n",
		quote(os.Getenv("HOME")), quote(filepath.Join(shares[0].path, "bin")), artifacts, quote(o.Root), o.command(target))
	return s.String()
}

// ofMage are the targets that are Mage's own work and not the program's.
var ofMage = []string{"test", "race", "lint", "liveToken"}

// command runs the target by the program that runs here, which is up to date: finding that out takes minutes in emulation.
func (o Options) command(target string) string {
	if slices.Contains(ofMage, target) {
		return "go tool mage " + quote(target)
	}
	return quote(o.Program) + " " + quote(target)
}

// quote is for a POSIX shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// goSettings are the host's choices of Go's own, as `KEY=value`: what was compiled is found again with the same ones alone.
func goSettings(ctx context.Context, root string) ([]string, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "-changed", "-json")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("ask go for its settings: %w", err)
	}
	var changed map[string]string
	if err := json.Unmarshal(out, &changed); err != nil {
		return nil, fmt.Errorf("ask go for its settings: %w", err)
	}
	var env []string
	for _, name := range slices.Sorted(maps.Keys(changed)) {
		env = append(env, name+"="+changed[name])
	}
	// The machine has no C compiler.
	return append(env, "CGO_ENABLED=0"), nil
}

// share is a directory of the host that the guest sees under the same path.
type share struct{ tag, path string }

// sharesOf are Go, what it and earlier runs have downloaded and compiled, and the repository.
func sharesOf(ctx context.Context, o Options) ([]share, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT", "GOMODCACHE", "GOCACHE").Output()
	if err != nil {
		return nil, fmt.Errorf("ask go for its directories: %w", err)
	}
	paths := strings.Fields(string(out))
	if len(paths) != 3 {
		return nil, fmt.Errorf("ask go for its directories: three are wanted, not %q", out)
	}
	paths = append(paths, filepath.Join(o.Home, "build"), filepath.Join(o.Home, "images"), o.Root)
	var shares []share
	for i, path := range paths {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return nil, err
		}
		shares = append(shares, share{tag: fmt.Sprintf("share%d", i), path: path})
	}
	return shares, nil
}
