package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
	"github.com/docker/go-connections/nat"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/cedana/cedana-e2e/targets/capabilities"
	"github.com/cedana/cedana-e2e/targets/console"
)

// needsEngineTest skips unless a private engine may be started here, and returns options of one that nobody else uses.
func needsEngineTest(t *testing.T) Options {
	t.Helper()
	if os.Getenv("E2E_ENGINE_TEST") != "1" || os.Geteuid() != 0 {
		t.Skip("starts Docker engines on this machine: run as root with E2E_ENGINE_TEST=1")
	}
	if missing := missingPrograms(); len(missing) > 0 {
		t.Skipf("%v not found: apt-get install docker.io iptables", missing)
	}
	home, err := os.MkdirTemp("", "engine-home-")
	require.NoError(t, err)
	o, err := Options{Mode: Private, Home: home, RunDir: home + "-run", Progress: testProgress{t: t}}.complete()
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := Stop(context.WithoutCancel(t.Context()), o)
		require.NoError(t, err)
		require.NoError(t, os.RemoveAll(home))
	})
	return o
}

type testProgress struct {
	console.Quiet
	t *testing.T
}

func (p testProgress) Step(format string, args ...any) { p.t.Logf(format, args...) }

func TestPrivateEngine(t *testing.T) {
	o := needsEngineTest(t)
	ctx := t.Context()
	docker0 := othersBridge(t)

	// Of several commands at once one starts it, and all get it.
	var wg sync.WaitGroup
	engines, errs := make([]*Engine, 3), make([]error, 3)
	start := time.Now()
	for i := range engines {
		wg.Go(func() { engines[i], errs[i] = Ensure(ctx, o) })
	}
	wg.Wait()
	t.Logf("three at once, cold: %s", time.Since(start))
	for i := range engines {
		require.NoError(t, errs[i])
		assert.Equal(t, engines[0].ID, engines[i].ID)
		assert.True(t, engines[i].Private)
	}
	first := engines[0]
	start = time.Now()
	again, err := Ensure(ctx, o)
	require.NoError(t, err)
	t.Logf("warm: %s", time.Since(start))
	assert.Equal(t, first.ID, again.ID)

	c, err := first.Client()
	require.NoError(t, err)
	defer c.Close()
	importPeer(t, c, o, first.Arch)
	_, err = c.NetworkCreate(ctx, "peers", network.CreateOptions{})
	require.NoError(t, err)

	port := freePort(t)
	server := runPeer(t, c, "server", peer{
		args: []string{"serve", ":8080"}, network: "peers", privileged: true, restart: true, publish: port})
	onLoopback := net.JoinHostPort("127.0.0.1", port)
	eventually(t, "published port on loopback", func() error { return hello("tcp", onLoopback) })

	inspected, err := c.ContainerInspect(ctx, server)
	require.NoError(t, err)
	address := inspected.NetworkSettings.Networks["peers"].IPAddress
	for _, target := range []string{address, "server"} {
		assert.Zero(t, exitCode(t, c, runPeer(t, c, "", peer{args: []string{"dial", "tcp", target + ":8080"}, network: "peers"})),
			"a container must reach another on its network as %s", target)
	}
	assert.Zero(t, exitCode(t, c, runPeer(t, c, "", peer{args: []string{"dial", "tcp", address + ":8080"}})),
		"a container must reach one on another network of the engine")

	shared := t.TempDir()
	assert.Zero(t, exitCode(t, c, runPeer(t, c, "", peer{args: []string{"write", "/shared/file"}, privileged: true, bind: shared})))
	assert.FileExists(t, filepath.Join(shared, "file"))
	_, stderr, code, err := execIn(ctx, c, server, []string{"/probe", "dial", "tcp", "127.0.0.1:8080"})
	require.NoError(t, err)
	assert.Zero(t, code, string(stderr))

	t.Run("rules come back after the firewall was reloaded", func(t *testing.T) {
		_, err := removeRules(ctx, instance(o.RunDir))
		require.NoError(t, err)
		_, err = Ensure(ctx, o)
		require.NoError(t, err)
		assert.Zero(t, exitCode(t, c, runPeer(t, c, "", peer{args: []string{"dial", "tcp", address + ":8080"}})))
	})

	for name, kill := range map[string]func(t *testing.T){
		"dockerd killed":    func(t *testing.T) { killNamed(t, o, "dockerd") },
		"containerd killed": func(t *testing.T) { killNamed(t, o, "containerd") },
		"all but the shims killed, and the pid file names someone else": func(t *testing.T) {
			killNamed(t, o, "dockerd")
			killNamed(t, o, "containerd")
			require.NoError(t, os.WriteFile(filepath.Join(o.RunDir, "docker.pid"), []byte(strconv.Itoa(os.Getpid())), 0o644))
		},
		"stopped for good, so that it never answers": func(t *testing.T) {
			s, err := o.readState()
			require.NoError(t, err)
			require.NoError(t, syscall.Kill(s.Dockerd, syscall.SIGSTOP))
		},
		"everything killed and the run directory lost": func(t *testing.T) {
			_, err := killAll(ctx, o)
			require.NoError(t, err)
			_, err = unmountBelow([]string{o.RunDir})
			require.NoError(t, err)
			require.NoError(t, os.RemoveAll(o.RunDir))
		},
	} {
		t.Run(name, func(t *testing.T) {
			kill(t)
			start := time.Now()
			e, err := Ensure(ctx, o)
			require.NoError(t, err)
			t.Logf("again after %s", time.Since(start))
			assert.Equal(t, first.ID, e.ID, "the data must survive")
			// A node has a restart policy, as this container has.
			eventually(t, "published port after the restart", func() error { return hello("tcp", onLoopback) })
		})
	}

	used := recallPools(o)
	require.Len(t, used, 1, "a restart takes the same addresses")
	start = time.Now()
	stopped, err := Stop(ctx, o)
	require.NoError(t, err)
	t.Logf("stopped after %s: %v", time.Since(start), stopped)
	assert.NotEmpty(t, stopped)
	assertNothingLeft(t, o, used[0])
	stopped, err = Stop(ctx, o)
	require.NoError(t, err)
	assert.Empty(t, stopped, "nothing is left to stop")
	_, err = Find(ctx, o)
	require.ErrorIs(t, err, ErrNone)

	link, err := netlink.LinkByName("docker0")
	require.NoError(t, err, "another engine's bridge must stay")
	assert.Equal(t, docker0, link.Attrs().Index)
}

