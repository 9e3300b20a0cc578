package nodes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/go-connections/nat"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/settings"
)

// engine has two containers: node of our cluster, other of another.
type engine struct{ did []string }

func (e *engine) ContainerInspect(_ context.Context, name string) (container.InspectResponse, error) {
	cluster := map[string]string{"node": "ours", "other": "theirs"}[name]
	if cluster == "" {
		return container.InspectResponse{}, errdefs.ErrNotFound
	}
	network := &container.NetworkSettings{}
	network.Ports = nat.PortMap{"1324/tcp": {{HostIP: "127.0.0.1", HostPort: "32771"}}}
	return container.InspectResponse{
		Config:          &container.Config{Labels: map[string]string{settings.DockerLabelCluster: cluster}},
		NetworkSettings: network,
	}, nil
}

func (e *engine) ContainerKill(_ context.Context, name, signal string) error {
	e.did = append(e.did, signal+" "+name)
	return nil
}

func (e *engine) ContainerStart(_ context.Context, name string, _ container.StartOptions) error {
	e.did = append(e.did, "start "+name)
	return nil
}

// prints is a node that prints a text and ends with an error, or does not end when the error is nil and it is to hang.
func prints(text string, err error) func(context.Context, io.Writer, string, string, ...string) error {
	return func(_ context.Context, out io.Writer, _, _ string, _ ...string) error {
		for _, c := range []byte(text) {
			_, _ = out.Write([]byte{c})
		}
		return err
	}
}

func TestAMachineOfOursIsKilledAndStarted(t *testing.T) {
	t.Parallel()
	e := &engine{}
	m := &Machines{cluster: "ours", engine: e}
	require.NoError(t, m.Kill(t.Context(), "node"))
	require.NoError(t, m.Start(t.Context(), "node"))
	require.Equal(t, []string{"KILL node", "start node"}, e.did)
}

func TestWhatIsNotOursIsLeftAlone(t *testing.T) {
	t.Parallel()
	e := &engine{}
	m := &Machines{cluster: "ours", engine: e}
	require.ErrorContains(t, m.Kill(t.Context(), "other"), "other is not one of cluster ours")
	require.ErrorContains(t, m.Start(t.Context(), "other"), "left alone")
	require.ErrorIs(t, m.Kill(t.Context(), "gone"), errdefs.ErrNotFound)
	require.Empty(t, e.did)
}

func TestTheKillerIsOnTheWatchBeforeAnybodyGoesOn(t *testing.T) {
	t.Parallel()
	m := &Machines{run: prints("armed\nkilled\n", nil)}
	var ended <-chan error
	var err error
	for range 1000 { // it may be done before it is seen to be armed
		ended, err = m.KillWhenFrozen(t.Context(), "node", "a-b", "c-d", time.Second)
		require.NoError(t, err)
		require.NotNil(t, ended)
		require.NoError(t, <-ended)
	}

	m.run = prints("armed\nthe pod was never seen frozen\n", errors.New("exit status 2"))
	ended, err = m.KillWhenFrozen(t.Context(), "node", "a-b", "c-d", time.Second)
	if err == nil { // it may have ended before it was seen to be armed
		err = <-ended
	}
	require.ErrorContains(t, err, "the pod was never seen frozen")

	m.run = prints("no process of the victim\n", errors.New("exit status 1"))
	_, err = m.KillWhenFrozen(t.Context(), "node", "a-b", "c-d", time.Second)
	require.ErrorContains(t, err, "no process of the victim")
}

func TestBothSpellingsOfAUIDAreLookedFor(t *testing.T) {
	t.Parallel()
	var got []string
	m := &Machines{run: func(_ context.Context, out io.Writer, node, _ string, args ...string) error {
		got = append([]string{node}, args...)
		_, err := fmt.Fprintln(out, "mount proc /a\ncgroup /b")
		return err
	}}
	left, err := m.Left(t.Context(), "node", []string{"a-b", "c-d"})
	require.NoError(t, err)
	require.Equal(t, []string{"mount proc /a", "cgroup /b"}, left)
	require.Equal(t, []string{"node", "a-b|c-d|a_b|c_d"}, got)
	_, err = m.Frozen(t.Context(), "node", "a-b")
	require.NoError(t, err)
	require.Equal(t, []string{"node", "a-b", "a_b"}, got)
}

func TestAScriptThatFailsNamesTheNode(t *testing.T) {
	t.Parallel()
	m := &Machines{run: prints("", errors.New("exit status 1"))}
	_, err := m.Shell(t.Context(), "node", "false")
	require.ErrorContains(t, err, "run a script on node: exit status 1")
}
