package targets

import (
	"context"

	"github.com/cedana/cedana-e2e/targets/build/gobuild"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/platform"
)

// VM runs another target in a virtual machine.
func VM(ctx context.Context) error {
	s, err := platform.Load()
	if err != nil {
		return err
	}
	root, err := gobuild.Root()
	if err != nil {
		return err
	}
	return platform.InMachine(ctx, console.Standard(), s, root)
}
