package vm

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"github.com/cedana/cedana-e2e/targets/console"
)

func TestEachReleaseHasASuiteOfDebians(t *testing.T) {
	t.Parallel()
	require.Len(t, suites, len(Releases()))
	for _, release := range Releases() {
		require.NotEmpty(t, suites[release], release)
	}
}

// A value may be a secret, and may have anything in it: none is an argument, and none is read by the shell.
func TestTheTargetIsGivenTheVariablesAsTheyAre(t *testing.T) {
	t.Parallel()
	text := script(Options{Root: "/src/it's here", Program: "/build/targets", Scale: 12.5, Env: []string{"CEDANA_AUTH_TOKEN=a'b $(reboot) `x`", "SUITE=full"}}, "e2e",
		[]share{{"share0", "/usr/local/go"}, {"share1", "/root/go"}})
	require.Contains(t, text, "exec '/build/targets' 'e2e' </dev/null\n")
	require.Contains(t, script(Options{}, "test", []share{{}}), "exec go tool mage 'test' </dev/null\n")
	require.Contains(t, text, "lowerdir=/var/lib/shares/share1/lower,upperdir=/var/lib/shares/share1/upper,workdir=/var/lib/shares/share1/work share1 '/root/go'\n")

	// Only the exports, since the rest is for a machine of its own.
	var exports []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "export ") && !strings.HasPrefix(line, "export HOME=") {
			exports = append(exports, line)
		}
	}
	cmd := exec.Command("sh", "-es")
	cmd.Stdin = strings.NewReader(strings.Join(exports, "") + `printf '%s|%s|%s' "$CEDANA_AUTH_TOKEN" "$SUITE" "$E2E_TIMEOUT_SCALE"`)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "a'b $(reboot) `x`|full|12.5", string(out))
}

func TestTheMachineIsReachedFromThisHostAloneAndSeesTheSharesReadOnly(t *testing.T) {
	t.Parallel()
	args := strings.Join(arguments(Options{Name: "m", Memory: 8}, disk{kernel: "/k", initrd: "/i"}, "/dir", "/qemu", []share{{"share0", "/root/go"}}, tcg, 2200), " ")
	for _, want := range []string{
		"hostfwd=tcp:127.0.0.1:2200-:22", "-virtfs local,readonly=on,security_model=none,multidevs=remap,path=/root/go,mount_tag=share0",
		"-accel tcg,thread=multi", "-cpu max,la57=off", "-m 8G", "file=/dir/disk.qcow2", "-name cedana-e2e-m",
	} {
		require.Contains(t, args, want)
	}
	require.Contains(t, strings.Join(arguments(Options{}, disk{}, "", "", nil, kvm, 1), " "), "-accel kvm -cpu host")
}

func TestTheFactorIsWhatTheMachineIsSlower(t *testing.T) {
	t.Parallel()
	require.InDelta(t, 1.0, scale(time.Second, 900*time.Millisecond), 0.001, "a faster one has the same limits")
	require.InDelta(t, 1.0, scale(time.Second, 1050*time.Millisecond), 0.001, "noise")
	require.InDelta(t, 14.2, scale(500*time.Millisecond, 7130*time.Millisecond), 0.001)
	require.InDelta(t, 100.0, scale(time.Millisecond, time.Hour), 0.001)
}

func TestArtifactsAreWrittenIntoTheirDirectoryAndNowhereElse(t *testing.T) {
	t.Parallel()
	archive := func(name string) *bytes.Buffer {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 2, Mode: 0o644}))
		_, err := w.Write([]byte("hi"))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		return &b
	}
	dir := filepath.Join(t.TempDir(), "to")
	require.NoError(t, unpack(archive("./logs/a.txt"), dir))
	content, err := os.ReadFile(filepath.Join(dir, "logs/a.txt"))
	require.NoError(t, err)
	require.Equal(t, "hi", string(content))

	require.ErrorContains(t, unpack(archive("../b.txt"), dir), "unpack ../b.txt")
	require.NoFileExists(t, filepath.Join(filepath.Dir(dir), "b.txt"))
}

