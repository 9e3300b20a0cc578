package cluster

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/cedana/cedana-e2e/targets/cluster/docker"
)

const (
	watchInterval = time.Second
	// tooManyRestarts of a node container mean that it will not recover.
	tooManyRestarts = 5
	// goneLooks is how often in a row a server has to be missing: its script starts it a moment before it asks for it.
	goneLooks = 2
	// searchedLines of a node's log are where its last error is looked for.
	searchedLines = 500
)

// watching returns a context that ends, with a cause that names the node, when a node has died for good. While the
// nodes are being started, one that does not run yet is none that died.
func (m *maker) watching(ctx context.Context, starting bool) (context.Context, context.CancelFunc) {
	watched, cancel := context.WithCancelCause(ctx)
	go m.watch(watched, cancel, starting)
	return watched, func() { cancel(nil) }
}

func (m *maker) watch(ctx context.Context, cancel context.CancelCauseFunc, starting bool) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	ran, gone := map[string]bool{}, map[string]int{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		have, err := inspect(ctx, m.engine, m.settings.ClusterName, m.settings.Owner())
		if err != nil {
			continue
		}
		if len(have.nodes) == 0 {
			cancel(fmt.Errorf("the nodes of cluster %s were removed by somebody else", m.settings.ClusterName))
			return
		}
		for _, n := range have.nodes {
			c, err := m.engine.ContainerInspect(ctx, n.ID)
			if err != nil || c.State == nil {
				continue
			}
			ran[n.ID] = ran[n.ID] || c.State.Running || !starting
			if c.RestartCount >= tooManyRestarts || ran[n.ID] && (c.State.Status == "exited" || c.State.Status == "dead") {
				cancel(fmt.Errorf("node %s is %s with exit status %d after %s", n.Name, c.State.Status, c.State.ExitCode, count(c.RestartCount, "restart")))
				return
			}
			if !c.State.Running {
				continue
			}
			processes, err := m.engine.ContainerTop(ctx, n.ID, []string{"-eo", "pid,args"})
			if err != nil || !serverGone(processes) {
				gone[n.ID] = 0
				continue
			}
			if gone[n.ID]++; gone[n.ID] >= goneLooks {
				// Where the log cannot be read there is still that the server is gone.
				log, _ := docker.Tail(ctx, m.engine, n.Name, searchedLines)
				cancel(fmt.Errorf("the server on node %s has ended: %s", n.Name, lastError(log)))
				return
			}
		}
	}
}

// serverGone reports whether a node's server has ended before it was up. Its container goes on then: the script that k3d
// starts it by asks it to take pods (kubectl uncordon) until it answers.
func serverGone(processes container.TopResponse) bool {
	asking := false
	for _, p := range processes.Processes {
		args := strings.Fields(p[len(p)-1])
		switch {
		case len(args) > 1 && path.Base(args[0]) == "k3s" && args[1] == "server":
			return false
		case strings.Join(args, " ") == "sleep 3", len(args) > 1 && path.Base(args[0]) == "kubectl" && args[1] == "uncordon":
			asking = true
		}
	}
	return asking
}

// errorLine is what a server says before it ends: k3s's fatal errors, the supervisor's errors, Go's panics.
var errorLine = regexp.MustCompile(`level=(fatal|ERROR)|^panic:|^fatal error:`)

// lastError is the last error in a node's log, without what the script that asks for the server has written since.
func lastError(log string) string {
	last := "its log has no error"
	for line := range strings.Lines(log) {
		if errorLine.MatchString(line) {
			last = strings.TrimSpace(line)
		}
	}
	return last
}
