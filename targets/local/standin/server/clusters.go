package server

import (
	"encoding/json"
	"net/http"
	"net/url"
	"sort"
	"strings"

	"github.com/google/uuid"

	"github.com/cedana/cedana-e2e/targets/local/standin/store"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

const (
	kindKubernetes = "kubernetes"
	kindSlurm      = "slurm"
	statusActive   = "active"
)

// user answers with an id that stays the same for a token and does not give it away.
func (s *Server) user(w http.ResponseWriter, _ *http.Request) error {
	return writeText(w, uuid.NewSHA1(uuid.NameSpaceOID, s.tokenSum[:]).String())
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) error {
	if err := s.store.View(func(*store.Tx) error { return nil }); err != nil {
		return err
	}
	return writeText(w, "ok")
}

func (s *Server) createCluster(w http.ResponseWriter, r *http.Request) error {
	var req propagator.CreateClusterRequest
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	if strings.TrimSpace(req.ClusterName) == "" {
		return badRequest("cluster_name is required")
	}
	if req.Kind == "" {
		req.Kind = kindKubernetes
	}
	if req.Kind != kindKubernetes && req.Kind != kindSlurm {
		return badRequest("Invalid kind %.64q: want %s or %s", req.Kind, kindKubernetes, kindSlurm)
	}
	var id string
	err := s.store.Update(func(tx *store.Tx) error {
		named, err := tx.Clusters.Where("", func(c store.Cluster) bool { return c.Name == req.ClusterName })
		if err != nil {
			return err
		}
		row := store.Cluster{ID: uuid.NewString(), Name: req.ClusterName, Status: statusActive, Metadata: json.RawMessage("{}")}
		if len(named) > 0 {
			row = named[0]
		}
		row.Kind, id = req.Kind, row.ID
		return tx.Clusters.Put(id, row)
	})
	if err != nil {
		return err
	}
	return writeText(w, id)
}

func (s *Server) clusters(query url.Values) ([]store.Cluster, error) {
	kind, status := query.Get("kind"), query.Get("status")
	if kind != "" && kind != kindKubernetes && kind != kindSlurm {
		return nil, badRequest("Invalid kind %.64q: want %s or %s", kind, kindKubernetes, kindSlurm)
	}
	rows := []store.Cluster{}
	err := s.store.View(func(tx *store.Tx) error {
		found, err := tx.Clusters.Where("", func(c store.Cluster) bool {
			return (kind == "" || c.Kind == kind) && (status == "" || c.Status == status)
		})
		rows = append(rows, found...)
		return err
	})
	sort.Slice(rows, func(i, j int) bool { return rows[i].Name < rows[j].Name })
	return rows, err
}

func (s *Server) listClusters(w http.ResponseWriter, r *http.Request) error {
	rows, err := s.clusters(r.URL.Query())
	if err != nil {
		return err
	}
	if !newer(r) {
		for i := range rows {
			olderCluster(&rows[i])
		}
	}
	return writeJSON(w, rows)
}

func (s *Server) countClusters(w http.ResponseWriter, r *http.Request) error {
	rows, err := s.clusters(r.URL.Query())
	if err != nil {
		return err
	}
	return writeJSON(w, propagator.TotalCount{TotalCount: int64(len(rows))})
}

// deleteCluster removes a cluster and everything that depends on it in one step. The archives are left to removeArchives.
func (s *Server) deleteCluster(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "cluster id")
	if err != nil {
		return err
	}
	var actions []store.Action
	err = s.store.Update(func(tx *store.Tx) error {
		if _, ok, err := tx.Clusters.Get(id); err != nil {
			return err
		} else if !ok {
			return notFound("Cluster not found: %s", id)
		}
		if err := tx.Clusters.Delete(id); err != nil {
			return err
		}
		pods, err := tx.Pods.Where(store.PodKey(id, ""), nil)
		if err != nil {
			return err
		}
		for _, p := range pods {
			if err := tx.Pods.Delete(store.PodKey(id, p.UID)); err != nil {
				return err
			}
		}
		nodes, err := tx.Nodes.Where(store.NodeKey(id, ""), nil)
		if err != nil {
			return err
		}
		for _, n := range nodes {
			if err := tx.Nodes.Delete(store.NodeKey(id, n.Name)); err != nil {
				return err
			}
		}
		others, err := tx.Resources.Where(store.ResourceKey(id, "", ""), nil)
		if err != nil {
			return err
		}
		for _, o := range others {
			if err := tx.Resources.Delete(store.ResourceKey(id, o.Type, o.ID)); err != nil {
				return err
			}
		}
		if actions, err = tx.Actions.Where("", func(a store.Action) bool { return a.ClusterID == id }); err != nil {
			return err
		}
		for _, a := range actions {
			if err := tx.Actions.Delete(a.ID); err != nil {
				return err
			}
			if err := tx.Specs.Delete(a.ID); err != nil {
				return err
			}
		}
		rows, err := tx.Checkpoints.Where("", func(c store.Checkpoint) bool { return c.ClusterID == id })
		if err != nil {
			return err
		}
		for _, c := range rows {
			if err := tx.Checkpoints.Delete(c.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, a := range actions {
		s.queue.drop(a.ID)
		s.endings.tell(a.ID)
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// podName is one row of GET /cluster/{id}/pods.
type podName struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

func (s *Server) clusterPods(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "cluster id")
	if err != nil {
		return err
	}
	names := []podName{}
	err = s.store.View(func(tx *store.Tx) error {
		if err := needCluster(tx, id); err != nil {
			return err
		}
		pods, err := tx.Pods.Where(store.PodKey(id, ""), nil)
		for _, p := range pods {
			names = append(names, podName{p.Namespace, p.Name})
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, names)
}

func needCluster(tx *store.Tx, id string) error {
	_, ok, err := tx.Clusters.Get(id)
	if err == nil && !ok {
		err = notFound("Cluster not found: %s", id)
	}
	return err
}

// resource is what is read of a synced object.
type resource struct {
	Type string `json:"type"`
	// Name and Namespace are those of a pod that is gone, of which there is nothing else to tell.
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Metadata  struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
		UID       string `json:"uid"`
	} `json:"metadata"`
	Spec struct {
		NodeName string `json:"nodeName"`
	} `json:"spec"`
	Status struct {
		Phase string `json:"phase"`
	} `json:"status"`
}

func (s *Server) syncCluster(w http.ResponseWriter, r *http.Request) error {
	var req propagator.ClusterSyncRequest
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	id, err := parseID(req.ClusterID, "cluster_id")
	if err != nil {
		return err
	}
	var res resource
	if len(req.Resource) > 0 {
		if err := json.Unmarshal(req.Resource, &res); err != nil {
			return badRequest("bad resource: %v", err)
		}
	}
	var meta work.SyncMetadata
	if len(req.Metadata) > 0 {
		if err := json.Unmarshal(req.Metadata, &meta); err != nil {
			return badRequest("bad metadata: %v", err)
		}
	}
	err = s.store.Update(func(tx *store.Tx) error {
		cluster, ok, err := tx.Clusters.Get(id)
		if err != nil {
			return err
		}
		if !ok {
			return notFound("Cluster not found: %s", id)
		}
		now := s.now()
		cluster.LastSync = &now
		if err := tx.Clusters.Put(id, cluster); err != nil {
			return err
		}
		switch res.Type {
		case "Pod":
			return syncPod(tx, id, res, req.Resource, meta.Deleted)
		case "PodGone":
			if res.Metadata.Name == "" {
				res.Metadata.Name, res.Metadata.Namespace = res.Name, res.Namespace
			}
			return syncPod(tx, id, res, req.Resource, true)
		case "Node":
			return syncNode(tx, id, res, req.Resource, meta.Deleted)
		case "", "None":
			return nil
		default:
			return syncOther(tx, id, res, req.Resource, meta.Deleted)
		}
	})
	if err != nil {
		return err
	}
	answer := res.Metadata.UID
	if answer == "" {
		answer = id
	}
	return writeSynced(w, r, answer)
}

func syncPod(tx *store.Tx, cluster string, res resource, raw json.RawMessage, deleted bool) error {
	m := res.Metadata
	if m.UID == "" && deleted {
		pods, err := tx.Pods.Where(store.PodKey(cluster, ""), func(p store.Pod) bool {
			return p.Namespace == m.Namespace && p.Name == m.Name
		})
		if err != nil {
			return err
		}
		for _, p := range pods {
			if err := tx.Pods.Delete(store.PodKey(cluster, p.UID)); err != nil {
				return err
			}
		}
		return nil
	}
	if m.UID == "" || m.Name == "" || m.Namespace == "" {
		return badRequest("a Pod needs metadata.uid, metadata.name and metadata.namespace")
	}
	key := store.PodKey(cluster, m.UID)
	if deleted {
		return tx.Pods.Delete(key)
	}
	object, err := withoutType(raw)
	if err != nil {
		return err
	}
	return tx.Pods.Put(key, store.Pod{
		ClusterID: cluster, UID: m.UID, Name: m.Name, Namespace: m.Namespace,
		NodeName: res.Spec.NodeName, Phase: res.Status.Phase, Object: object,
	})
}

func syncNode(tx *store.Tx, cluster string, res resource, raw json.RawMessage, deleted bool) error {
	if res.Metadata.Name == "" {
		return badRequest("a Node needs metadata.name")
	}
	key := store.NodeKey(cluster, res.Metadata.Name)
	if deleted {
		return tx.Nodes.Delete(key)
	}
	object, err := withoutType(raw)
	if err != nil {
		return err
	}
	return tx.Nodes.Put(key, store.Node{ClusterID: cluster, Name: res.Metadata.Name, UID: res.Metadata.UID, Object: object})
}

// syncOther keeps what is of no use here, jobs and types that are newer than this, as it was told last. One without an id
// of any kind is the only one of its type.
func syncOther(tx *store.Tx, cluster string, res resource, raw json.RawMessage, deleted bool) error {
	id := res.Metadata.UID
	if id == "" {
		id = strings.Trim(res.Metadata.Namespace+"/"+res.Metadata.Name, "/")
	}
	if len(res.Type) > maxType || len(id) > maxResourceID {
		return badRequest("bad resource: its type or its name is too long")
	}
	key := store.ResourceKey(cluster, res.Type, id)
	if deleted {
		return tx.Resources.Delete(key)
	}
	object, err := withoutType(raw)
	if err != nil {
		return err
	}
	return tx.Resources.Put(key, store.Resource{ClusterID: cluster, Type: res.Type, ID: id, Object: object})
}

// What Kubernetes allows is well below these.
const (
	maxType       = 256
	maxResourceID = 1024
)

// withoutType takes the sync's own tag out of a Kubernetes object.
func withoutType(raw json.RawMessage) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, badRequest("bad resource: %v", err)
	}
	delete(fields, "type")
	return json.Marshal(fields)
}
