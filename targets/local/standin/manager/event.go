package manager

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/local/standin/worker"
)

// eventSource is who an event says that it is from.
const eventSource = "cedana-manager"

// events is what the manager does to events.
type events interface {
	Create(ctx context.Context, event *corev1.Event) error
}

type eventAPI struct{ client rest.Interface }

func (a eventAPI) Create(ctx context.Context, event *corev1.Event) error {
	return a.client.Post().Namespace(event.Namespace).Resource("events").Body(event).Do(ctx).Error()
}

// tell writes the event of a unit of work; one that is there already, from an attempt whose answer was lost, is enough.
func tell(ctx context.Context, api events, w *work.Work) worker.Outcome {
	err := api.Create(ctx, eventOf(w, time.Now()))
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return worker.Failed(fmt.Errorf("create event %s of pod %s/%s: %w", w.Event.Reason, w.Event.Namespace, w.Event.PodName, err))
	}
	return worker.Outcome{}
}

// eventOf is named after its unit of work, so that it is written once.
func eventOf(w *work.Work, at time.Time) *corev1.Event {
	e, now := w.Event, metav1.NewTime(at)
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: "cedana-" + w.ID, Namespace: e.Namespace},
		InvolvedObject: corev1.ObjectReference{
			Kind: "Pod", APIVersion: "v1", Namespace: e.Namespace, Name: e.PodName, UID: types.UID(e.PodUID),
			FieldPath: fmt.Sprintf("spec.containers{%s}", e.Container),
		},
		Reason: e.Reason, Message: e.Message, Type: corev1.EventTypeNormal,
		Source: corev1.EventSource{Component: eventSource}, ReportingController: eventSource,
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
	}
}