// othersBridge returns the index of docker0, which is another engine's. If there is none it is made for the test.
func othersBridge(t *testing.T) int {
	t.Helper()
	link, err := netlink.LinkByName("docker0")
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		require.NoError(t, ensureBridge("docker0", netip.MustParsePrefix("172.17.0.0/16")))
		t.Cleanup(func() {
			_, _, err := removeBridges("docker0", nil, nil)
			require.NoError(t, err)
		})
		link, err = netlink.LinkByName("docker0")
	}
	require.NoError(t, err)
	return link.Attrs().Index
}

func TestStopAfterEverythingWasKilled(t *testing.T) {
	o := needsEngineTest(t)
	e, err := Ensure(t.Context(), o)
	require.NoError(t, err)
	c, err := e.Client()
	require.NoError(t, err)
	defer c.Close()
	importPeer(t, c, o, e.Arch)
	_, err = c.NetworkCreate(t.Context(), "peers", network.CreateOptions{})
	require.NoError(t, err)
	runPeer(t, c, "server", peer{args: []string{"serve", ":8080"}, network: "peers", privileged: true, publish: freePort(t)})
	s, err := o.readState()
	require.NoError(t, err)

	killNamed(t, o, "dockerd")
	killNamed(t, o, "containerd")
	stopped, err := Stop(t.Context(), o)
	require.NoError(t, err)
	t.Log(stopped)
	assertNothingLeft(t, o, netip.MustParsePrefix(s.Pool))
}

