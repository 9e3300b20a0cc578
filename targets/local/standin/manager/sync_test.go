package manager

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

// told keeps what a reporter says; the first failures reports fail.
type told struct {
	mutex    sync.Mutex
	failures int
	requests []propagator.ClusterSyncRequest
}

func (t *told) sync(_ context.Context, r propagator.ClusterSyncRequest) error {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.failures > 0 {
		t.failures--
		return errors.New("propagator away")
	}
	t.requests = append(t.requests, r)
	return nil
}

// names lists what was told: name, phase, and whether it is gone.
func (t *told) names() []string {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	var out []string
	for _, r := range t.requests {
		var object struct {
			Type     string            `json:"type"`
			Metadata metav1.ObjectMeta `json:"metadata"`
			Status   struct{ Phase string }
		}
		var meta work.SyncMetadata
		if json.Unmarshal(r.Resource, &object) != nil || json.Unmarshal(r.Metadata, &meta) != nil {
			return nil
		}
		text := object.Type + " " + object.Metadata.Name + " " + object.Status.Phase
		if meta.Deleted {
			text += "gone"
		}
		out = append(out, text)
	}
	return out
}

func reporting(t *testing.T, to *told) *reporter {
	r := newReporter("the-cluster", to.sync)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { r.run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func phase(name string, p corev1.PodPhase) *corev1.Pod {
	pod := named(name, "")
	pod.Status.Phase = p
	return pod
}

func TestChangesAreToldAndTriedAgain(t *testing.T) {
	t.Parallel()
	to := &told{failures: 2}
	h := reporting(t, to).handler("Pod")
	h.OnAdd(phase("web", corev1.PodPending), false)
	require.Eventually(t, func() bool { return len(to.names()) == 1 }, 5*time.Second, time.Millisecond)
	h.OnDelete(cache.DeletedFinalStateUnknown{Obj: phase("web", corev1.PodRunning)})
	require.Eventually(t, func() bool { return len(to.names()) == 2 }, 5*time.Second, time.Millisecond)
	require.Equal(t, []string{"Pod web Pending", "Pod web Runninggone"}, to.names())
	require.Equal(t, "the-cluster", to.requests[0].ClusterID)
}

func TestChangesThatComeFasterThanTheyCanBeToldBecomeOne(t *testing.T) {
	t.Parallel()
	to := &told{}
	r := newReporter("the-cluster", to.sync)
	h := r.handler("Pod")
	pending, running := phase("web", corev1.PodPending), phase("web", corev1.PodRunning)
	h.OnAdd(pending, false)
	h.OnUpdate(pending, running)
	require.True(t, r.one(t.Context()))
	require.Equal(t, []string{"Pod web Running"}, to.names())
	require.Zero(t, r.queue.Len())
}

func TestAPodReplacedUnseenIsToldAsGone(t *testing.T) {
	t.Parallel()
	to := &told{}
	h := reporting(t, to).handler("Pod")
	first, second := phase("web", corev1.PodRunning), phase("web", corev1.PodPending)
	second.UID = "another"
	h.OnUpdate(first, second)
	require.Eventually(t, func() bool { return len(to.names()) == 2 }, 5*time.Second, time.Millisecond)
	require.ElementsMatch(t, []string{"Pod web Runninggone", "Pod web Pending"}, to.names())
}

func TestANodesHeartbeatIsNotTold(t *testing.T) {
	t.Parallel()
	to := &told{}
	r := newReporter("the-cluster", to.sync)
	h := r.handler("Node")
	node := func(ready corev1.ConditionStatus) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "u"}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{
			Type: corev1.NodeReady, Status: ready, LastHeartbeatTime: metav1.Now()}}}}
	}
	h.OnUpdate(node(corev1.ConditionTrue), node(corev1.ConditionTrue))
	require.Zero(t, r.queue.Len())
	h.OnUpdate(node(corev1.ConditionTrue), node(corev1.ConditionFalse))
	require.Equal(t, 1, r.queue.Len())
}
