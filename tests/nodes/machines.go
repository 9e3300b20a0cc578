package nodes

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// Engine is what is asked of a Docker client.
type Engine interface {
	ContainerInspect(ctx context.Context, name string) (container.InspectResponse, error)
	ContainerKill(ctx context.Context, name, signal string) error
	ContainerStart(ctx context.Context, name string, options container.StartOptions) error
}

// Machines are the machines under the nodes of one k3d cluster, which are Docker containers: a case can kill one as a cloud
// would, bring it back, and look at what runs on it.
type Machines struct {
	cluster string
	engine  Engine
	run     func(ctx context.Context, out io.Writer, name, script string, args ...string) error
}

// connect reaches the Docker engine that the cluster's nodes are in: the one of DOCKER_HOST, else Docker's default.
func connect(ctx context.Context, cluster string) (*Machines, error) {
	engine, err := docker.Connect("")
	if err != nil {
		return nil, err
	}
	if err := docker.Ping(ctx, engine); err != nil {
		return nil, err
	}
	return &Machines{cluster: cluster, engine: engine, run: func(ctx context.Context, out io.Writer, name, script string, args ...string) error {
		return docker.Exec(ctx, engine, name, nil, out, append([]string{"sh", "-c", script, "sh"}, args...)...)
	}}, nil
}

// Kill ends a machine at once, as a power cut does; a Start brings it back with its disk.
func (m *Machines) Kill(ctx context.Context, name string) error {
	if err := m.own(ctx, name); err != nil {
		return err
	}
	if err := m.engine.ContainerKill(ctx, name, "KILL"); err != nil {
		return fmt.Errorf("kill machine %s: %w", name, err)
	}
	return nil
}

// Start brings a killed machine back. One that runs is left as it is.
func (m *Machines) Start(ctx context.Context, name string) error {
	if err := m.own(ctx, name); err != nil {
		return err
	}
	if err := m.engine.ContainerStart(ctx, name, container.StartOptions{}); err != nil {
		return fmt.Errorf("start machine %s: %w", name, err)
	}
	return nil
}

// own refuses what is not this cluster's.
func (m *Machines) own(ctx context.Context, name string) error {
	c, err := m.engine.ContainerInspect(ctx, name)
	if err != nil {
		return fmt.Errorf("find machine %s: %w", name, err)
	}
	if c.Config == nil || c.Config.Labels[settings.DockerLabelCluster] != m.cluster {
		return fmt.Errorf("machine %s is not one of cluster %s (label %s): it is left alone", name, m.cluster, settings.DockerLabelCluster)
	}
	return nil
}

// Shell runs a script on a node, with arguments from $1 on, and returns what it printed.
func (m *Machines) Shell(ctx context.Context, name, script string, args ...string) (string, error) {
	var out bytes.Buffer
	if err := m.run(ctx, &out, name, script, args...); err != nil {
		return out.String(), fmt.Errorf("run a script on %s: %w", name, err)
	}
	return out.String(), nil
}

// dump has runc write the processes of the container $2 of the runc root $1, as anybody would by hand, and prints how many
// nanoseconds that took. $3 is /var/lib: a disk, as the memory's images would cost memory again elsewhere.
const dump = `
set -e
dir=$(mktemp -d -p "$3")
trap 'rm -rf "$dir"' EXIT
begin=$(date +%s%N)
runc --root "$1" checkpoint --leave-running --image-path "$dir" --work-path "$dir" --file-locks --ext-unix-sk --manage-cgroups-mode ignore "$2" >&2
end=$(date +%s%N)
echo $((end - begin))
`

// Dump takes a checkpoint of a container by hand, without Cedana, throws it away, and tells how long runc took. The container
// runs on.
func (m *Machines) Dump(ctx context.Context, node, runcRoot, container string) (time.Duration, error) {
	out, err := m.Shell(ctx, node, dump, runcRoot, container, "/var/lib")
	if err != nil {
		return 0, fmt.Errorf("checkpoint container %s by hand: %w: %s", container, err, out)
	}
	return time.ParseDuration(strings.TrimSpace(out) + "ns")
}

// frozen prints the cgroups that stand still of a pod, $1 its UID and $2 the same with underscores, as the systemd
// driver writes it; of cgroups of the first version and the second. Sandboxes are among them, and they are never frozen
// by themselves.
const frozen = `
for dir in $(find /sys/fs/cgroup -type d \( -name "*pod$1*" -o -name "*pod$2*" \) 2>/dev/null); do
  for file in $(find "$dir" -name freezer.state -o -name cgroup.events 2>/dev/null); do
    grep -qE 'FROZEN|FREEZING|frozen 1' "$file" 2>/dev/null && echo "$file"
  done
done
exit 0
`

// Frozen are the cgroups of a pod on a node that stand still.
func (m *Machines) Frozen(ctx context.Context, node, podUID string) ([]string, error) {
	out, err := m.Shell(ctx, node, frozen, podUID, strings.ReplaceAll(podUID, "-", "_"))
	return strings.Fields(out), err
}

// processes is a function of the shell: the processes of a pod, less the one of its sandbox. With that gone too, the
// kubelet would make the whole pod anew instead of restarting its containers.
const processes = `
processes() {
  for pid in $(grep -lE "pod($1|$2)" /proc/[0-9]*/cgroup 2>/dev/null | cut -d/ -f3); do
    [ "$(cat /proc/$pid/comm 2>/dev/null)" = pause ] || echo "$pid"
  done
}
`

