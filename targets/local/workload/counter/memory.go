package main

import (
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// mostMemoryMiB bounds what one counter holds, so that a mistyped number does not take the node down.
const mostMemoryMiB = 8192

// memory is random bytes and the checksum they had when they were made.
type memory struct {
	mib   int
	bytes []byte
	sum   string
}

func newMemory(mib int) (*memory, error) {
	if mib < 0 || mib > mostMemoryMiB {
		return nil, fmt.Errorf("fill memory: COUNTER_MEMORY_MIB is %d, want 0 to %d", mib, mostMemoryMiB)
	}
	m := &memory{mib: mib}
	if mib == 0 {
		return m, nil
	}
	var seed [32]byte
	_, _ = crand.Read(seed[:])
	m.bytes = make([]byte, mib<<20)
	if _, err := rand.NewChaCha8(seed).Read(m.bytes); err != nil {
		return nil, fmt.Errorf("fill memory: %w", err)
	}
	m.sum = m.checksum()
	return m, nil
}

// grow takes so much more memory and writes to all of it: what nobody has written to takes none.
func (n *counter) grow(mib int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for range mib {
		more := make([]byte, 1<<20)
		for i := range more {
			more[i] = byte(i)
		}
		n.grown = append(n.grown, more)
	}
}

func (m *memory) checksum() string {
	sum := sha256.Sum256(m.bytes)
	return hex.EncodeToString(sum[:])
}

func (m *memory) report(s *report.State) error {
	if s.MemoryMiB = m.mib; m.mib > 0 {
		s.MemorySHA256, s.MemorySHA256AtStart = m.checksum(), m.sum
	}
	return nil
}
