package server

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

var pathVariable = regexp.MustCompile(`\{[^}]+\}`)

// requests are all the endpoints there are, with something in the place of their variables.
func requests(s *Server) (all [][2]string) {
	add := func(prefix string, handlers map[string]handler) {
		for pattern := range handlers {
			method, path, _ := strings.Cut(pattern, " ")
			all = append(all, [2]string{method, prefix + pathVariable.ReplaceAllString(path, unknown)})
		}
	}
	add("/v1", s.api())
	add("/v2", s.api())
	add("/internal/v1", s.internal())
	return append(all, [2]string{"GET", "/nowhere"}, [2]string{"POST", "/"})
}

func TestEveryEndpointWantsTheToken(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	for _, request := range requests(r.server) {
		for name, header := range map[string]http.Header{
			"none":         {},
			"wrong":        {"Authorization": {"Bearer " + canary + "x"}},
			"prefix":       {"Authorization": {"Bearer " + canary[:5]}},
			"empty":        {"Authorization": {"Bearer "}},
			"other scheme": {"Authorization": {"Basic " + canary}},
			"bare":         {"Authorization": {canary}},
		} {
			code, got, body, err := r.try(t.Context(), request[0], request[1], "", nil, header)
			require.NoError(t, err)
			assert.Equal(t, 401, code, "%s token: %v", name, request)
			assert.Equal(t, "application/json", got.Get("Content-Type"))
			want := `{"message":"invalid or missing API key","code":"401"}`
			if strings.HasPrefix(request[1], "/v1/") {
				want = `{"message":"invalid or missing API key"}` // the newer version has nothing else
			}
			assert.JSONEq(t, want, body)
		}
	}
}

func TestHealthNeedsNoToken(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	code, _, body, err := r.try(t.Context(), "GET", "/healthz", "", nil, nil)
	require.NoError(t, err)
	assert.Equal(t, 200, code)
	assert.Equal(t, "ok", body)
}

func TestBothVersionsAnswerAlike(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	for pattern := range r.server.api() {
		method, path, _ := strings.Cut(pattern, " ")
		if path == "/checkpoints" && method == "POST" || strings.HasPrefix(path, "/files/{path") {
			continue // a new id each, a signature each
		}
		path = pathVariable.ReplaceAllString(path, unknown)
		code1, header1, body1 := r.send(method, "/v1"+path, nil)
		code2, header2, body2 := r.send(method, "/v2"+path, nil)
		assert.Equal(t, code1, code2, pattern)
		assert.Equal(t, header1.Get("Content-Type"), header2.Get("Content-Type"), pattern)
		withoutCode := regexp.MustCompile(`,"code":"\d+"}$`).ReplaceAllString(body2, "}")
		assert.Equal(t, body1, strings.ReplaceAll(withoutCode, "/v2/", "/v1/"), pattern)
		if method != "PUT" { // PUT /restores/{first}/{second} knows but two words
			assert.NotContains(t, body1, "no such endpoint", pattern)
		}
	}
}

