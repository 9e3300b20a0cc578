package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	_ "embed"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

//go:embed containerd.toml.tmpl
var containerdBase string

// containerdConfig is what the templates of containerd's configuration see.
type containerdConfig struct {
	Root             string
	State            string
	Socket           string
	Snapshotter      string
	SandboxImage     string
	CNIConfigDir     string
	CertsDir         string
	RestrictOOMScore bool
	// SystemdCgroup is always false; k3s's templates know it.
	SystemdCgroup bool
	// DropIns is a pattern of files that containerd merges into this one. k3s has the same since 2026: it is the one way
	// to give an option to a runtime that the base template defines, since TOML refuses a table that is there twice.
	DropIns string
	// Cedana is false when the user's own template defines that runtime.
	Cedana bool
}

func newContainerdConfig(snapshotter string, h host) containerdConfig {
	return containerdConfig{
		Root:             agentDir + "/containerd",
		State:            containerdState,
		Socket:           ContainerdSocket,
		Snapshotter:      snapshotter,
		SandboxImage:     PauseImage,
		CNIConfigDir:     cniConfigDir,
		CertsDir:         containerdConfigDir + "/certs.d",
		RestrictOOMScore: !h.adjustOOM,
		DropIns:          containerdConfigDir + "/config-v3.toml.d/*.toml",
	}
}

// render executes the user's template over the base, as k3s does: the base is known to it as {{ template "base" . }}. An empty user
// template means the base alone.
func (c containerdConfig) render(user string) (string, error) {
	base, err := template.New("base").Parse(containerdBase)
	if err != nil {
		return "", fmt.Errorf("parse base template of containerd's configuration: %w", err)
	}
	c.Cedana = !definesRuntime(user, "cedana")
	if user == "" {
		user = `{{ template "base" . }}`
	}
	t, err := base.New("user").Parse(user)
	if err != nil {
		return "", fmt.Errorf("parse containerd's configuration template: %w", err)
	}
	var out strings.Builder
	if err := t.Execute(&out, c); err != nil {
		return "", fmt.Errorf("render containerd's configuration template: %w", err)
	}
	return out.String(), nil
}

// definesRuntime says whether a configuration has a table for the runtime: TOML refuses a second one.
func definesRuntime(config, name string) bool {
	for _, quote := range []string{"", "'", `"`} {
		if strings.Contains(config, ".runtimes."+quote+name+quote+"]") {
			return true
		}
	}
	return false
}

// prepareContainerd writes the configuration and the links by which others find configuration and socket.
func prepareContainerd(c containerdConfig) error {
	user, err := os.ReadFile(containerdConfigDir + "/config-v3.toml.tmpl")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read containerd's configuration template: %w", err)
	}
	config, err := c.render(string(user))
	if err != nil {
		return err
	}
	file := containerdConfigDir + "/config.toml"
	if err := writeFile(file, []byte(config), 0o600); err != nil {
		return fmt.Errorf("write containerd's configuration: %w", err)
	}
	for _, dir := range []string{cniConfigDir, c.CertsDir, importedImages, containerdState} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return fmt.Errorf("prepare containerd: %w", err)
		}
	}
	// A socket left by a killed containerd would look like a running one.
	if err := os.Remove(c.Socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("prepare containerd: %w", err)
	}
	if err := link(file, "/etc/containerd/config.toml"); err != nil {
		return fmt.Errorf("prepare containerd: %w", err)
	}
	if err := link(c.Socket, "/run/containerd/containerd.sock"); err != nil {
		return fmt.Errorf("prepare containerd: %w", err)
	}
	return nil
}

// link makes name a symbolic link to target, in place of whatever name was.
func link(target, name string) error {
	if to, err := os.Readlink(name); err == nil && to == target {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(target, name)
}

func containerdProgram() program {
	return program{
		name: "containerd",
		path: "containerd",
		args: []string{"--config", containerdConfigDir + "/config.toml"},
	}
}

// askRuntime asks containerd for the service that the kubelet needs. containerd runs on when that could not be loaded, and only its log
// says why.
func askRuntime(ctx context.Context) error {
	conn, err := grpc.NewClient("unix://"+ContainerdSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("connect to containerd: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if err := askVersion(ctx, runtimeapi.NewRuntimeServiceClient(conn)); err != nil {
		return fmt.Errorf("ask containerd for its CRI version: %w%s", err, pluginFailure(content(logDir+"/containerd.log")))
	}
	return nil
}

// askVersion asks until there is an answer, as long as that is "unavailable": after a restart containerd listens before
// it has taken up again the pods that were there. A service that could not be loaded is "unimplemented", and an error
// at once.
func askVersion(ctx context.Context, client runtimeapi.RuntimeServiceClient) error {
	for {
		_, err := client.Version(ctx, &runtimeapi.VersionRequest{})
		if status.Code(err) != codes.Unavailable {
			return err
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			return err
		}
	}
}

// pluginFailure is the last line of containerd's log that says why the CRI could not be loaded.
func pluginFailure(log string) string {
	found := ""
	for line := range strings.Lines(log) {
		if strings.Contains(line, "failed to load plugin") && strings.Contains(line, "id=io.containerd.grpc.v1.cri ") {
			found = ": " + strings.TrimSpace(line)
		}
	}
	return found
}

// content is what is in file; what cannot be read is said in its place.
func content(file string) string {
	c, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(c)
}

// importImages imports the node image's tarballs and then the user's. A tarball that cannot be imported is an error that names it, and
// does not keep the others from being imported.
func importImages(ctx context.Context, dirs ...string) error {
	var problems []error
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.tar"))
		if err != nil {
			return fmt.Errorf("list images in %s: %w", dir, err)
		}
		for _, file := range files {
			cmd := exec.CommandContext(ctx, "ctr", "--address", ContainerdSocket, "--namespace", "k8s.io", "images", "import", file)
			if out, err := cmd.CombinedOutput(); err != nil {
				problems = append(problems, fmt.Errorf("import image %s: %w: %s", file, err, strings.TrimSpace(string(out))))
			}
		}
	}
	return errors.Join(problems...)
}
