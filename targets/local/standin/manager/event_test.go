package manager

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cedana/cedana-e2e/targets/local/standin/work"
)

// fakeEvents keeps events as an API server does, and fails when it is told to.
type fakeEvents struct {
	events []*corev1.Event
	fail   error
}

func (f *fakeEvents) Create(_ context.Context, event *corev1.Event) error {
	for _, e := range f.events {
		if e.Name == event.Name && e.Namespace == event.Namespace {
			return apierrors.NewAlreadyExists(schema.GroupResource{Resource: "events"}, event.Name)
		}
	}
	f.events = append(f.events, event)
	return f.fail
}

func TestAnEventIsAboutTheContainerOfThePodAndIsWrittenOnce(t *testing.T) {
	t.Parallel()
	api := &fakeEvents{}
	w := &work.Work{ID: "w1", Kind: work.KindEvent, Event: &work.Event{
		PodUID: "u1", PodName: "web-1", Namespace: "shop", Container: "web", Reason: work.ReasonColdStart, Message: "starts cold",
	}}
	m := &manager{events: api, restorer: &restorer{}}
	require.Empty(t, m.do(t.Context(), w).Error)
	require.Empty(t, m.do(t.Context(), w).Error, "the same again")
	require.Len(t, api.events, 1)
	e := api.events[0]
	require.Equal(t, "shop", e.Namespace)
	require.Equal(t, corev1.ObjectReference{
		Kind: "Pod", APIVersion: "v1", Namespace: "shop", Name: "web-1", UID: "u1", FieldPath: "spec.containers{web}",
	}, e.InvolvedObject)
	require.Equal(t, []string{"NoCheckpoint", "starts cold", "Normal"}, []string{e.Reason, e.Message, e.Type})
}

func TestAnEventThatIsRefusedIsNamed(t *testing.T) {
	t.Parallel()
	w := &work.Work{ID: "w1", Kind: work.KindEvent, Event: &work.Event{PodName: "web-1", Namespace: "shop", Reason: work.ReasonColdStart}}
	require.Contains(t, tell(t.Context(), &fakeEvents{fail: errors.New("no right")}, w).Error, "create event NoCheckpoint of pod shop/web-1: no right")
}