func TestInterruptedStartLeavesNothingRunning(t *testing.T) {
	o := needsEngineTest(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for ctx.Err() == nil {
			if s, err := o.readState(); err == nil && s.Containerd != 0 {
				cancel()
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	_, err := Ensure(ctx, o)
	require.ErrorIs(t, err, context.Canceled)
	pids, err := markedProcesses(o.RunDir)
	require.NoError(t, err)
	assert.Empty(t, pids)
	assert.NoDirExists(t, o.RunDir)
}

// A Docker that asks for all capabilities cannot run privileged containers on a host that lacks some.
func TestAutoLeavesAnEngineThatCannotRunPrivilegedContainers(t *testing.T) {
	o := needsEngineTest(t)
	missing, err := capabilities.OfHost()
	require.NoError(t, err)
	if len(missing) == 0 {
		t.Skip("this host has all capabilities, so every engine copes: run on one that lacks CAP_SYS_RESOURCE")
	}
	stock := startStockEngine(t)
	o.Mode, o.DockerHost = Auto, stock
	e, err := Ensure(t.Context(), o)
	require.NoError(t, err)
	if !e.Private {
		t.Skipf("docker %s asks only for the capabilities that there are: needs 20.10", e.Version)
	}
	found, err := Find(t.Context(), o)
	require.NoError(t, err)
	assert.Equal(t, e.ID, found.ID)

	system := o
	system.Mode = System
	_, err = Ensure(t.Context(), system)
	require.Error(t, err)
	t.Log(err)
	require.ErrorContains(t, err, stock)
	require.ErrorContains(t, err, "operation not permitted")

	_, err = Stop(t.Context(), o)
	require.NoError(t, err)
	c, err := client.NewClientWithOpts(client.WithHost(stock), client.WithAPIVersionNegotiation())
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Ping(t.Context())
	require.NoError(t, err, "the other engine must not be touched")
	list, err := c.ContainerList(t.Context(), container.ListOptions{All: true})
	require.NoError(t, err)
	assert.Empty(t, list)
}

func startStockEngine(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "stock-engine-")
	require.NoError(t, err)
	address := netip.MustParsePrefix("10.88.77.0/24")
	require.NoError(t, ensureBridge("stocktest0", address))
	host := "unix://" + dir + "/docker.sock"
	dockerd, err := lookProgram("dockerd")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(dir+"/daemon.json", []byte("{}"), 0o644))
	cmd := exec.Command(dockerd, "--config-file", dir+"/daemon.json", "-H", host, "--data-root", dir+"/data", "--exec-root", dir+"/exec",
		"--pidfile", dir+"/pid", "--bridge", "stocktest0", "--iptables=false", "--ip-masq=false", "--cgroup-parent", "/stocktest")
	log, err := os.Create(dir + "/log")
	require.NoError(t, err)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "PATH="+searchPath(os.Getenv("PATH")))
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		if t.Failed() {
			data, err := os.ReadFile(dir + "/log")
			t.Logf("%s\n%v", lastLines(data, 10), err)
		}
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, cmd.Wait())
		_, err := unmountBelow([]string{dir})
		require.NoError(t, err)
		_, _, err = removeBridges("stocktest0", nil, nil)
		require.NoError(t, err)
		groups, err := cgroupDirs("stocktest")
		require.NoError(t, err)
		for _, group := range groups {
			require.NoError(t, os.Remove(group))
		}
		require.NoError(t, os.RemoveAll(dir))
	})
	c, err := client.NewClientWithOpts(client.WithHost(host), client.WithAPIVersionNegotiation())
	require.NoError(t, err)
	defer c.Close()
	eventually(t, "stock engine", func() error { _, err := c.Ping(t.Context()); return err })
	return host
}

type peer struct {
	args       []string
	network    string
	privileged bool
	restart    bool
	publish    string
	bind       string
}

const peerImage = "cedana-e2e.local/peer:test"

