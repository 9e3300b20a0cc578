package node

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/image"
	"github.com/cedana/cedana-e2e/targets/local/image/imagetest"
)

// fakeEngine has images by name and keeps the tarballs that it is given.
type fakeEngine struct {
	images map[string]v1.Image
}

func (f *fakeEngine) ImageInspect(_ context.Context, ref string, _ ...client.ImageInspectOption) (dockerimage.InspectResponse, error) {
	img, ok := f.images[ref]
	if !ok {
		return dockerimage.InspectResponse{}, errdefs.ErrNotFound.WithMessage("no such image: " + ref)
	}
	id, err := img.ConfigName()
	return dockerimage.InspectResponse{ID: id.String()}, err
}

func (f *fakeEngine) ImageLoad(_ context.Context, input io.Reader, _ ...client.ImageLoadOption) (dockerimage.LoadResponse, error) {
	content, err := io.ReadAll(input)
	if err != nil {
		return dockerimage.LoadResponse{}, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	manifest, err := tarball.LoadManifest(open)
	if err != nil {
		return dockerimage.LoadResponse{}, err
	}
	img, err := tarball.Image(open, nil)
	if err != nil {
		return dockerimage.LoadResponse{}, err
	}
	f.images[manifest[0].RepoTags[0]] = img
	return dockerimage.LoadResponse{Body: io.NopCloser(bytes.NewReader(nil))}, nil
}

func (f *fakeEngine) ImageSave(_ context.Context, ids []string, _ ...client.ImageSaveOption) (io.ReadCloser, error) {
	for ref, img := range f.images {
		if id, err := img.ConfigName(); err == nil && id.String() == ids[0] {
			tag, err := name.ParseReference(ref)
			if err != nil {
				return nil, err
			}
			var out bytes.Buffer
			err = tarball.Write(tag, img, &out)
			return io.NopCloser(&out), err
		}
	}
	return nil, errors.New("no such image")
}

// officialK3s is an image with the shape of rancher/k3s: its own programs, links to them, and a user land of busybox.
func officialK3s(t *testing.T) v1.Image {
	t.Helper()
	lower, err := image.Layer(
		program("bin/k3s", "the old k3s"),
		program("bin/busybox", "busybox"),
		image.Link("bin/tar", "busybox"),
		image.Link("bin/sh", "busybox"),
		image.Link("bin/vi", "busybox"),
		image.Text("etc/os-release", "PRETTY_NAME=\"K3s\""),
	)
	require.NoError(t, err)
	upper, err := image.Layer(
		program("bin/k3s", "k3s"),
		program("bin/runc", "the runc of k3s"),
		program("bin/containerd-shim-runc-v2", "shim"),
		program("bin/cni", "cni"),
		image.Link("bin/bridge", "cni"),
		image.Link("bin/kubectl", "k3s"),
		image.Link("bin/ctr", "k3s"),
		program("bin/aux/iptables", "iptables"),
	)
	require.NoError(t, err)
	img, err := image.Compose(v1.Config{Entrypoint: []string{"/bin/k3s"}}, lower, upper)
	require.NoError(t, err)
	return img
}

func program(path, content string) image.Entry {
	return image.Entry{Path: path, Content: []byte(content), Mode: 0o755}
}

// withBase puts a Debian base into the home, as if it had been made of packages.
func withBase(t *testing.T, home string) {
	t.Helper()
	key, err := baseKey(K3s)
	require.NoError(t, err)
	_, err = image.NewStore(home, nil).File(t.Context(), "base", key, "", func(_ context.Context, dir string) error {
		require.NoError(t, os.MkdirAll(dir, 0o755))
		archive, err := os.Create(filepath.Join(dir, layerFile))
		require.NoError(t, err)
		out := image.NewTar(archive)
		for _, e := range []image.Entry{
			program("usr/bin/bash", "bash"), program("usr/bin/tar", "GNU tar"), program("usr/sbin/runc", "the runc of Debian"),
			program("usr/sbin/bridge", "bridge of iproute2"), image.Link("usr/bin/sh", "bash"), image.Link("bin", "usr/bin"),
		} {
			require.NoError(t, out.Add(e))
		}
		require.NoError(t, errors.Join(out.Close(), archive.Close()))
		content, err := os.ReadFile(archive.Name())
		require.NoError(t, err)
		sum := sha256.Sum256(content)
		info, err := json.Marshal(baseInfo{SHA256: hex.EncodeToString(sum[:]), Versions: map[string]string{"criu": "4.2.1", "runc": "1.3.6"}})
		require.NoError(t, err)
		return os.WriteFile(filepath.Join(dir, infoFile), info, 0o644)
	})
	require.NoError(t, err)
}

// contents of a whole image: files by path, links as `-> target`.
func contents(t *testing.T, img v1.Image) map[string]string {
	t.Helper()
	flat := mutate.Extract(img)
	defer flat.Close()
	return imagetest.Files(t, flat)
}

func requireK3sNode(t *testing.T, img v1.Image) {
	t.Helper()
	files := contents(t, img)
	for file, want := range map[string]string{
		"usr/bin/k3s":                     "k3s",
		"usr/bin/kubectl":                 "-> k3s",
		"usr/bin/ctr":                     "-> k3s",
		"usr/bin/containerd-shim-runc-v2": "shim",
		"usr/bin/aux/iptables":            "iptables",
		// CRIU needs GNU tar, k3d's scripts need bash: Debian's user land stands before busybox's.
		"usr/bin/tar": "GNU tar",
		"usr/bin/sh":  "-> bash",
		"usr/bin/vi":  "-> busybox",
		// The CNI plugin has the name of a program of iproute2; k3s looks for it beside itself.
		"usr/bin/bridge":  "-> cni",
		"usr/sbin/bridge": "bridge of iproute2",
		// There is one runc.
		"usr/bin/runc":  "the runc of k3s",
		"usr/sbin/runc": "-> ../bin/runc",
		// The layers do not turn Debian's link into a directory.
		"bin": "-> usr/bin",
	} {
		require.Equal(t, want, files[file], file)
	}
	require.NotContains(t, files, "etc/os-release", "Debian's own stays")
	require.Contains(t, files["var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.tmpl"], "runtimes.'cedana'")
	require.Contains(t, files["usr/bin/k3d-entrypoint-cedana.sh"], "containerd.sock")
	require.NotEmpty(t, files[pauseTarball])
	require.Contains(t, files["etc/criu/runc.conf"], "tcp-close")

	config, err := img.ConfigFile()
	require.NoError(t, err)
	require.Equal(t, []string{"/bin/k3s"}, config.Config.Entrypoint)
	require.Contains(t, config.Config.Volumes, "/var/lib/rancher/k3s")
}

func serve(t *testing.T, img v1.Image) (server *httptest.Server, ref string) {
	t.Helper()
	server = httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	require.NoError(t, err)
	ref = address.Host + "/rancher/k3s:v1.37.1-k3s1"
	tag, err := name.NewTag(ref)
	require.NoError(t, err)
	require.NoError(t, remote.Write(tag, img))
	return server, ref
}

func TestK3sFromARegistry(t *testing.T) {
	t.Parallel()
	server, ref := serve(t, officialK3s(t))
	engine := &fakeEngine{images: map[string]v1.Image{}}
	o := Options{Home: t.TempDir(), Flavour: K3s, K3sImage: ref, Engine: waitFor(engine)}
	withBase(t, o.Home)
	made, err := Ensure(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, K3s, made.Flavour)
	require.Equal(t, "v1.37.1+k3s1", made.Versions["kubernetes"])
	requireK3sNode(t, engine.images[made.Ref])
	require.Contains(t, engine.images, made.Tools)

	server.Close()
	again, err := Ensure(t.Context(), o)
	require.NoError(t, err, "the second run asks no registry")
	require.Equal(t, made, again)
}

func TestK3sFromTheEngine(t *testing.T) {
	t.Parallel()
	const ref = "docker.io/rancher/k3s:v1.37.1-k3s1"
	engine := &fakeEngine{images: map[string]v1.Image{ref: officialK3s(t)}}
	o := Options{Home: t.TempDir(), Flavour: K3s, K3sImage: ref, Engine: waitFor(engine)}
	withBase(t, o.Home)
	made, err := Ensure(t.Context(), o)
	require.NoError(t, err)
	requireK3sNode(t, engine.images[made.Ref])
}

func TestAutoTakesK3s(t *testing.T) {
	t.Parallel()
	_, served := serve(t, officialK3s(t))
	const inEngine = "docker.io/rancher/k3s:v1.37.1-k3s1"
	for name, test := range map[string]struct {
		ref      string
		engine   *fakeEngine
		compiled bool
		want     bool
	}{
		"when its registry answers": {ref: served, engine: &fakeEngine{}, want: true},
		"when the engine has its image": {ref: inEngine, want: true, compiled: true,
			engine: &fakeEngine{images: map[string]v1.Image{inEngine: officialK3s(t)}}},
		"not when nobody answers":                              {ref: "127.0.0.1:1/rancher/k3s:v1", engine: &fakeEngine{}},
		"not when Kubernetes was compiled here, asking nobody": {ref: served, engine: &fakeEngine{}, compiled: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := Options{Home: t.TempDir(), K3sImage: test.ref, Engine: waitFor(test.engine), canRunK3s: true}
			if test.compiled {
				require.NoError(t, os.MkdirAll(o.Home+"/images", 0o755))
				require.NoError(t, os.WriteFile(o.Home+"/images/"+sourceName+"-0123456789abcdef.tar", nil, 0o644))
			}
			k3s, err := findK3s(t.Context(), image.NewStore(o.Home, nil), o)
			require.NoError(t, err)
			require.Equal(t, test.want, k3s != nil)
		})
	}
}

