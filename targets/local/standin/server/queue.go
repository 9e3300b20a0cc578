package server

import (
	"context"
	"sync"
	"time"

	"github.com/cedana/cedana-e2e/targets/local/standin/work"
)

// worker is who polls: a role in a cluster, and for helpers a node.
type worker struct {
	role    work.Role
	cluster string
	node    string
}

func (w worker) String() string {
	if w.role == work.RoleHelper {
		return "helper on node " + w.node
	}
	return "manager of cluster " + w.cluster
}

// item is a unit of work in the queue.
type item struct {
	work work.Work
	to   worker
	// pod is the UID of the pod that a checkpoint is of: one at a time of each.
	pod     string
	offered time.Time
	// expires is when the lease ends, once the item is handed out.
	expires time.Time
}

// queue hands work to those who poll for it. It holds nothing that is not in the store: a restart builds it anew.
type queue struct {
	lease time.Duration
	now   func() time.Time

	mu      sync.Mutex
	pending []*item
	leased  map[string]*item
	waiting map[worker][]chan *item
}

func newQueue(lease time.Duration, now func() time.Time) *queue {
	return &queue{lease: lease, now: now, leased: map[string]*item{}, waiting: map[worker][]chan *item{}}
}

// offer puts work up for its worker.
func (q *queue) offer(w work.Work, to worker, pod string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pending = append(q.pending, &item{work: w, to: to, pod: pod, offered: q.now()})
	q.match()
}

// resume gives a new lease to work that was handed out before a restart.
func (q *queue) resume(w work.Work, to worker, pod string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.leased[w.ID] = &item{work: w, to: to, pod: pod, offered: q.now(), expires: q.now().Add(q.lease)}
}

// take is the next work of a worker, leased to it; nil when none came before ctx ended.
func (q *queue) take(ctx context.Context, by worker) *item {
	mine := make(chan *item, 1)
	q.mu.Lock()
	q.waiting[by] = append(q.waiting[by], mine)
	q.match()
	q.mu.Unlock()
	select {
	case it := <-mine:
		return it
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case it := <-mine: // it came in the same moment
		return it
	default:
	}
	line := q.waiting[by]
	for i, other := range line {
		if other == mine {
			line = append(line[:i:i], line[i+1:]...)
			break
		}
	}
	if len(line) == 0 {
		delete(q.waiting, by)
	} else {
		q.waiting[by] = line
	}
	return nil
}

// giveBack puts work that did not reach its worker first in line again.
func (q *queue) giveBack(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it, ok := q.leased[id]
	if !ok {
		return
	}
	delete(q.leased, id)
	q.pending = append([]*item{it}, q.pending...)
	q.match()
}

// renew prolongs a lease and reports whether there is one.
func (q *queue) renew(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	it, ok := q.leased[id]
	if ok {
		it.expires = q.now().Add(q.lease)
	}
	return ok
}

// drop takes work out: it is done, or given up.
func (q *queue) drop(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.leased, id)
	for i, it := range q.pending {
		if it.work.ID == id {
			q.pending = append(q.pending[:i:i], q.pending[i+1:]...)
			break
		}
	}
	q.match()
}

// idle reports that there is no work, neither waiting nor handed out.
func (q *queue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.pending) == 0 && len(q.leased) == 0
}

// finishEvent takes work out if it is an event that was handed out, and reports whether it is.
func (q *queue) finishEvent(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	it, ok := q.leased[id]
	if !ok || it.work.Kind != work.KindEvent {
		return false
	}
	delete(q.leased, id)
	return true
}

// late lists the work that nobody took within pickup, and the work whose lease has run out.
func (q *queue) late(pickup time.Duration) (untaken, lost []*item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	for _, it := range q.pending {
		if q.blocked(it) {
			it.offered = now // it waits for its own pod, not for its worker
		}
		if now.Sub(it.offered) >= pickup {
			untaken = append(untaken, it)
		}
	}
	for _, it := range q.leased {
		if now.After(it.expires) {
			lost = append(lost, it)
		}
	}
	return untaken, lost
}

// match gives pending work to waiting workers, oldest first.
func (q *queue) match() {
	left := q.pending[:0]
	for _, it := range q.pending {
		line := q.waiting[it.to]
		if len(line) == 0 || q.blocked(it) {
			left = append(left, it)
			continue
		}
		line[0] <- it // buffered, and used once
		if len(line) == 1 {
			delete(q.waiting, it.to)
		} else {
			q.waiting[it.to] = line[1:]
		}
		it.expires = q.now().Add(q.lease)
		q.leased[it.work.ID] = it
	}
	clear(q.pending[len(left):])
	q.pending = left
}

func (q *queue) blocked(it *item) bool {
	if it.pod == "" {
		return false
	}
	for _, other := range q.leased {
		if other.pod == it.pod {
			return true
		}
	}
	return false
}
