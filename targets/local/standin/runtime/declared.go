package runtime

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"

	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/local/standin/worker"
)

// Choose finds the checkpoint of a container that declares a checkpoint's name, through a transport; nil means
// the client's own. t.Checkpoint stays empty when the container is to be started cold.
type Choose func(ctx context.Context, t *Target, through http.RoundTripper) error

// choose is the wrapper's Choose with what is put around it.
func (s Seams) choose() Choose {
	if s.Choose != nil {
		return s.Choose(choose)
	}
	return choose
}

// choose asks the propagator, once for each container of a pod: a restart starts afresh. A propagator that does not
// answer is an error and no cold start, which would lose what it may have.
func choose(ctx context.Context, t *Target, through http.RoundTripper) error {
	marks := markersOf(t.PodUID)
	if decided, err := marks.decided(t.Container); decided || err != nil {
		return err
	}
	source, err := connect(through)
	if err != nil {
		return err
	}
	return t.chooseFrom(ctx, source, marks)
}

// decided reports whether a container was restored or started before.
func (m markers) decided(container string) (bool, error) {
	for _, kind := range []string{kindContainer, kindCold} {
		if _, before, err := m.has(kind, container); before || err != nil {
			return before, err
		}
	}
	return false, nil
}

func (t *Target) chooseFrom(ctx context.Context, source *worker.Client, marks markers) error {
	earlier, _, err := marks.has(kindNamed, fileName(t.Name))
	if err != nil {
		return err
	}
	var choice work.Choice
	err = worker.Retry(ctx, "look for a checkpoint of the name "+t.Name, func() (err error) {
		choice, err = source.Choose(ctx, work.Declared{
			PodUID: t.PodUID, PodName: t.Pod, Namespace: t.Namespace, Container: t.Container, Name: t.Name, ActionID: earlier,
		})
		return err
	})
	if err != nil {
		return err
	}
	if t.Checkpoint = choice.ActionID; t.Checkpoint == "" {
		return marks.set(kindCold, t.Container, t.Name)
	}
	return nil
}

// settle notes the checkpoint by whose name the container is restored, before anything of it is laid into the pod: the
// pod's other containers of that name, and a later attempt, take the same one, though there be a newer by then.
func (t Target) settle(marks markers) error {
	if t.Name == "" {
		return nil
	}
	return marks.set(kindNamed, fileName(t.Name), t.Checkpoint)
}

// fileName stands for a name that may have any character.
func fileName(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}
