package propagatorfault

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/cedana/cedana-e2e/targets/propagator"
)

// row is one of a list, its fields as they came.
type row map[string]json.RawMessage

// changeList changes the rows of a list, which begins with the newest; none is changed where there is none.
func changeList(list call, change func([]row) []row) func(injector, http.Handler) http.Handler {
	return func(in injector, next http.Handler) http.Handler {
		return on(list, next, func(w http.ResponseWriter, r *http.Request, _ string) {
			rewrite(next, w, r, func(rows *[]row) {
				if len(*rows) > 0 {
					in.warn(r)
					*rows = change(*rows)
				}
			})
		})
	}
}

func withoutNewest(rows []row) []row { return rows[1:] }

func newestTwice(rows []row) []row { return append(rows[:1:1], rows...) }

// eachAction changes the actions of a type.
func eachAction(kind propagator.ActionType, change func(row)) func([]row) []row {
	return func(rows []row) []row {
		for _, row := range rows {
			if string(row["type"]) == strconv.Quote(string(kind)) {
				change(row)
			}
		}
		return rows
	}
}

func ofAnotherCheckpoint(r row) {
	r["checkpoint_id"] = json.RawMessage(strconv.Quote(uuid.NewString()))
}

func withoutIO(r row) { r["total_io"] = json.RawMessage("0") }

func inMilliseconds(r row) {
	if d, err := strconv.ParseInt(string(r["total_duration"]), 10, 64); err == nil {
		r["total_duration"] = json.RawMessage(strconv.FormatInt(time.Duration(d).Milliseconds(), 10))
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
