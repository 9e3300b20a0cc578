package store

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"
)

func TestRecordsOutliveTheProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(dir)
	require.NoError(t, err)
	require.NoError(t, s.Update(func(tx *Tx) error {
		return errors.Join(
			tx.Pods.Put(PodKey("c1", "u1"), Pod{ClusterID: "c1", UID: "u1"}),
			tx.Pods.Put(PodKey("c1", "u2"), Pod{ClusterID: "c1", UID: "u2"}),
			tx.Pods.Put(PodKey("c10", "u1"), Pod{ClusterID: "c10", UID: "u1"}),
		)
	}))
	require.NoError(t, s.Close())

	s, err = Open(dir)
	require.NoError(t, err)
	defer s.Close()
	require.NoError(t, s.View(func(tx *Tx) error {
		rows, err := tx.Pods.Where(PodKey("c1", ""), nil)
		assert.Len(t, rows, 2, "c10's are not c1's")
		_, ok, _ := tx.Pods.Get(PodKey("c1", "u3"))
		assert.False(t, ok)
		return err
	}))
}

func TestAnErrorTakesEverythingBack(t *testing.T) {
	t.Parallel()
	s, err := Open(t.TempDir())
	require.NoError(t, err)
	defer s.Close()
	no := errors.New("no")
	require.ErrorIs(t, s.Update(func(tx *Tx) error {
		require.NoError(t, tx.Clusters.Put("c", Cluster{ID: "c"}))
		return no
	}), no)
	require.NoError(t, s.View(func(tx *Tx) error {
		_, ok, err := tx.Clusters.Get("c")
		assert.False(t, ok)
		return err
	}))
}

func TestAStoreOfAnotherSchemaIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := bolt.Open(filepath.Join(dir, "propagator.db"), 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bolt.Tx) error {
		meta, err := tx.CreateBucket([]byte("meta"))
		if err != nil {
			return err
		}
		return meta.Put([]byte("schema"), []byte("99"))
	}))
	require.NoError(t, db.Close())
	_, err = Open(dir)
	require.ErrorContains(t, err, "has schema 99")
}

func TestTheNewestRowIsFound(t *testing.T) {
	t.Parallel()
	s, err := Open(t.TempDir())
	require.NoError(t, err)
	defer s.Close()
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	require.NoError(t, s.Update(func(tx *Tx) error {
		return errors.Join(
			tx.Actions.Put("a", Action{ID: "a", PodUID: "p", Created: day(2)}),
			tx.Actions.Put("b", Action{ID: "b", PodUID: "p", Created: day(3)}),
			tx.Actions.Put("c", Action{ID: "c", PodUID: "p", Created: day(1)}),
			tx.Actions.Put("d", Action{ID: "d", PodUID: "q", Created: day(4)}),
		)
	}))
	require.NoError(t, s.View(func(tx *Tx) error {
		newest, there, err := Newest(tx.Actions, CreatedAction, func(a Action) bool { return a.PodUID == "p" })
		assert.True(t, there)
		assert.Equal(t, "b", newest.ID)
		_, there, _ = Newest(tx.Actions, CreatedAction, func(Action) bool { return false })
		assert.False(t, there)
		return err
	}))
}
