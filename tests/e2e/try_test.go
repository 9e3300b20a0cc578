//go:build e2e

package e2e

import (
	"testing"

	"github.com/cedana/cedana-e2e/targets/artifacts"
	"github.com/cedana/cedana-e2e/targets/manifest"
	"github.com/cedana/cedana-e2e/tests/steps"
	"github.com/cedana/cedana-e2e/tests/try"
)

// Whatever the manifests of POD make is checkpointed, deleted and restored like the pods of the other cases, and a page says how
// each of them fared.
func TestTry(t *testing.T) {
	s := beginAlone(t)
	objects, err := manifest.Load(s.Env.Try.Manifests)
	s.Must(err, "find what to try (`POD=pod.yaml go tool mage try`)")
	page := try.NewPage(s.Env)
	t.Cleanup(func() {
		kept := artifacts.Directory{Path: s.Env.Artifacts, Secret: s.Env.Token}
		if err := kept.Write(artifacts.TryFile, []byte(page.String(s.Failure()))); err != nil {
			s.Error(err)
		}
	})
	for _, w := range try.Deploy(s, objects) {
		s.Part(w.GetName(), func(s *steps.Steps) { try.Run(s, w, s.Env.Try.Check, page) })
	}
}