func importPeer(t *testing.T, c *client.Client, o Options, arch string) {
	t.Helper()
	source, err := os.ReadFile("testdata/peer/main.go")
	require.NoError(t, err)
	program, err := build(t.Context(), o, "peer", string(source), arch)
	require.NoError(t, err)
	root, err := rootfs(program)
	require.NoError(t, err)
	out, err := c.ImageImport(t.Context(), image.ImportSource{Source: root, SourceName: "-"}, peerImage, image.ImportOptions{Changes: []string{`ENTRYPOINT ["/probe"]`}})
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, out)
	require.NoError(t, err)
	require.NoError(t, out.Close())
}

func runPeer(t *testing.T, c *client.Client, name string, p peer) (id string) {
	t.Helper()
	host := &container.HostConfig{Privileged: p.privileged, NetworkMode: container.NetworkMode(p.network), PortBindings: nat.PortMap{}}
	config := &container.Config{Image: peerImage, Cmd: p.args, ExposedPorts: nat.PortSet{}}
	if p.restart {
		host.RestartPolicy = container.RestartPolicy{Name: container.RestartPolicyUnlessStopped}
	}
	if p.publish != "" {
		config.ExposedPorts["8080/tcp"] = struct{}{}
		host.PortBindings["8080/tcp"] = []nat.PortBinding{{HostIP: "127.0.0.1", HostPort: p.publish}}
	}
	if p.bind != "" {
		host.Mounts = []mount.Mount{{Type: mount.TypeBind, Source: p.bind, Target: "/shared"}}
	}
	created, err := c.ContainerCreate(t.Context(), config, host, nil, nil, name)
	require.NoError(t, err)
	require.NoError(t, c.ContainerStart(t.Context(), created.ID, container.StartOptions{}))
	return created.ID
}

func exitCode(t *testing.T, c *client.Client, id string) int64 {
	t.Helper()
	done, errs := c.ContainerWait(t.Context(), id, container.WaitConditionNotRunning)
	select {
	case r := <-done:
		return r.StatusCode
	case err := <-errs:
		require.NoError(t, err)
	}
	return -1
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return port
}

func hello(network, address string) error {
	conn, err := net.DialTimeout(network, address, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	got, err := io.ReadAll(conn)
	if err == nil && string(got) != "hello" {
		err = fmt.Errorf("%s answers %q", address, got)
	}
	return err
}

func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatalf("%s: not after 30s: %v", what, err)
}

func killNamed(t *testing.T, o Options, name string) {
	t.Helper()
	pids, err := markedProcesses(o.RunDir)
	require.NoError(t, err)
	n := 0
	for _, pid := range pids {
		if commandOf(pid) == name {
			require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
			n++
		}
	}
	require.Equal(t, 1, n, "processes named %s", name)
}

func assertNothingLeft(t *testing.T, o Options, pool netip.Prefix) {
	t.Helper()
	pids, err := markedProcesses(o.RunDir)
	require.NoError(t, err)
	assert.Empty(t, pids, "processes")
	mounts, err := mountsBelow([]string{o.RunDir, o.Home})
	require.NoError(t, err)
	assert.Empty(t, mounts, "mounts")
	groups, err := cgroupDirs(instance(o.RunDir))
	require.NoError(t, err)
	assert.Empty(t, groups, "cgroups")
	links, err := netlink.LinkList()
	require.NoError(t, err)
	for _, link := range links {
		addresses, err := netlink.AddrList(link, netlink.FAMILY_V4)
		if err != nil {
			continue // another engine's interface, gone meanwhile
		}
		assert.False(t, slices.ContainsFunc(addresses, func(a netlink.Addr) bool {
			prefix, ok := toPrefix(a.IPNet)
			return ok && pool.Overlaps(prefix)
		}), "interface %s", link.Attrs().Name)
		assert.NotEqual(t, instance(o.RunDir), link.Attrs().Name)
	}
	for _, table := range []string{"filter", "nat"} {
		out, err := iptables(t.Context(), "-t", table, "-S")
		require.NoError(t, err)
		assert.NotContains(t, out, chainName(instance(o.RunDir)))
		assert.NotContains(t, out, pool.String())
	}
	assert.NoDirExists(t, o.RunDir)
	assert.NoFileExists(t, o.RunDir+".lock")
	assert.NoDirExists(t, o.dir())
}
