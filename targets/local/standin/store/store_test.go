package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"

	"github.com/cedana/cedana-e2e/targets/propagator"
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
	t.Cleanup(func() { require.NoError(t, s.Close()) })
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
	t.Cleanup(func() { require.NoError(t, s.Close()) })
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
	t.Cleanup(func() { require.NoError(t, s.Close()) })
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

func TestAListHasWhatIsThereNowAndNotWhatWasReadBefore(t *testing.T) {
	t.Parallel()
	s, err := Open(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	statuses := func(tx *Tx) (found []propagator.OperationStatus) {
		rows, err := tx.Actions.Where("", nil)
		require.NoError(t, err)
		for _, a := range rows {
			found = append(found, a.Status)
		}
		return found
	}
	put := func(status propagator.OperationStatus, undo error) {
		t.Helper()
		err := s.Update(func(tx *Tx) error {
			require.NoError(t, tx.Actions.Put("a", Action{ID: "a", Status: status}))
			require.Equal(t, []propagator.OperationStatus{status}, statuses(tx))
			return undo
		})
		require.ErrorIs(t, err, undo)
	}
	now := func() (found []propagator.OperationStatus) {
		require.NoError(t, s.View(func(tx *Tx) error { found = statuses(tx); return nil }))
		return found
	}
	put(propagator.StatusProcessing, nil)
	require.Equal(t, []propagator.OperationStatus{propagator.StatusProcessing}, now())
	put(propagator.StatusError, errors.New("undone"))
	require.Equal(t, []propagator.OperationStatus{propagator.StatusProcessing}, now())
	put(propagator.StatusReady, nil)
	require.Equal(t, []propagator.OperationStatus{propagator.StatusReady}, now())
	require.NoError(t, s.Update(func(tx *Tx) error { return tx.Actions.Delete("a") }))
	require.Empty(t, now())
}

func TestAValueIsRenderedOnceForAsLongAsItIsTheSame(t *testing.T) {
	t.Parallel()
	s, err := Open(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	put := func(id, name string) {
		require.NoError(t, s.Update(func(tx *Tx) error { return tx.Clusters.Put(id, Cluster{ID: id, Name: name}) }))
	}
	made := 0
	texts := func(form string) (all []string) {
		require.NoError(t, s.View(func(tx *Tx) error {
			rows, err := tx.Clusters.Render(form, func(c Cluster) bool { return c.Name != "hidden" }, func(c Cluster) ([]byte, error) {
				made++
				return []byte(form + c.Name), nil
			})
			for _, row := range rows {
				all = append(all, string(row.Text))
			}
			return err
		}))
		return all
	}
	put("1", "a")
	put("2", "b")
	put("3", "hidden")
	require.Equal(t, []string{"+a", "+b"}, texts("+"))
	require.Equal(t, []string{"+a", "+b"}, texts("+"))
	require.Equal(t, 2, made)
	require.Equal(t, []string{"-a", "-b"}, texts("-"))
	require.Equal(t, 4, made)
	put("2", "c")
	require.Equal(t, []string{"+a", "+c"}, texts("+"))
	require.Equal(t, 5, made)
}

// A cluster that has seen a hundred runs of the suite has thousands of actions, and tests look at the list all the time.
func BenchmarkAListOfManyActions(b *testing.B) {
	s, err := Open(b.TempDir())
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	details := json.RawMessage(`{"a":1,"b":2,"c":{"d":[1,2,3,4,5,6,7,8]}}`)
	require.NoError(b, s.Update(func(tx *Tx) error {
		for i := range 1000 {
			id := fmt.Sprintf("action-%04d", i)
			if err := tx.Actions.Put(id, Action{ID: id, Type: propagator.ActionCheckpointPod, Status: propagator.StatusReady, Profiling: details}); err != nil {
				return err
			}
		}
		return nil
	}))
	for b.Loop() {
		require.NoError(b, s.View(func(tx *Tx) error {
			_, err := tx.Actions.Where("", nil)
			return err
		}))
	}
}
