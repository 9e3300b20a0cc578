package cgroup

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheRootOfOneHierarchyListsItsControllers(t *testing.T) {
	t.Parallel()
	_, err := os.Stat(Root + "/cgroup.controllers")
	require.Equal(t, err == nil, Unified())
}
