package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Table holds values of one kind as JSON under string keys.
type Table[T any] struct{ bucket *bolt.Bucket }

// Get is the value of a key, and whether there is one.
func (t Table[T]) Get(key string) (T, bool, error) {
	var v T
	raw := t.bucket.Get([]byte(key))
	if raw == nil {
		return v, false, nil
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return v, false, fmt.Errorf("read record %s: %w", key, err)
	}
	return v, true, nil
}

// Put sets the value of a key.
func (t Table[T]) Put(key string, v T) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write record %s: %w", key, err)
	}
	if err := t.bucket.Put([]byte(key), raw); err != nil {
		return fmt.Errorf("write record %s: %w", key, err)
	}
	return nil
}

// Delete removes a key; one that is not there is no error.
func (t Table[T]) Delete(key string) error {
	if err := t.bucket.Delete([]byte(key)); err != nil {
		return fmt.Errorf("delete record %s: %w", key, err)
	}
	return nil
}

// Newest is the value that keep accepts and that was created last, and whether there is one.
func Newest[T any](t Table[T], created func(T) time.Time, keep func(T) bool) (newest T, there bool, err error) {
	rows, err := t.Where("", keep)
	for _, row := range rows {
		if !there || created(row).After(created(newest)) {
			newest, there = row, true
		}
	}
	return newest, there, err
}

// Where lists the values under a key prefix that keep accepts, in the keys' order; a nil keep accepts all.
func (t Table[T]) Where(prefix string, keep func(T) bool) ([]T, error) {
	var rows []T
	cursor := t.bucket.Cursor()
	for key, raw := cursor.Seek([]byte(prefix)); key != nil && bytes.HasPrefix(key, []byte(prefix)); key, raw = cursor.Next() {
		var v T
		if err := json.Unmarshal(raw, &v); err != nil {
			return nil, fmt.Errorf("read record %s: %w", key, err)
		}
		if keep == nil || keep(v) {
			rows = append(rows, v)
		}
	}
	return rows, nil
}