// Each row of the API's table: what it answers, and what to a bad request.
func TestContract(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	cluster := r.pod("contract", "uid-1")
	ready := r.checkpoint(cluster, "uid-1")
	checkpointID := r.row(ready).ID
	spare := r.newRow()
	open, err := r.client.CheckpointPod(t.Context(), propagator.CheckpointPodRequest{PodID: "uid-1"})
	require.NoError(t, err)
	failed := r.failedCheckpoint(cluster, "uid-2")
	restored := r.restore(cluster, ready)
	r.sync(cluster, podObject("uid-3", "ended", "Succeeded", node), false)
	doomed := r.cluster("doomed")

	type m = map[string]any
	const text, object = "text/plain; charset=utf-8", "application/json"
	uuidText := regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	for _, tc := range []struct {
		name, method, path string
		body               any
		code               int
		contentType        string
		want               any // *regexp.Regexp, or text that is in the body
	}{
		{"user", "GET", "/user", nil, 200, text, uuidText},

		{"register", "POST", "/cluster", m{"cluster_name": "contract"}, 200, text, cluster},
		{"register slurm", "POST", "/cluster", m{"cluster_name": "s", "kind": "slurm"}, 200, text, uuidText},
		{"register without name", "POST", "/cluster", m{}, 400, object, "cluster_name is required"},
		{"register of bad kind", "POST", "/cluster", m{"cluster_name": "c", "kind": "nomad"}, 400, object, "Invalid kind"},
		{"register nothing", "POST", "/cluster", nil, 400, object, "bad request body"},
		{"register half", "POST", "/cluster", `{"cluster_name":`, 400, object, "bad request body"},
		{"register too much", "POST", "/cluster", `{"cluster_name":"` + strings.Repeat("x", maxBody) + `"}`, 413, object, "larger than"},
		{"clusters", "GET", "/cluster", nil, 200, object, `"name":"contract"`},
		{"clusters of kind", "GET", "/cluster?kind=kubernetes", nil, 200, object, `"name":"contract"`},
		{"clusters of bad kind", "GET", "/cluster?kind=nomad", nil, 400, object, "Invalid kind"},
		{"count", "GET", "/cluster/count?kind=kubernetes", nil, 200, object, `"total_count":2`},
		{"pods", "GET", "/cluster/" + cluster + "/pods", nil, 200, object, `{"namespace":"ns","name":"app"}`},
		{"pods of unknown", "GET", "/cluster/" + unknown + "/pods", nil, 404, object, "Cluster not found"},
		{"delete", "DELETE", "/cluster/" + doomed, nil, 200, "", regexp.MustCompile(`^$`)},
		{"delete again", "DELETE", "/cluster/" + doomed, nil, 404, object, "Cluster not found"},
		{"delete bad id", "DELETE", "/cluster/contract", nil, 400, object, "not a UUID"},

		{"sync", "POST", "/cluster/sync", m{"cluster_id": cluster, "resource": podObject("uid-1", "app", "Running", node)}, 200, object, "uid-1"},
		{"sync node", "POST", "/cluster/sync", m{"cluster_id": cluster, "resource": m{"type": "Node", "metadata": m{"name": node, "uid": "n"}}}, 200, object, "resource n is registered"},
		{"sync nothing", "POST", "/cluster/sync", m{"cluster_id": cluster, "resource": m{"type": "None"}}, 200, object, cluster},
		{"sync of unknown cluster", "POST", "/cluster/sync", m{"cluster_id": unknown, "resource": m{"type": "None"}}, 404, object, "Cluster not found"},
		{"sync of bad cluster", "POST", "/cluster/sync", m{"cluster_id": "x"}, 400, object, "not a UUID"},
		{"sync of a type that is not known", "POST", "/cluster/sync", m{"cluster_id": cluster, "resource": m{"type": "Gadget"}}, 200, object, "registered"},
		{"sync of a nameless pod", "POST", "/cluster/sync", m{"cluster_id": cluster, "resource": m{"type": "Pod"}}, 400, object, "metadata.uid"},
		{"sync of no object", "POST", "/cluster/sync", m{"cluster_id": cluster, "resource": 7}, 400, object, "bad resource"},

		{"checkpoint", "POST", "/checkpoint/pod", m{"pod_id": "uid-1", "runc_root": "/run/containerd/runc/k8s.io"}, 200, text, uuidText},
		{"checkpoint by name", "POST", "/checkpoint/pod", m{"pod_name": "app", "namespace": "ns", "cluster_id": cluster}, 200, text, uuidText},
		{"checkpoint of unknown", "POST", "/checkpoint/pod", m{"pod_id": "uid-9"}, 404, object, "Failed to find checkpointable resource"},
		{"checkpoint of ended", "POST", "/checkpoint/pod", m{"pod_id": "uid-3"}, 404, object, "Failed to find checkpointable resource"},
		{"checkpoint elsewhere", "POST", "/checkpoint/pod", m{"pod_id": "uid-1", "cluster_id": unknown}, 404, object, "Failed to find checkpointable resource"},
		{"checkpoint of nothing", "POST", "/checkpoint/pod", m{}, 400, object, "pod_id"},
		{"checkpoint of bad uid", "POST", "/checkpoint/pod", m{"pod_id": "a b"}, 400, object, "Invalid pod_id"},
		{"checkpoint of bad kind", "POST", "/checkpoint/pod", m{"pod_id": "uid-1", "kind": "odd"}, 400, object, "Invalid kind"},
		{"checkpoint for bad reason", "POST", "/checkpoint/pod", m{"pod_id": "uid-1", "reason": "odd"}, 400, object, "Invalid reason"},
		{"checkpoint in bad cluster", "POST", "/checkpoint/pod", m{"pod_id": "uid-1", "cluster_id": "default"}, 400, object, "not a UUID"},
		{"checkpoint of bad body", "POST", "/checkpoint/pod", `[]`, 400, object, "bad request body"},

		{"status", "GET", "/checkpoint/status/" + ready, nil, 200, object, `{"status":"ready"}`},
		{"status of failed", "GET", "/checkpoint/status/" + failed, nil, 200, object, `{"status":"error","details":"criu said no"}`},
		{"status of restore", "GET", "/checkpoint/status/" + restored, nil, 200, object, `{"status":"processing"}`},
		{"status of unknown", "GET", "/checkpoint/status/" + unknown, nil, 404, object, "Action ID not found"},
		{"status of bad id", "GET", "/checkpoint/status/x", nil, 400, object, "not a UUID"},
		{"path", "GET", "/checkpoint/path?name=ns/app/main", nil, 200, text, "checkpoints/" + ready + ".tar"},
		{"path of unknown", "GET", "/checkpoint/path?name=x", nil, 404, object, "no ready checkpoint"},

		{"restore", "POST", "/restore/pod", m{"action_id": ready, "cluster_id": cluster, "reason": "manual"}, 200, text, uuidText},
		{"restore without cluster", "POST", "/restore/pod", m{"action_id": ready, "reason": "nodeTermination"}, 200, text, uuidText},
		{"restore without reason", "POST", "/restore/pod", m{"action_id": ready}, 400, object, "Invalid reason"},
		{"restore of nothing", "POST", "/restore/pod", m{"reason": "manual"}, 400, object, "Invalid action_id or request parameters"},
		{"restore of unknown", "POST", "/restore/pod", m{"action_id": unknown, "reason": "manual"}, 404, object, "Action ID not found"},
		{"restore of unfinished", "POST", "/restore/pod", m{"action_id": open, "reason": "manual"}, 400, object, "not ready"},
		{"restore of failed", "POST", "/restore/pod", m{"action_id": failed, "reason": "manual"}, 400, object, "failed: criu said no"},
		{"restore of restore", "POST", "/restore/pod", m{"action_id": restored, "reason": "manual"}, 400, object, "is a restore_pod"},
		{"restore into unknown", "POST", "/restore/pod", m{"action_id": ready, "cluster_id": unknown, "reason": "manual"}, 400, object, "is not registered"},
		{"restore under bad name", "POST", "/restore/pod", m{"action_id": ready, "reason": "manual", "overrides": m{"pod_name": "A_b"}}, 400, object, "pod_name"},

		{"actions", "GET", "/actions", nil, 200, object, `"action_id":"` + ready + `"`},
		{"actions of type", "GET", "/actions?type=restore_pod", nil, 200, object, `"source_action_id":"` + ready + `"`},
		{"actions of no type", "GET", "/actions?type=heartbeat", nil, 200, object, regexp.MustCompile(`^\[\]$`)},
		{"actions in bad cluster", "GET", "/actions?cluster_id=x", nil, 400, object, "not a UUID"},
		{"action", "GET", "/actions/" + ready, nil, 200, object, `"checkpoint_name":"ns/app/main"`},
		{"unknown action", "GET", "/actions/" + unknown, nil, 404, object, "Action ID not found"},
		{"bad action", "GET", "/actions/x", nil, 400, object, "not a UUID"},
		{"from pod", "GET", "/actions/from_pod/uid-2", nil, 200, text, failed},
		{"from unknown pod", "GET", "/actions/from_pod/x", nil, 404, object, "no action"},
		{"upload spec", "POST", "/actions/upload", m{"action_id": open, "status": "x", "pod_spec": m{}}, 200, text, "Success"},
		{"upload spec of unknown", "POST", "/actions/upload", m{"action_id": unknown, "status": "x"}, 404, object, "Action ID not found"},

		{"checkpoints", "GET", "/checkpoints", nil, 200, object, `"id":"` + checkpointID + `"`},
		{"checkpoints by id", "GET", "/checkpoints?ids=" + checkpointID + "," + spare, nil, 200, object, `"status":"initializing"`},
		{"checkpoints of no cluster", "GET", "/checkpoints?cluster_id=" + unknown, nil, 200, object, regexp.MustCompile(`^\[\]$`)},
		{"checkpoints by bad id", "GET", "/checkpoints?ids=x", nil, 400, object, "not a UUID"},
		{"new checkpoint", "POST", "/checkpoints", nil, 200, text, uuidText},
		{"info", "PUT", "/checkpoints/info/" + spare, m{"gpu": "none", "platform": "linux/amd64", "info": m{"size": 1}}, 200, text, spare},
		{"info without platform", "PUT", "/checkpoints/info/" + spare, m{"gpu": "none"}, 400, object, "required"},
		{"info of unknown", "PUT", "/checkpoints/info/" + unknown, m{"gpu": "n", "platform": "p"}, 404, object, "Checkpoint not found"},
		{"uploaded to nowhere", "POST", "/checkpoints/uploaded/" + spare, m{"restore_path": "none"}, 400, object, "no such file"},
		{"uploaded", "POST", "/checkpoints/uploaded/" + spare, m{"restore_path": "checkpoints/" + ready + ".tar"}, 200, text, spare},
		{"uploaded of unknown", "POST", "/checkpoints/uploaded/" + unknown, m{}, 404, object, "Checkpoint not found"},
		{"deprecate", "PATCH", "/checkpoints/deprecate/" + spare, nil, 200, text, spare},
		{"deprecate again", "PATCH", "/checkpoints/deprecate/" + spare, nil, 200, text, spare},
		{"deprecate bad id", "PATCH", "/checkpoints/deprecate/x", nil, 400, object, "not a UUID"},
		{"deprecate unknown", "PATCH", "/checkpoints/deprecate/" + unknown, nil, 404, object, "Checkpoint not found"},

		{"restore info", "PUT", "/restores/info/" + restored, m{"total_duration": 3}, 200, text, restored},
		{"restore info of checkpoint", "PUT", "/restores/info/" + open, m{}, 400, object, "is a checkpoint_pod"},
		{"restore info of unknown", "PUT", "/restores/info/" + unknown, m{}, 404, object, "Action ID not found"},
		{"restore profile", "PUT", "/restores/" + restored + "/profile", m{"a": 1}, 200, object, `"restore_uuid":"` + restored + `"`},
		{"restore nonsense", "PUT", "/restores/" + restored + "/nonsense", m{}, 404, object, "no such endpoint"},
		{"restores", "GET", "/restores?action_id=" + restored, nil, 200, object, `"checkpoint_action_id":"` + ready + `"`},
		{"restores of bad limit", "GET", "/restores?limit=x", nil, 400, object, "Invalid limit"},
		{"a restore", "GET", "/restores/" + restored, nil, 200, object, `"status":"processing"`},
		{"no restore", "GET", "/restores/" + ready, nil, 404, object, "Restore not found"},
		{"restore event", "POST", "/restores/events/restore_start", m{"restore_uuid": restored}, 200, object, `"status":"processing"`},
		{"odd restore event", "POST", "/restores/events/odd", m{"restore_uuid": restored}, 404, object, "no such restore event"},

		{"discover", "GET", "/discover/rabbitmq", nil, 404, object, "no service"},
		{"secrets", "GET", "/secrets", nil, 404, object, "no image secret"},
		{"download url", "GET", "/files/a/b", nil, 200, text, r.url + "/internal/v1/blobs/a/b?expires="},
		{"upload url", "PUT", "/files/a/b", nil, 200, text, r.url + "/internal/v1/blobs/a/b?expires="},
		{"bad file", "GET", "/files/a//b", nil, 400, object, "Invalid path"},
		{"files", "GET", "/files/dir/checkpoints", nil, 200, object, ready + ".tar"},

		{"no such endpoint", "GET", "/nothing", nil, 404, object, "no such endpoint"},
		{"wrong method", "DELETE", "/user", nil, 405, object, "not allowed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, header, body := r.send(tc.method, "/v2"+tc.path, tc.body)
			assert.Equal(t, tc.code, code, body)
			assert.Equal(t, tc.contentType, header.Get("Content-Type"), body)
			assert.NotEmpty(t, header.Get("X-Request-Id"))
			switch want := tc.want.(type) {
			case *regexp.Regexp:
				assert.Regexp(t, want, body)
			case string:
				assert.Contains(t, body, want)
			}
			if code >= 400 {
				var shape propagator.ErrorBody
				require.NoError(t, json.Unmarshal([]byte(body), &shape))
				require.NotNil(t, shape.Code)
				assert.NotEmpty(t, shape.Message)
			}
		})
	}
}