func TestTheKeyIsOneThatTheMachineTakes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	public, err := writeKey(path)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	private, err := ssh.ParsePrivateKey(text)
	require.NoError(t, err)
	require.Equal(t, public, string(ssh.MarshalAuthorizedKey(private.PublicKey())))
	require.Equal(t, public, guestFiles(public)["root/.ssh/authorized_keys"])
}

// `mage clean` after a run that was killed.
func TestAMachineThatWasLeftIsEndedAndNoOtherProcess(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	left, other := Dir(home, "left"), Dir(home, "other")
	for _, dir := range []string{left, other} {
		require.NoError(t, os.MkdirAll(dir, 0o700))
	}
	qemu := exec.Command("sh", "-c", "read -r line", "file="+filepath.Join(left, overlayFile)) // in place of QEMU
	stdin, err := qemu.StdinPipe()
	require.NoError(t, err)
	t.Cleanup(func() { stdin.Close() })
	require.NoError(t, qemu.Start())
	stranger := exec.Command("sleep", "60")
	require.NoError(t, stranger.Start())
	t.Cleanup(func() {
		_ = stranger.Process.Kill()
		_ = stranger.Wait()
	})
	require.NoError(t, os.WriteFile(filepath.Join(left, pidFile), []byte(strconv.Itoa(qemu.Process.Pid)), 0o600))
	// Its number is another's by now.
	require.NoError(t, os.WriteFile(filepath.Join(other, pidFile), []byte(strconv.Itoa(stranger.Process.Pid)), 0o600))

	removed, err := Remove(home, "left")
	require.NoError(t, err)
	require.Equal(t, []string{"virtual machine left"}, removed)
	require.ErrorContains(t, qemu.Wait(), "signal: killed")
	require.NoDirExists(t, left)
	require.DirExists(t, other, "only the one that was named")

	removed, err = Remove(home, "")
	require.NoError(t, err)
	require.Equal(t, []string{"virtual machine other"}, removed)
	require.NoError(t, stranger.Process.Signal(syscall.Signal(0)), "it is no machine")
	removed, err = Remove(home, "")
	require.NoError(t, err)
	require.Empty(t, removed)
}

func TestADirectoryIsMadeOnceAndNotFromWhatAKilledRunLeft(t *testing.T) {
	t.Parallel()
	o := Options{Home: t.TempDir(), Progress: console.Standard()}
	dir := filepath.Join(o.build(), "disk")
	require.NoError(t, os.MkdirAll(filepath.Join(dir+".making", "left"), 0o755))
	runs := 0
	write := func(work string) error {
		runs++
		require.NoDirExists(t, filepath.Join(work, "left"))
		return os.WriteFile(filepath.Join(work, "file"), nil, 0o600)
	}
	failed := errors.New("no network")
	_, err := once(t.Context(), o, dir, "makes it", func(string) error { return failed })
	require.ErrorIs(t, err, failed)
	require.NoDirExists(t, dir)
	for _, want := range []bool{true, false} {
		made, err := once(t.Context(), o, dir, "makes it", write)
		require.NoError(t, err)
		require.Equal(t, want, made)
	}
	require.Equal(t, 1, runs)
	require.FileExists(t, filepath.Join(dir, "file"))
	require.NoDirExists(t, dir+".making")
}

func TestARefusalOfKVMIsBelievedUntilTheNextBoot(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "kvm-refused")
	require.NoError(t, os.WriteFile(file, bootID(), 0o600))
	require.Equal(t, []string{tcg}, accelerators(file))
	before := accelerators(filepath.Join(t.TempDir(), "none"))
	require.NoError(t, os.WriteFile(file, []byte("another boot\n"), 0o600))
	require.Equal(t, before, accelerators(file), "as if nothing was tried")
}
