package propagatorfault

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/cedana/cedana-e2e/targets/local/standin/store"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

// changeStatus changes the answer to a question for an action's status; change reports whether it did.
func changeStatus(change func(*propagator.Status) bool) func(injector, http.Handler) http.Handler {
	return func(in injector, next http.Handler) http.Handler {
		return on(getStatus, next, func(w http.ResponseWriter, r *http.Request, _ string) {
			a := hold(next, r)
			text := a.body.Bytes()
			var status propagator.Status
			if a.code == http.StatusOK && json.Unmarshal(text, &status) == nil && change(&status) {
				in.warn(r)
				if changed, err := json.Marshal(status); err == nil {
					text = changed
				}
			}
			a.send(w, text)
		})
	}
}

func withoutDetails(s *propagator.Status) bool {
	s.Details = ""
	return s.Status == propagator.StatusError
}

func wrongWord(s *propagator.Status) bool {
	ready := s.Status == propagator.StatusReady
	if ready {
		s.Status = "done"
	}
	return ready
}

// goBackOnce answers that an action is under way when it is asked about once more after it was said to be ready.
func goBackOnce(in injector, next http.Handler) http.Handler {
	var mu sync.Mutex
	asked := map[string]int{}
	return on(getStatus, next, func(w http.ResponseWriter, r *http.Request, id string) {
		rewrite(next, w, r, func(status *propagator.Status) {
			if status.Status != propagator.StatusReady {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if asked[id]++; asked[id] == 2 {
				in.warn(r)
				status.Status = propagator.StatusProcessing
			}
		})
	})
}

// swallowResult accepts the result of a checkpoint and does nothing with it.
func swallowResult(in injector, next http.Handler) http.Handler {
	return on(reportResult, next, func(w http.ResponseWriter, r *http.Request, id string) {
		if a, ok := in.action(id); !ok || a.Type != propagator.ActionCheckpointPod {
			next.ServeHTTP(w, r)
			return
		}
		if refused := refusal(next, r); refused != nil {
			refused.send(w, refused.body.Bytes())
			return
		}
		in.warn(r)
		accept(w, id)
	})
}

// misreportNode names another node in the result of a restore.
func misreportNode(in injector, next http.Handler) http.Handler {
	return on(reportResult, next, func(w http.ResponseWriter, r *http.Request, _ string) {
		var result work.Result
		if json.Unmarshal(body(r), &result) == nil && result.PodName != "" {
			in.warn(r)
			result.NodeName += "-other"
			if changed, err := json.Marshal(result); err == nil {
				setBody(r, changed)
			}
		}
		next.ServeHTTP(w, r)
	})
}

// acceptUnknownPod answers with an action id where there is no such pod.
func acceptUnknownPod(in injector, next http.Handler) http.Handler {
	return on(checkpointPod, next, func(w http.ResponseWriter, r *http.Request, _ string) {
		a := hold(next, r)
		if a.code != http.StatusNotFound {
			a.send(w, a.body.Bytes())
			return
		}
		in.warn(r)
		accept(w, uuid.NewString())
	})
}

// otherManifest hands out another checkpoint than the one asked for. Where choose finds none, the one asked for is right.
func otherManifest(choose func(tx *store.Tx, asked, other store.Action) bool) func(injector, http.Handler) http.Handler {
	return func(in injector, next http.Handler) http.Handler {
		return on(getManifest, next, func(w http.ResponseWriter, r *http.Request, id string) {
			other, ok := in.other(id, choose)
			if !ok {
				next.ServeHTTP(w, r)
				return
			}
			in.warn(r)
			swapped := r.Clone(r.Context())
			swapped.URL.Path = strings.Replace(r.URL.Path, id, other.ID, 1)
			swapped.URL.RawPath = ""
			a := hold(next, swapped)
			a.send(w, []byte(strings.ReplaceAll(a.body.String(), `"action_id":"`+other.ID+`"`, `"action_id":"`+id+`"`)))
		})
	}
}

// ignoreName answers a declared restore with the newest checkpoint of the namespace that has such a container.
func ignoreName(in injector, next http.Handler) http.Handler {
	return on(chooseDeclared, next, func(w http.ResponseWriter, r *http.Request, _ string) {
		var asked work.Declared
		readable := json.Unmarshal(body(r), &asked) == nil
		rewrite(next, w, r, func(choice *work.Choice) {
			if !readable {
				return
			}
			if newest, there := in.newest(func(_ *store.Tx, a store.Action) bool {
				return a.Namespace == asked.Namespace && slices.ContainsFunc(a.Containers, func(c work.ContainerCheckpoint) bool { return c.Container == asked.Container })
			}); there {
				in.warn(r)
				choice.ActionID = newest.ID
			}
		})
	})
}

// other is the newest checkpoint that choose accepts in place of the one asked for.
func (in injector) other(id string, choose func(tx *store.Tx, asked, other store.Action) bool) (other store.Action, there bool) {
	asked, ok := in.action(id)
	if !ok || asked.Type != propagator.ActionCheckpointPod || asked.Status != propagator.StatusReady {
		return other, false
	}
	return in.newest(func(tx *store.Tx, a store.Action) bool { return choose(tx, asked, a) })
}

// newest is the newest ready checkpoint that choose accepts.
func (in injector) newest(choose func(*store.Tx, store.Action) bool) (newest store.Action, there bool) {
	err := in.store.View(func(tx *store.Tx) (err error) {
		newest, there, err = store.Newest(tx.Actions, store.CreatedAction, func(a store.Action) bool {
			return a.Type == propagator.ActionCheckpointPod && a.Status == propagator.StatusReady && choose(tx, a)
		})
		return err
	})
	if err != nil {
		in.log.Error("look for another checkpoint", "fault", in.name, "error", err)
	}
	return newest, there && err == nil
}

func older(_ *store.Tx, asked, other store.Action) bool {
	return other.PodUID == asked.PodUID && other.Created.Before(asked.Created)
}

func ofAnotherPod(_ *store.Tx, asked, other store.Action) bool {
	return other.PodUID != asked.PodUID && other.Namespace == asked.Namespace && len(other.Containers) > 0 && len(asked.Containers) > 0 &&
		other.Containers[0].Container == asked.Containers[0].Container
}

// restoredFrom accepts the checkpoint from which the pod of the one asked for was restored itself.
func restoredFrom(tx *store.Tx, asked, other store.Action) bool {
	spec, _, err := tx.Specs.Get(asked.ID)
	var pod struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	return err == nil && json.Unmarshal(spec, &pod) == nil && pod.Metadata.Annotations[work.AnnotationCheckpoint] == other.ID
}

// action is a record, and whether there is one that can be read.
func (in injector) action(id string) (a store.Action, ok bool) {
	err := in.store.View(func(tx *store.Tx) (err error) {
		a, ok, err = tx.Actions.Get(id)
		return err
	})
	return a, ok && err == nil
}
