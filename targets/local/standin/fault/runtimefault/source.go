package runtimefault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/cedana/cedana-e2e/targets/local/standin/bundle"
	"github.com/cedana/cedana-e2e/targets/local/standin/runtime"
)

// container is a living one in a runc root.
type container struct {
	pid  int
	spec *specs.Spec
}

// others are the containers of a runc root but for the target.
func others(runcRoot string, t runtime.Target) (all []container, err error) {
	entries, err := os.ReadDir(runcRoot)
	for _, e := range entries {
		state, err := bundle.ReadState(runcRoot, e.Name())
		if err != nil || state.Dir() == t.Bundle {
			continue
		}
		if spec, err := bundle.Read(state.Dir()); err == nil {
			all = append(all, container{state.Pid, spec})
		}
	}
	return all, err
}

// stopSources has the first processes of the other containers in a runc root that declare the same checkpoint stand still
// for 12 s.
func stopSources(runcRoot string, t runtime.Target) error {
	all, err := others(runcRoot, t)
	for _, c := range all {
		if bundle.CheckpointName(c.spec) == t.Name {
			err = errors.Join(err, signalLater(c.pid, "0s", "STOP", "12s", "CONT"))
		}
	}
	return err
}

// haveTwinAnswer sends what comes for the target's pod on to that of a living container of the same name and namespace:
// another restore of the same checkpoint.
func haveTwinAnswer(ctx context.Context, r runtime.RecreateRequest) error {
	pid, err := r.Invocation.Pid()
	if err != nil {
		return err
	}
	all, err := others(r.Invocation.Flags["root"], r.Target)
	for _, c := range all {
		if c.spec.Annotations[bundle.AnnotationName] != r.Target.Container || c.spec.Annotations[bundle.AnnotationNamespace] != r.Target.Namespace {
			continue
		}
		hosts, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/etc/hosts", c.pid))
		if err != nil {
			return err
		}
		// The kubelet writes the pod's own address last.
		lines := strings.Split(strings.TrimSpace(string(hosts)), "\n")
		address, _, _ := strings.Cut(lines[len(lines)-1], "\t")
		out, err := exec.CommandContext(ctx, "nsenter", "--target", strconv.Itoa(pid), "--net", "sh", "-ec", `echo 1 >/proc/sys/net/ipv4/ip_forward
iptables -t nat -A PREROUTING -p tcp -j DNAT --to-destination "$1"
iptables -t nat -A POSTROUTING -j MASQUERADE`, "sh", address).CombinedOutput()
		if err != nil {
			return fmt.Errorf("send on to %s: %w: %s", address, err, out)
		}
		return nil
	}
	return err
}

// emptyDirs is where the kubelet keeps emptyDir volumes, below a pod's directory.
const emptyDirs = "/volumes/kubernetes.io~empty-dir/"

// shareVolumes has the target use, in place of its own emptyDir volumes, those of a living container of the same name
// and namespace: the source of its checkpoint, or another restore of it. A volume in which that holds a file open stays
// the target's own: CRIU would refuse a file that has grown.
func shareVolumes(runcRoot string, t runtime.Target) error {
	own, err := bundle.Read(t.Bundle)
	if err != nil {
		return err
	}
	all, err := others(runcRoot, t)
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.spec.Annotations[bundle.AnnotationName] != t.Container || c.spec.Annotations[bundle.AnnotationNamespace] != t.Namespace {
			continue
		}
		sources := idleVolumes(c)
		for i, m := range own.Mounts {
			if source := sources[m.Destination]; source != "" {
				own.Mounts[i].Source = source
			}
		}
	}
	changed, err := json.Marshal(own)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(t.Bundle, "config.json"), changed, 0o600)
}

// idleVolumes are the sources of a container's emptyDir volumes without open files, by where they are mounted.
func idleVolumes(c container) map[string]string {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", c.pid)) // the pattern is well-formed
	sources := map[string]string{}
	for _, m := range c.spec.Mounts {
		open := slices.ContainsFunc(links, func(link string) bool {
			path, err := os.Readlink(link)
			return err == nil && strings.HasPrefix(path, m.Destination+"/")
		})
		if strings.Contains(m.Source, emptyDirs) && !open {
			sources[m.Destination] = m.Source
		}
	}
	return sources
}