func TestAutoDoesNotTakeK3sWhereItCannotRun(t *testing.T) {
	t.Parallel()
	const ref = "docker.io/rancher/k3s:v1.37.1-k3s1"
	o := Options{Home: t.TempDir(), K3sImage: ref, Engine: waitFor(&fakeEngine{images: map[string]v1.Image{ref: officialK3s(t)}})}
	k3s, err := findK3s(t.Context(), image.NewStore(o.Home, nil), o)
	require.NoError(t, err)
	require.Nil(t, k3s)
}

func TestK3sAskedForByNameAndNotToBeHad(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		ref  string
		want string
	}{
		"no registry": {"127.0.0.1:1/rancher/k3s:v1", "E2E_NODE=source"},
		"bad name":    {"127.0.0.1:1/rancher/K3S:v1", "E2E_K3S_IMAGE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := Options{Home: t.TempDir(), Flavour: K3s, K3sImage: test.ref, Engine: waitFor(&fakeEngine{})}
			_, err := findK3s(t.Context(), image.NewStore(o.Home, nil), o)
			require.ErrorContains(t, err, test.want)
		})
	}
	_, err := findK3s(t.Context(), image.NewStore(t.TempDir(), nil), Options{Flavour: "kind"})
	require.ErrorContains(t, err, "E2E_NODE")
}

