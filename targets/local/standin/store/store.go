// Package store keeps the local propagator's records in one bbolt file. A change is in the file when Update returns, so
// that whatever was answered survives a kill at any moment. It need not survive the machine's power cut, as the test
// cluster's own data need not, so nothing waits for the disk.
package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// lockWait is how long Open waits for another process to let go of the file.
const lockWait = 2 * time.Second

const schema = "1"

var buckets = []string{"clusters", "pods", "nodes", "resources", "actions", "specs", "checkpoints"}

// Store is the open file.
type Store struct {
	db *bolt.DB
	// What was read before.
	clusters    parsed[Cluster]
	pods        parsed[Pod]
	nodes       parsed[Node]
	resources   parsed[Resource]
	actions     parsed[Action]
	specs       parsed[json.RawMessage]
	checkpoints parsed[Checkpoint]
}

// Open opens or makes the file `propagator.db` in dir.
func Open(dir string) (*Store, error) {
	path := filepath.Join(dir, "propagator.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockWait, NoSync: true})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("open store %s: another process has it open", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		meta, err := tx.CreateBucketIfNotExists([]byte("meta"))
		if err != nil {
			return err
		}
		switch have := string(meta.Get([]byte("schema"))); have {
		case "":
			return meta.Put([]byte("schema"), []byte(schema))
		case schema:
			return nil
		default:
			return fmt.Errorf("it has schema %s and this program knows %s: remove it, or use the program that made it", have, schema)
		}
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare store %s: %w", path, err), db.Close())
	}
	return &Store{db: db}, nil
}

// Close waits for open transactions.
func (s *Store) Close() error { return s.db.Close() }

// View reads.
func (s *Store) View(read func(*Tx) error) error {
	return s.db.View(func(tx *bolt.Tx) error { return read(s.tx(tx)) })
}

// Update reads and writes; an error takes everything back. The changes are in the file when it returns nil.
func (s *Store) Update(change func(*Tx) error) error {
	return s.db.Update(func(tx *bolt.Tx) error { return change(s.tx(tx)) })
}

// Tx is one transaction's view of the tables.
type Tx struct {
	Clusters    Table[Cluster]
	Pods        Table[Pod]
	Nodes       Table[Node]
	Resources   Table[Resource]
	Actions     Table[Action]
	Specs       Table[json.RawMessage]
	Checkpoints Table[Checkpoint]
}

func (s *Store) tx(tx *bolt.Tx) *Tx {
	return &Tx{
		Clusters:    Table[Cluster]{tx.Bucket([]byte("clusters")), &s.clusters},
		Pods:        Table[Pod]{tx.Bucket([]byte("pods")), &s.pods},
		Nodes:       Table[Node]{tx.Bucket([]byte("nodes")), &s.nodes},
		Resources:   Table[Resource]{tx.Bucket([]byte("resources")), &s.resources},
		Actions:     Table[Action]{tx.Bucket([]byte("actions")), &s.actions},
		Specs:       Table[json.RawMessage]{tx.Bucket([]byte("specs")), &s.specs},
		Checkpoints: Table[Checkpoint]{tx.Bucket([]byte("checkpoints")), &s.checkpoints},
	}
}
