package vm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/cedana/cedana-e2e/targets/build/parent"
	"github.com/cedana/cedana-e2e/targets/local/image/debian"
)

const (
	consoleFile = "console.log"
	overlayFile = "disk.qcow2"
	pidFile     = "qemu.pid"
)

// qemu is how QEMU's programs are called: those of a folder, with their own libraries.
type qemu struct{ folder string }

const multiarch = "usr/lib/x86_64-linux-gnu"

// findQEMU gets QEMU of [debian.Suite] into a folder of its own. The host's may be too old: QEMU 7 of Debian 12 lacks
// much of what CRIU asks of an emulated processor.
func findQEMU(ctx context.Context, o Options) (qemu, error) {
	q := qemu{folder: filepath.Join(o.build(), "qemu-"+debian.Suite)}
	_, err := once(ctx, o, q.folder, "gets QEMU", func(work string) error { return getQEMU(ctx, o, work) })
	return q, err
}

func getQEMU(ctx context.Context, o Options, folder string) error {
	downloads := filepath.Join(folder, "packages")
	packages, err := debian.Get(ctx, o.Progress, debian.Source{Home: o.Home}, downloads, debian.Selection{
		Packages: []string{"qemu-system-x86", "qemu-system-data", "qemu-utils", "seabios", "ipxe-qemu", "libc6"}, Dependencies: true,
	})
	if err != nil {
		return err
	}
	for _, p := range packages {
		if err := debian.Run(ctx, o.Progress, "unpack "+p.Name, "", "dpkg-deb", "--extract", p.Path, folder); err != nil {
			return err
		}
	}
	return os.RemoveAll(downloads)
}

// command runs a program of the folder by the folder's own dynamic linker: the host's C library may be older.
func (q qemu) command(program string, args ...string) *exec.Cmd {
	lib := filepath.Join(q.folder, multiarch)
	all := append([]string{"--library-path", lib, filepath.Join(q.folder, "usr/bin", program)}, args...)
	cmd := exec.Command(filepath.Join(lib, "ld-linux-x86-64.so.2"), all...)
	cmd.Env = append(os.Environ(), "QEMU_MODULE_DIR="+filepath.Join(lib, "qemu"))
	return cmd
}

// machine is a QEMU that runs.
type machine struct {
	accelerator string
	port        int
	cmd         *exec.Cmd
	ended       chan struct{}
	err         error
}

// start starts a machine whose disk is a copy-on-write one in dir.
func (q qemu) start(o Options, d disk, dir string, shares []share, accelerator string) (*machine, error) {
	overlay := filepath.Join(dir, overlayFile)
	if out, err := q.command("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", d.image, overlay).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make disk %s: %w: %s", overlay, err, strings.TrimSpace(string(out)))
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	said, err := os.Create(filepath.Join(dir, "qemu.log"))
	if err != nil {
		return nil, err
	}
	defer said.Close()
	m := &machine{accelerator: accelerator, port: port, ended: make(chan struct{})}
	m.cmd = q.command("qemu-system-x86_64", arguments(o, d, dir, q.folder, shares, accelerator, port)...)
	m.cmd.Stdout, m.cmd.Stderr = said, said
	// A group of its own: Ctrl-C is this process's to handle.
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	parent.Bind(m.cmd.SysProcAttr, syscall.SIGKILL)
	started := make(chan error)
	go func() {
		// The kernel ends it with the thread that started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := m.cmd.Start()
		started <- err
		if err == nil {
			if err = m.cmd.Wait(); err != nil {
				err = fmt.Errorf("%w: %s", err, tail(said.Name()))
			}
			m.err = err
		}
		close(m.ended)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start QEMU: %w", err)
	}
	return m, os.WriteFile(filepath.Join(dir, pidFile), []byte(strconv.Itoa(m.cmd.Process.Pid)), 0o600)
}

// arguments of qemu-system-x86_64. Emulated time runs by the clock: counted in instructions (-icount), it was slower.
func arguments(o Options, d disk, dir, folder string, shares []share, accelerator string, port int) []string {
	processor := map[string]string{kvm: "host", tcg: "max,la57=off"}[accelerator]
	if accelerator == tcg {
		accelerator = "tcg,thread=multi,tb-size=1024"
	}
	args := []string{
		"-name", "cedana-e2e-" + o.Name, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-L", filepath.Join(folder, "usr/share/qemu"), "-L", filepath.Join(folder, "usr/share/seabios"), "-L", filepath.Join(folder, "usr/lib/ipxe/qemu"),
		"-machine", "q35", "-accel", accelerator, "-cpu", processor, "-smp", strconv.Itoa(runtime.NumCPU()), "-m", strconv.Itoa(o.Memory) + "G",
		"-kernel", d.kernel, "-initrd", d.initrd, "-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0 mitigations=off",
		"-serial", "file:" + filepath.Join(dir, consoleFile),
		// Nothing of it outlives the run, so nothing waits for the disk.
		"-drive", "file=" + filepath.Join(dir, overlayFile) + ",format=qcow2,if=virtio,cache=unsafe",
		"-netdev", fmt.Sprintf("user,id=net,hostfwd=tcp:127.0.0.1:%d-:22", port), "-device", "virtio-net-pci,netdev=net,romfile=",
		"-device", "virtio-rng-pci",
	}
	for _, s := range shares {
		args = append(args, "-virtfs", "local,readonly=on,security_model=none,multidevs=remap,path="+s.path+",mount_tag="+s.tag)
	}
	return args
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// stop ends the machine at once, and returns when it is gone.
func (m *machine) stop() {
	_ = m.cmd.Process.Kill() // it may have ended
	<-m.ended
}

// kill ends the QEMU that a run which was killed has left in dir. Another process that has its number now is let live.
func kill(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, pidFile))
	if err != nil {
		return nil //nolint:nilerr // it was not started yet
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("read %s: %w", filepath.Join(dir, pidFile), err)
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !strings.Contains(string(line), filepath.Join(dir, overlayFile)) {
		return nil //nolint:nilerr // no such process any more
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("end QEMU, process %d: %w", pid, err)
	}
	return nil
}
