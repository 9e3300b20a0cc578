package workload

import (
	"context"
	_ "embed"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/cedana/cedana-e2e/targets/local/image"
)

//go:embed nginx.conf
var nginxConf string

// index is the page that nginx serves.
const index = "<!doctype html><title>cedana-e2e</title><p>nginx of cedana-e2e\n"

// nginxRecipe is raised when the image changes other than by the files in it.
const nginxRecipe = 1

const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// skeleton is image.Skeleton with the links by which Debian's files find each other.
func skeleton() []image.Entry {
	return append(image.Skeleton(),
		image.Link("bin", "usr/bin"), image.Link("sbin", "usr/sbin"),
		image.Link("lib", "usr/lib"), image.Link("lib64", "usr/lib64"),
		image.Dir("usr/lib", 0o755), image.Dir("usr/lib64", 0o755), image.Dir("usr/sbin", 0o755), image.Dir("usr/bin", 0o755),
		image.Dir("var/log", 0o755), image.Link("var/run", "/run"))
}

func nginx(ctx context.Context, store *image.Store, files, worker string) (image.Tarball, error) {
	conf := strings.ReplaceAll(nginxConf, "@WORKER@", worker)
	key, err := image.NewInputs("nginx", nginxRecipe).Tree("files", files).Text("conf", conf).Text("index", index).Key()
	if err != nil {
		return image.Tarball{}, err
	}
	return store.Image(ctx, "nginx", key, func(context.Context) (v1.Image, error) {
		tools, err := applets(files)
		if err != nil {
			return nil, err
		}
		libraries, err := image.TreeEntries(files)
		if err != nil {
			return nil, err
		}
		entries := append(skeleton(), tools...)
		for _, e := range libraries {
			if e.Path != appletList {
				entries = append(entries, e)
			}
		}
		entries = append(entries,
			image.Text("etc/nginx/nginx.conf", conf),
			image.Text("usr/share/nginx/html/index.html", index),
			image.Dir("var/log/nginx", 0o755),
			image.Dir("var/lib/nginx", 0o755),
		)
		layer, err := image.Layer(entries...)
		if err != nil {
			return nil, err
		}
		return image.Compose(v1.Config{
			// -e: until it has read its configuration nginx complains into a file, where nobody looks.
			Entrypoint:   []string{"/usr/sbin/nginx", "-e", "stderr"},
			Env:          []string{path},
			ExposedPorts: map[string]struct{}{"80/tcp": {}},
			StopSignal:   "SIGQUIT",
		}, layer)
	})
}
