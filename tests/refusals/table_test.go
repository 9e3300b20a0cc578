package refusals

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cedana/cedana-e2e/tests/checks"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/steps"
)

func TestTheDocumentHasEveryCaseWithItsCode(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/refusals.md")
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(doc), heading), "docs/refusals.md is the test's: copy artifacts/cases/refusals.md")
	for _, c := range All {
		require.Contains(t, string(doc), "\n| "+c.Name+" | `"+c.code+"` | ")
	}
	require.Contains(t, string(doc), "\n| runtime class missing | `RuntimeClassMissing` | ")
}

func TestWhatDiffersBetweenRunsIsNotInTheTable(t *testing.T) {
	t.Parallel()
	s := &steps.Steps{Checks: checks.New(&fixture.Fixture{Namespace: "e2e-case-17"})}
	r := &Refusals{Steps: s, node: corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-0"}}}
	r.last = "ImageChanged: restore pod e2e-case-17/web from 0b6c1f0e-6a0b-4a51-9d1b-1f2e3d4c5b6a on node-0: sha256:" + strings.Repeat("0f", 32)
	var table Table
	table.Add("case", r)
	require.Contains(t, table.String(), "| case | `ImageChanged` | restore pod NAMESPACE/web from … on NODE: sha256:… |\n")
}
