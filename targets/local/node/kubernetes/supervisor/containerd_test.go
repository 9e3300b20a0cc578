package supervisor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const cedanaTable = "containerd.runtimes.cedana]"

func rendered(t *testing.T, user string, h host) string {
	t.Helper()
	out, err := newContainerdConfig("overlayfs", h).render(user)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestContainerdHasBothRuntimes(t *testing.T) {
	t.Parallel()
	out := rendered(t, "", host{adjustOOM: true})
	for _, want := range []string{
		"version = 3",
		`imports = ["/var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.d/*.toml"]`,
		"containerd.runtimes.runc]",
		cedanaTable,
		`runtime_path = "/usr/local/bin/cedana-shim-runc-v2"`,
		`pod_annotations = ["cedana.ai/*"]`,
		`container_annotations = ["cedana.ai/*"]`,
		`sandbox = "cedana-e2e.local/pause:1"`,
		`address = "/run/k3s/containerd/containerd.sock"`,
		`conf_dir = "/var/lib/rancher/k3s/agent/etc/cni/net.d"`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in:\n%s", want, out)
		}
	}
	if strings.Contains(out, "BinaryName") {
		t.Error("the runtimes must find runc on PATH: the cedana shim puts its own in front")
	}
}

func TestOnlyAHostWithoutTheCapabilityRestrictsOOMScores(t *testing.T) {
	t.Parallel()
	if out := rendered(t, "", host{adjustOOM: true}); strings.Contains(out, "restrict_oom_score_adj") {
		t.Errorf("restricted on a host that needs it not:\n%s", out)
	}
	if out := rendered(t, "", host{}); !strings.Contains(out, "restrict_oom_score_adj = true") {
		t.Errorf("not restricted:\n%s", out)
	}
}

func TestAUsersTemplateExtendsTheBase(t *testing.T) {
	t.Parallel()
	out := rendered(t, `{{ template "base" . }}
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.'kata']
  runtime_type = "io.containerd.kata.v2"
  systemd = {{ .SystemdCgroup }}
`, host{adjustOOM: true})
	for _, want := range []string{"version = 3", "runtimes.'kata']", "systemd = false", cedanaTable} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in:\n%s", want, out)
		}
	}
}

func TestARuntimeIsNotDefinedTwice(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"cedana", "'cedana'", `"cedana"`} {
		out := rendered(t, `{{ template "base" . }}
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.`+table+`]
  runtime_type = "io.containerd.runc.v2"
`, host{})
		if n := strings.Count(out, ".runtimes."+table+"]"); n != 1 || table != "cedana" && strings.Contains(out, cedanaTable) {
			t.Errorf("runtime %s is defined twice:\n%s", table, out)
		}
	}
}

func TestABadTemplateIsAnError(t *testing.T) {
	t.Parallel()
	for _, user := range []string{"{{ nonsense", "{{ .NoSuchField }}", `{{ template "other" . }}`} {
		if _, err := newContainerdConfig("overlayfs", host{}).render(user); err == nil {
			t.Errorf("accepted %q", user)
		}
	}
}

func TestLinkReplacesWhatWasThere(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "etc", "containerd", "config.toml")
	for _, target := range []string{"/a", "/a", "/b"} {
		if err := link(target, name); err != nil {
			t.Fatal(err)
		}
		if to, err := os.Readlink(name); err != nil || to != target {
			t.Errorf("links to %q (%v), want %q", to, err, target)
		}
	}
}

func TestTheReasonForAMissingCRIIsFoundInTheLog(t *testing.T) {
	t.Parallel()
	log := `time="1" level=info msg="skip loading plugin" id=io.containerd.snapshotter.v1.zfs
time="2" level=warning msg="failed to load plugin" error="too many open files" id=io.containerd.grpc.v1.cri type=io.containerd.grpc.v1
time="3" level=info msg=serving
`
	if got := pluginFailure(log); !strings.Contains(got, "too many open files") {
		t.Errorf("got %q", got)
	}
	if got := pluginFailure("all is well\n"); got != "" {
		t.Errorf("got %q", got)
	}
}

// criAnswers is a CRI that gives one error after the other, and nil at last.
type criAnswers struct {
	runtimeapi.RuntimeServiceClient
	errs  []error
	asked int
}

func (c *criAnswers) Version(context.Context, *runtimeapi.VersionRequest, ...grpc.CallOption) (*runtimeapi.VersionResponse, error) {
	c.asked++
	if c.asked > len(c.errs) {
		return &runtimeapi.VersionResponse{}, nil
	}
	return nil, c.errs[c.asked-1]
}

func TestACRIThatTakesUpItsPodsAgainIsWaitedFor(t *testing.T) {
	t.Parallel()
	notYet := status.Error(codes.Unavailable, "server is not initialized yet")
	c := &criAnswers{errs: []error{notYet, notYet}}
	if err := askVersion(t.Context(), c); err != nil || c.asked != 3 {
		t.Errorf("got %v after %d questions", err, c.asked)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := askVersion(ctx, &criAnswers{errs: []error{notYet, notYet, notYet}}); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v at the end of the time", err)
	}
}

func TestACRIThatIsMissingIsAnErrorAtOnce(t *testing.T) {
	t.Parallel()
	c := &criAnswers{errs: []error{status.Error(codes.Unimplemented, "unknown service runtime.v1.RuntimeService")}}
	if err := askVersion(t.Context(), c); status.Code(err) != codes.Unimplemented || c.asked != 1 {
		t.Errorf("got %v after %d questions", err, c.asked)
	}
}
