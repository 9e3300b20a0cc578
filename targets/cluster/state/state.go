// Package state remembers what a run made outside the engine's labels, in one file per cluster: which engines were
// used, the token of the local propagator, and the clusters registered at a propagator. It is written before
// anything is created, so that whatever a killed run leaves behind can be found.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/cedana/cedana-e2e/targets/atomicfile"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// File is the state's name in the cluster's directory (settings.ClusterDir). It holds a secret: mode 0600.
const File = "state.json"

// LockFile is the name of the lock, in the cluster's directory, of a run that changes the cluster.
const LockFile = "run.lock"

// State is what is remembered of one cluster.
type State struct {
	Cluster string    `json:"cluster"`
	RunID   string    `json:"run_id"`
	Created time.Time `json:"created"`
	// Engines are the Docker hosts in which things of this cluster were made, without repetition.
	Engines []string `json:"engines,omitempty"`
	// Token is the local propagator's bearer token, made once per cluster.
	Token Token `json:"token,omitempty"`
	// Local are the URLs that the local propagator has had; its port changes when it is started again.
	Local []string `json:"local_propagators,omitempty"`
	// Existing are the clusters that were there before the first run in them.
	Existing []Existing `json:"existing_clusters,omitempty"`
	// OnlyExisting is where an earlier version kept the last of them; Load moves it.
	OnlyExisting *Existing `json:"existing_cluster,omitempty"`
	// Registered are the clusters that a run registered at a propagator.
	Registered []Registration `json:"registered,omitempty"`
}

// Existing says where `mage clean` finds what runs have put into a cluster that is not theirs.
type Existing struct {
	Kubeconfig string `json:"kubeconfig"`
	Context    string `json:"context"`
	// Namespace is Cedana's.
	Namespace string `json:"namespace"`
	// Runs are the ids of all runs, which are on the labels of what they made.
	Runs []string `json:"runs"`
}

// UsedExisting remembers a run in a cluster that was there before.
func (s *State) UsedExisting(kubeconfig, context, namespace, run string) {
	used := Existing{Kubeconfig: kubeconfig, Context: context, Namespace: namespace}
	i := slices.IndexFunc(s.Existing, used.same)
	if i < 0 {
		i, s.Existing = len(s.Existing), append(s.Existing, used)
	}
	if there := &s.Existing[i]; !slices.Contains(there.Runs, run) {
		there.Runs = append(there.Runs, run)
	}
}

// LeftExisting forgets a cluster in which nothing of the runs is left.
func (s *State) LeftExisting(there Existing) {
	s.Existing = slices.DeleteFunc(s.Existing, there.same)
}

func (e Existing) same(other Existing) bool {
	return e.Kubeconfig == other.Kubeconfig && e.Context == other.Context && e.Namespace == other.Namespace
}

// Registration is a cluster that a run registered at a propagator. `mage clean` deletes it there, unless it is at the
// local one, which goes with all that it knows.
type Registration struct {
	// URL is the propagator's, as in settings.URL; ID is the cluster's id there, Name the name it was given. The name is
	// remembered before the cluster is registered, the id after; a run that was killed in between leaves it empty.
	URL  string `json:"url"`
	ID   string `json:"id"`
	Name string `json:"name"`
	// User is who registered it, as the propagator calls the token's user. To another it may deny that there is such a
	// cluster. Empty where it was not asked.
	User string `json:"user,omitempty"`
}

// Token is a secret that, unlike settings.Secret itself, is written to the state file as it is.
type Token struct{ settings.Secret }

// MarshalJSON writes the secret: the state file is what it is kept in.
func (t Token) MarshalJSON() ([]byte, error) { return json.Marshal(t.Reveal()) }

// UnmarshalJSON reads the secret.
func (t *Token) UnmarshalJSON(data []byte) error {
	var value string
	if err := json.Unmarshal(data, &value); err != nil {
		return err
	}
	t.Secret = settings.Secret(value)
	return nil
}

// UsedEngine adds a Docker host to Engines.
func (s *State) UsedEngine(host string) {
	if !slices.Contains(s.Engines, host) {
		s.Engines = append(s.Engines, host)
	}
}

// UsedLocal adds a URL to Local.
func (s *State) UsedLocal(url string) {
	if !slices.Contains(s.Local, url) {
		s.Local = append(s.Local, url)
	}
}

// Elsewhere are the registrations that outlive the local propagator.
func (s *State) Elsewhere() []Registration {
	var out []Registration
	for _, r := range s.Registered {
		if !slices.Contains(s.Local, r.URL) {
			out = append(out, r)
		}
	}
	return out
}

// Outlasts says whether something is remembered that is not gone with all that is in the cluster's engine.
func (s *State) Outlasts() bool {
	return s.Token.Set() || len(s.Elsewhere()) > 0 || len(s.Engines) > 1 || len(s.Existing) > 0
}

// Register remembers a registration in place of what is known of it.
func (s *State) Register(r Registration) {
	s.Unregister(r)
	s.Registered = append(s.Registered, r)
}

// RegisteredAt is the last registration at a propagator; empty where there is none.
func (s *State) RegisteredAt(url string) Registration {
	for _, r := range slices.Backward(s.Registered) {
		if r.URL == url {
			return r
		}
	}
	return Registration{}
}

// Unregister forgets a registration: the one of its id, and the one of its name that has no id yet.
func (s *State) Unregister(gone Registration) {
	s.Registered = slices.DeleteFunc(s.Registered, func(r Registration) bool {
		return r.URL == gone.URL && (r.ID != "" && r.ID == gone.ID || r.ID == "" && r.Name == gone.Name)
	})
}

// Load reads the state in a cluster's directory. Where there is none the error is an [fs.ErrNotExist].
func Load(dir string) (*State, error) {
	path := filepath.Join(dir, File)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read cluster state: %w", err)
	}
	s := &State{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("read cluster state %s: it is damaged: %w (next: `go tool mage clean`)", path, err)
	}
	if s.OnlyExisting != nil {
		s.Existing, s.OnlyExisting = append(s.Existing, *s.OnlyExisting), nil
	}
	return s, nil
}

// Update reads the state (an empty one where there is none), lets change alter it, and replaces the file in one
// step. Updates of several processes come one after the other. The directory is made when it is missing, mode 0700.
func Update(dir string, change func(*State)) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make cluster directory: %w", err)
	}
	unlock, err := lock(dir)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := Load(dir)
	if errors.Is(err, fs.ErrNotExist) {
		s = &State{Created: time.Now().UTC().Truncate(time.Second)}
	} else if err != nil {
		return err
	}
	change(s)
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode cluster state: %w", err)
	}
	return atomicfile.Write(filepath.Join(dir, File), append(data, '\n'), 0o600)
}

// List returns the directories below clusters (settings.Clusters) that are a cluster's, by name.
func List(clusters string) (map[string]string, error) {
	entries, err := os.ReadDir(clusters)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	dirs := make(map[string]string)
	for _, e := range entries {
		if e.IsDir() {
			dirs[e.Name()] = filepath.Join(clusters, e.Name())
		}
	}
	return dirs, nil
}

// Remove removes a cluster's directory and everything in it.
func Remove(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove cluster directory: %w", err)
	}
	return nil
}

// lock takes an exclusive lock on the directory itself, so that no lock file is left behind.
func lock(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), d.Close())
	}
	// Closing releases the lock.
	return func() { _ = d.Close() }, nil
}
