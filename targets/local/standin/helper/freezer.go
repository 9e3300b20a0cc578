package helper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cedana/cedana-e2e/targets/stretch"
)

// Freezer is a container's cgroup as a means to hold it still. Writing to it takes a millisecond, where `runc pause`
// costs a process start for each container while the first ones already stand still.
type Freezer struct {
	// Dir is the cgroup's directory: of the freezer hierarchy on cgroup v1, the only one on v2.
	Dir string `json:"dir"`
	V2  bool   `json:"v2"`
}

// newFreezer takes the cgroup_paths of a runc state.
func newFreezer(paths map[string]string) (Freezer, error) {
	if dir := paths["freezer"]; dir != "" {
		return Freezer{Dir: dir}, nil
	}
	if dir := paths[""]; dir != "" {
		return Freezer{Dir: dir, V2: true}, nil
	}
	return Freezer{}, errors.New("its runc state names no freezer cgroup")
}

// freezeTimeout is how long processes may take to stand still: one in uninterruptible sleep does not.
const freezeTimeout = 10 * time.Second

// Freeze holds the container still. It returns when every process stands.
func (f Freezer) Freeze(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stretch.Limit(freezeTimeout))
	defer cancel()
	if err := f.set(ctx, true); err != nil {
		return fmt.Errorf("freeze %s: %w", f.Dir, err)
	}
	return nil
}

// Thaw lets the container go on. A cgroup that is gone needs no thawing.
func (f Freezer) Thaw(ctx context.Context) error {
	err := f.set(ctx, false)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("thaw %s: %w", f.Dir, err)
	}
	return nil
}

func (f Freezer) set(ctx context.Context, frozen bool) error {
	// The kernel may leave a v1 cgroup FREEZING when a process forks at the wrong moment; writing again helps.
	const rewriteEvery = 50
	for n := 0; ; n++ {
		if n%rewriteEvery == 0 {
			if err := f.write(frozen); err != nil {
				return err
			}
		}
		is, state, err := f.state()
		if err != nil {
			return err
		}
		if is == frozen {
			return nil
		}
		pause := time.Millisecond
		if n < 10 {
			pause = 100 * time.Microsecond
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("last state %s: %w", state, ctx.Err())
		case <-time.After(pause):
		}
	}
}

func (f Freezer) write(frozen bool) error {
	file, value := "freezer.state", "THAWED"
	if frozen {
		value = "FROZEN"
	}
	if f.V2 {
		file, value = "cgroup.freeze", "0"
		if frozen {
			value = "1"
		}
	}
	return os.WriteFile(filepath.Join(f.Dir, file), []byte(value), 0)
}

// state reports whether every process stands still, and the kernel's words for it.
func (f Freezer) state() (bool, string, error) {
	file := "freezer.state"
	if f.V2 {
		file = "cgroup.events"
	}
	data, err := os.ReadFile(filepath.Join(f.Dir, file))
	if err != nil {
		return false, "", err
	}
	text := strings.TrimSpace(string(data))
	if f.V2 {
		return strings.Contains(text, "frozen 1"), text, nil
	}
	return text == "FROZEN", text, nil
}
