package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Table holds values of one kind as JSON under string keys.
type Table[T any] struct {
	bucket *bolt.Bucket
	parsed *parsed[T]
}

// parsed keeps the values that were read together with what they were read from. Lists are read many times a second,
// and almost all of what is in them has ended long ago. A value is taken only for the same bytes, so nothing has to be
// kept in step with transactions, the undone ones least of all. The zero value has read nothing.
type parsed[T any] struct {
	mu   sync.Mutex
	rows map[string]*row[T]
}

type row[T any] struct {
	raw   []byte
	value T
	// rendered has what Render made of the value, by form; the mutex of parsed guards it.
	rendered map[string][]byte
}

// parse is the row of a record.
func (p *parsed[T]) parse(key, raw []byte) (*row[T], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if have, ok := p.rows[string(key)]; ok && bytes.Equal(have.raw, raw) {
		return have, nil
	}
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, fmt.Errorf("read record %s: %w", key, err)
	}
	if p.rows == nil {
		p.rows = map[string]*row[T]{}
	}
	// The database's bytes are its own again when the transaction ends.
	p.rows[string(key)] = &row[T]{raw: bytes.Clone(raw), value: v}
	return p.rows[string(key)], nil
}

// render is a row in a form, made once.
func (p *parsed[T]) render(r *row[T], form string, render func(T) ([]byte, error)) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if have, ok := r.rendered[form]; ok {
		return have, nil
	}
	made, err := render(r.value)
	if err != nil {
		return nil, err
	}
	if r.rendered == nil {
		r.rendered = map[string][]byte{}
	}
	r.rendered[form] = made
	return made, nil
}

func (p *parsed[T]) forget(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.rows, key)
}

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
	t.parsed.forget(key)
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

// Where lists the values under a key prefix that keep accepts, in the keys' order; a nil keep accepts all. What they
// point to is shared with other readers: it must not be changed.
func (t Table[T]) Where(prefix string, keep func(T) bool) ([]T, error) {
	var rows []T
	err := t.each(prefix, func(r *row[T]) error {
		if keep == nil || keep(r.value) {
			rows = append(rows, r.value)
		}
		return nil
	})
	return rows, err
}

func (t Table[T]) each(prefix string, do func(*row[T]) error) error {
	cursor := t.bucket.Cursor()
	for key, raw := cursor.Seek([]byte(prefix)); key != nil && bytes.HasPrefix(key, []byte(prefix)); key, raw = cursor.Next() {
		r, err := t.parsed.parse(key, raw)
		if err == nil {
			err = do(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Rendered is a value in a form.
type Rendered[T any] struct {
	Value *T
	Text  []byte
}

// Render lists all values that keep accepts, each in a form that depends on the value alone: it is made once for as long
// as the value does not change, so that a long list costs no more than what is new in it. Neither values nor texts must
// be changed.
func (t Table[T]) Render(form string, keep func(T) bool, render func(T) ([]byte, error)) ([]Rendered[T], error) {
	var rows []Rendered[T]
	err := t.each("", func(r *row[T]) error {
		if keep != nil && !keep(r.value) {
			return nil
		}
		text, err := t.parsed.render(r, form, render)
		rows = append(rows, Rendered[T]{&r.value, text})
		return err
	})
	return rows, err
}