func (r *rig) failedCheckpoint(cluster, uid string) string {
	r.Helper()
	r.sync(cluster, podObject(uid, "failing", "Running", "node-of-"+uid), false)
	id, err := r.client.CheckpointPod(r.Context(), propagator.CheckpointPodRequest{PodID: uid})
	require.NoError(r, err)
	w := r.pollAs(work.RoleHelper, cluster, "node-of-"+uid, 5*time.Second)
	require.NotNil(r, w)
	code, body := r.result(w.ID, work.Result{Error: "criu said no"})
	require.Equal(r, 200, code, body)
	return id
}

func TestARequestIDIsKeptOrMade(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	_, header, _, err := r.try(t.Context(), "GET", "/v2/user", canary, nil, http.Header{"X-Request-Id": {"mine-1"}})
	require.NoError(t, err)
	assert.Equal(t, "mine-1", header.Get("X-Request-Id"))
	_, header, _, err = r.try(t.Context(), "GET", "/v2/user", "", nil, http.Header{"X-Request-Id": {"not fit"}})
	require.NoError(t, err)
	assert.Len(t, header.Get("X-Request-Id"), 36)
}

func TestAPanicIsAnErrorBodyToo(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("boom") })
	r.server.handler = r.server.middleware(mux)
	web := startHTTP(t, r.server.handler)
	req, err := http.NewRequest(http.MethodGet, web+"/panic", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+canary)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, 500, resp.StatusCode)
	assert.JSONEq(t, `{"message":"internal error","code":"500"}`, string(body))
}
