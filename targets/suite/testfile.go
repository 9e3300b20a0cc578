package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cedana/cedana-e2e/targets/atomicfile"
	"github.com/cedana/cedana-e2e/targets/cluster/state"
	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/tracing"
)

// testFile is what the tests are given.
func testFile(s *settings.Suite, opts Options) settings.TestFile {
	f := settings.TestFile{
		Tests: s.Tests, Backend: s.Backend, URL: opts.URL, ClusterID: opts.ClusterID, Registered: opts.Registered, NoCluster: opts.NoCluster,
		RunID: s.RunID, Artifacts: filepath.Join(s.Artifacts, report.CasesDir),
	}
	if opts.Subject.Ours {
		f.StateFile = filepath.Join(s.ClusterDir(), state.File)
	}
	if opts.NoCluster != "" {
		return f
	}
	f.Kubeconfig, f.KubeContext, f.ImageNginx, f.ImageCounter = opts.Kubeconfig, opts.Context, opts.Nginx, opts.Counter
	f.ClusterName, f.Programs = opts.ClusterName, opts.Programs
	return f
}

// writeTestFile writes what is for this user alone: there is no token in it, and the file says where one is.
func writeTestFile(path string, f settings.TestFile) error {
	data, err := json.MarshalIndent(f, "", "  ")
	if err == nil {
		err = atomicfile.Write(path, append(data, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the tests' settings: %w", err)
	}
	return nil
}

// environment is this process's with the file's path, the token, and the trace that the tests go on with. A token in a file would outlive a run that is
// killed, and a file that is removed could not be used by hand; in the environment only this user's processes and
// root can see it, as in a file of mode 0600, and it ends with the process.
func environment(ctx context.Context, opts Options, file string) []string {
	return append(append(os.Environ(), tracing.Environment(ctx)...), settings.TestFileVariable+"="+file, "CEDANA_AUTH_TOKEN="+opts.Token.Reveal())
}