func TestImageWithoutK3sIsRefused(t *testing.T) {
	t.Parallel()
	layer, err := image.Layer(image.Entry{Path: "bin/busybox", Content: []byte("x"), Mode: 0o755})
	require.NoError(t, err)
	img, err := image.Compose(v1.Config{}, layer)
	require.NoError(t, err)
	_, ref := serve(t, img)
	o := Options{Home: t.TempDir(), Flavour: K3s, K3sImage: ref, Engine: waitFor(&fakeEngine{images: map[string]v1.Image{}})}
	withBase(t, o.Home)
	_, err = Ensure(t.Context(), o)
	require.ErrorContains(t, err, "no /bin/k3s")
}

func TestArchiveThatClimbsOutIsRefused(t *testing.T) {
	t.Parallel()
	var archive bytes.Buffer
	out := tar.NewWriter(&archive)
	require.NoError(t, out.WriteHeader(&tar.Header{Name: "bin/out", Typeflag: tar.TypeSymlink, Linkname: "/tmp", Mode: 0o777}))
	require.NoError(t, out.WriteHeader(&tar.Header{Name: "bin/out/evil", Typeflag: tar.TypeReg, Size: 1, Mode: 0o755}))
	_, err := out.Write([]byte("x"))
	require.NoError(t, err)
	require.NoError(t, out.Close())
	require.ErrorContains(t, unpackBin(&archive, t.TempDir()+"/bin"), "bin/out/evil")
	_, err = os.Stat("/tmp/evil")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func waitFor(engine image.Engine) func(context.Context) (image.Engine, error) {
	return func(context.Context) (image.Engine, error) { return engine, nil }
}
