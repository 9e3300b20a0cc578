package propagatorfault

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/google/uuid"
)

// dropFirst leaves the newest row out of a list: lists begin with the newest.
func dropFirst(list call) func(injector, http.Handler) http.Handler {
	return func(in injector, next http.Handler) http.Handler {
		return on(list, next, func(w http.ResponseWriter, r *http.Request, _ string) {
			a := hold(next, r)
			text := a.body.Bytes()
			var rows []json.RawMessage
			if a.code == http.StatusOK && json.Unmarshal(text, &rows) == nil && len(rows) > 0 {
				in.warn(r)
				if shorter, err := json.Marshal(rows[1:]); err == nil {
					text = shorter
				}
			}
			a.send(w, text)
		})
	}
}

// ignoreClusterFilter takes the cluster out of the filters of both lists.
func ignoreClusterFilter(in injector, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, actions := listActions.matches(r)
		_, checkpoints := listCheckpoints.matches(r)
		query := r.URL.Query()
		if (actions || checkpoints) && uuid.Validate(query.Get("cluster_id")) == nil {
			in.warn(r)
			query.Del("cluster_id")
			r.URL.RawQuery = query.Encode()
		}
		next.ServeHTTP(w, r)
	})
}

// renameInInfo gives the pod in a checkpoint's info another name.
func renameInInfo(in injector, next http.Handler) http.Handler {
	return on(listCheckpoints, next, func(w http.ResponseWriter, r *http.Request, _ string) {
		in.warn(r)
		a := hold(next, r)
		a.send(w, bytes.ReplaceAll(a.body.Bytes(), []byte(`"pod_name":"`), []byte(`"pod_name":"another-`)))
	})
}