// killFrozen waits, for $3 seconds at most, until a cgroup of the pod $1 ($2 in the systemd driver's spelling) stands still
// and then kills the processes of the pod $4 ($5). It looks for the files once, beforehand, and starts no process while it waits: the freeze is short.
const killFrozen = processes + `
files=""
for dir in $(find /sys/fs/cgroup -type d \( -name "*pod$1*" -o -name "*pod$2*" \) 2>/dev/null); do
  files="$files $(find "$dir" -mindepth 2 -name freezer.state -o -mindepth 2 -name cgroup.events 2>/dev/null)"
done
victims=$(processes "$4" "$5")
[ -n "$files" ] || { echo "no cgroup of the pod to freeze"; exit 1; }
[ -n "$victims" ] || { echo "no process of the victim"; exit 1; }
echo armed
still() {
  for file in $files; do
    while read -r line; do
      case "$line" in FROZEN|FREEZING|"frozen 1") return 0 ;; esac
    done < "$file"
  done 2>/dev/null
  return 1
}
until=$(($(date +%s) + $3))
loops=0
until still; do
  loops=$((loops + 1))
  [ $((loops % 2000)) != 0 ] || [ "$(date +%s)" -le "$until" ] || { echo "the pod was never seen frozen"; exit 2; }
done
kill -9 $victims
echo killed
`

// KillWhenFrozen kills every process of the pod victim at the moment at which the pod frozen stands still. It returns
// when it is on the watch for that; the channel then has the outcome, an error when no freeze was seen within most, which is in
// whole seconds. On a starved machine a freeze may come and go unseen.
func (m *Machines) KillWhenFrozen(ctx context.Context, node, frozenUID, victimUID string, most time.Duration) (<-chan error, error) {
	ended := make(chan error, 1)
	out := &armedWriter{armed: make(chan struct{})}
	go func() {
		err := m.run(ctx, out, node, killFrozen, frozenUID, strings.ReplaceAll(frozenUID, "-", "_"), strconv.Itoa(int(most.Seconds())),
			victimUID, strings.ReplaceAll(victimUID, "-", "_"))
		if err != nil {
			err = fmt.Errorf("kill pod %s on %s while pod %s stands still: %w: %s", victimUID, node, frozenUID, err, out.words())
		}
		ended <- err
	}()
	select {
	case <-out.armed:
		return ended, nil
	case err := <-ended:
		if err != nil {
			return nil, err
		}
		ended <- nil // it was on the watch, and has done it by now
		return ended, nil
	}
}

// armedWriter tells when the script has said its first word.
type armedWriter struct {
	armed chan struct{}
	once  sync.Once
	mu    sync.Mutex
	text  bytes.Buffer
}

func (w *armedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if strings.Contains(w.text.String(), "armed") {
		w.once.Do(func() { close(w.armed) })
	}
	return len(p), nil
}

func (w *armedWriter) words() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(strings.Fields(w.text.String()), " ")
}

// KillPod kills every process of a pod's containers.
func (m *Machines) KillPod(ctx context.Context, node, podUID string) error {
	_, err := m.Shell(ctx, node, processes+`kill -9 $(processes "$1" "$2")`,
		podUID, strings.ReplaceAll(podUID, "-", "_"))
	return err
}

// of prints what a node has of pods, $1 a pattern of their UIDs: their mounts, their cgroups, and the processes in those.
const of = `
grep -E "$1" /proc/mounts | sed 's/^/mount /'
find /sys/fs/cgroup -type d 2>/dev/null | grep -E "pod($1)" | sed 's/^/cgroup /'
grep -lE "pod($1)" /proc/[0-9]*/cgroup 2>/dev/null | cut -d/ -f3 | sed 's/^/process /'
`

// left prints what a node has of pods that are gone; and, of whatever pod, dumps and restores that go on, and shims of
// containers that containerd does not have.
const left = of + `
containers=$(ctr -n k8s.io containers ls -q)
for dir in /proc/[0-9]*; do
  line=$(tr '\0' ' ' < $dir/cmdline 2>/dev/null) || continue
  case "$line" in
  *containerd-shim*" -id "*)
    id=${line#* -id }
    id=${id%% *}
    echo "$containers" | grep -q "^$id" || echo "shim of no container: $line" ;;
  *criu*" swrk "*|*criu*" dump "*|*criu*" restore "*|*runc*" checkpoint "*|*runc*" restore "*)
    echo "process ${dir#/proc/}: $line" ;;
  esac
done
exit 0
`

// Of is what a node has of pods, one line each, whatever others have there meanwhile.
func (m *Machines) Of(ctx context.Context, node string, podUIDs []string) ([]string, error) {
	return m.lines(ctx, node, of+"exit 0", podUIDs)
}

// Left is what a node still has of pods that are gone, one line each, when nothing else runs there.
func (m *Machines) Left(ctx context.Context, node string, podUIDs []string) ([]string, error) {
	return m.lines(ctx, node, left, podUIDs)
}

func (m *Machines) lines(ctx context.Context, node, script string, podUIDs []string) ([]string, error) {
	pattern := strings.Join(podUIDs, "|")
	out, err := m.Shell(ctx, node, script, pattern+"|"+strings.ReplaceAll(pattern, "-", "_"))
	if err != nil {
		return nil, err
	}
	return strings.FieldsFunc(out, func(c rune) bool { return c == '\n' }), nil
}
