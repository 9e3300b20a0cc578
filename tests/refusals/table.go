package refusals

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Table has how each case was refused.
type Table struct {
	mu   sync.Mutex
	rows []string
}

// another run has other ids and sums.
var another = regexp.MustCompile(`[0-9a-f]{64}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// Add is a case's row: how its last restore was refused.
func (t *Table) Add(name string, r *Refusals) {
	code, reason, _ := strings.Cut(r.last, ": ")
	reason = strings.NewReplacer(r.Namespace, "NAMESPACE", r.node.Name, "NODE").Replace(another.ReplaceAllString(reason, "…"))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, fmt.Sprintf("| %s | `%s` | %s |\n", name, code, reason))
}

const heading = `# Restores that are refused

A restore that cannot give back what was checkpointed ends in ` + "`error`" + `: no pod, no mount and no process stays, and the checkpoint can be restored when
what is wrong is mended. The first word of the error is a code, which programs can rely on; it is in ` + "`details`" + ` of the action's status. What can be known
before there is a pod is refused then: format and archive by the propagator; architecture, runtime class, memory limit and missing volumes by the manager.
The rest depends on the node, and is refused by the runtime on it before anything of the checkpoint is laid into the pod. A pod that declares its checkpoint
itself has the same reasons in its events.

These are the local backend's. ` + "`TestRestoreRefused`" + ` brings each about from outside, wants its refusal within 10 s, and restores the checkpoint afterwards. No second
CPU, architecture or version is at hand: for those the test changes what the checkpoint's row says, by ` + "`PUT /checkpoints/info`" + `. The table is the test's own
(` + "`artifacts/cases/refusals.md`" + `).

`

// String is docs/refusals.md.
func (t *Table) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	rows := slices.Sorted(slices.Values(t.rows))
	return heading + "| case | code | reason |\n|---|---|---|\n" + strings.Join(rows, "")
}
