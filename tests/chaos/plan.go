// Package chaos plans and plays chaos runs. A plan is an endless list of rounds, the same for the same seed; it knows
// nothing of clusters, and pods and nodes are numbers in it. A Run plays the rounds on a cluster.
package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Kind of a task.
type Kind string

const (
	// Checkpoint takes one.
	Checkpoint Kind = "checkpoint"
	// Twice takes two of the same pod at the same time.
	Twice Kind = "two checkpoints at once"
	// Restore deletes the pod and restores it from a checkpoint that is there.
	Restore Kind = "restore"
	// Cycle takes a checkpoint, deletes the pod and restores it, at once and several times.
	Cycle Kind = "cycle"
)

// Task is what is done to one pod in a round.
type Task struct {
	Pod  int
	Kind Kind
	// Back says which checkpoint a Restore takes: 0 the newest, 1 the one before it. Who has fewer takes the oldest.
	Back int
	// Times is how many cycles a Cycle has.
	Times int
	// After is the time from the beginning of the round.
	After time.Duration
}

func (d Task) String() string {
	what := string(d.Kind)
	switch d.Kind {
	case Restore:
		what += fmt.Sprintf(" of checkpoint -%d", d.Back)
	case Cycle:
		what = fmt.Sprintf("%d cycles", d.Times)
	}
	return fmt.Sprintf("pod %d: %s after %s", d.Pod, what, d.After)
}

// Disruption is what goes wrong in a round.
type Disruption string

const (
	// Quiet is none.
	Quiet Disruption = "nothing"
	// KillHelper kills the helper of a node.
	KillHelper Disruption = "the helper is killed"
	// KillHelperFrozen kills it at the moment at which it holds a pod still, if it does.
	KillHelperFrozen Disruption = "the helper is killed while it holds a pod still"
	// KillNode kills a node, which is an agent, and takes it out of the cluster.
	KillNode Disruption = "the node is lost"
	// Cordon closes a node to new pods for the round.
	Cordon Disruption = "the node is cordoned"
	// KillPropagator kills the propagator and starts it again.
	KillPropagator Disruption = "the propagator is killed"
)

// Round is some tasks, each to another pod, and perhaps a disruption, side by side.
type Round struct {
	Number     int
	Tasks      []Task
	Disruption Disruption
	// Agent is the number of the node that the disruption is about.
	Agent int
	// After is when the disruption comes.
	After time.Duration
}

func (r Round) String() string {
	var tasks []string
	for _, d := range r.Tasks {
		tasks = append(tasks, d.String())
	}
	disruption := "no disruption"
	switch r.Disruption {
	case Quiet:
	case KillPropagator:
		disruption = fmt.Sprintf("%s after %s", r.Disruption, r.After)
	default:
		disruption = fmt.Sprintf("agent %d: %s after %s", r.Agent, r.Disruption, r.After)
	}
	return fmt.Sprintf("round %d: %s; %s", r.Number, strings.Join(tasks, ", "), disruption)
}

// Options are what there is to play with.
type Options struct {
	// Pods is how many there are, at least 1; Agents how many nodes may be lost. Without any there is no disruption with
	// nodes and helpers.
	Pods, Agents int
	// Propagator says that it may be killed.
	Propagator bool
}

// Plan is the list of rounds.
type Plan struct {
	options Options
	random  *rand.Rand
	number  int
	// deck has the disruptions to come: each kind comes in every few rounds, so that a short run has all of them too.
	deck []Disruption
}

// New is the plan of a seed.
func New(seed uint64, o Options) *Plan {
	return &Plan{options: o, random: rand.New(rand.NewPCG(seed, 0x63656461))}
}

// Next is the next round.
func (p *Plan) Next() Round {
	p.number++
	r := Round{Number: p.number, Disruption: p.disruption(), After: p.within(1200 * time.Millisecond)}
	if p.options.Agents > 0 {
		r.Agent = p.random.IntN(p.options.Agents)
	}
	pods := p.random.Perm(p.options.Pods)
	pods = pods[:1+p.random.IntN(p.options.Pods)]
	slices.Sort(pods)
	// Now and then all do the same at the same time.
	together := p.random.IntN(4) == 0
	for _, pod := range pods {
		d := Task{Pod: pod, Kind: Checkpoint}
		if !together {
			d = p.task(pod)
		}
		r.Tasks = append(r.Tasks, d)
	}
	return r
}

func (p *Plan) task(pod int) Task {
	kinds := []Kind{Checkpoint, Checkpoint, Twice, Restore, Restore, Cycle}
	d := Task{Pod: pod, Kind: kinds[p.random.IntN(len(kinds))], After: p.within(time.Second)}
	switch d.Kind {
	case Restore:
		d.Back = p.random.IntN(2)
	case Cycle:
		d.Times = 2 + p.random.IntN(2)
	}
	return d
}

func (p *Plan) disruption() Disruption {
	if len(p.deck) == 0 {
		p.deck = []Disruption{Quiet, Quiet, Quiet}
		if p.options.Agents > 0 {
			p.deck = append(p.deck, KillHelper, KillHelperFrozen, KillNode, Cordon)
		}
		if p.options.Propagator {
			p.deck = append(p.deck, KillPropagator)
		}
		p.random.Shuffle(len(p.deck), func(i, j int) { p.deck[i], p.deck[j] = p.deck[j], p.deck[i] })
	}
	next := p.deck[0]
	p.deck = p.deck[1:]
	return next
}

// within is a time below most, in tens of milliseconds.
func (p *Plan) within(most time.Duration) time.Duration {
	const step = 10 * time.Millisecond
	return time.Duration(p.random.Int64N(int64(most/step))) * step
}
