package supervisor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"text/template"
	"time"

	"github.com/fsnotify/fsnotify"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

//go:embed manifests
var ownManifests embed.FS

// writeManifests puts the node's own manifests where the deployer finds them. coredns.yaml is left as it is when it is there: k3d has
// written host records into it.
func writeManifests(dir string, facts clusterFacts, coreDNS bool) error {
	for name, keep := range map[string]bool{"rolebindings.yaml": false, "coredns.yaml": true} {
		file := filepath.Join(dir, name)
		if name == "coredns.yaml" && !coreDNS {
			if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("write manifests: %w", err)
			}
			continue
		}
		if _, err := os.Stat(file); err == nil && keep {
			continue
		}
		t, err := template.ParseFS(ownManifests, "manifests/"+name)
		if err != nil {
			return fmt.Errorf("parse manifest %s: %w", name, err)
		}
		var out bytes.Buffer
		if err := t.Execute(&out, struct {
			clusterFacts
			Image string
		}{facts, PauseImage}); err != nil {
			return fmt.Errorf("render manifest %s: %w", name, err)
		}
		if err := writeFile(file, out.Bytes(), 0o600); err != nil {
			return fmt.Errorf("write manifest %s: %w", name, err)
		}
	}
	return nil
}

// deployer applies the manifests of a directory, and again whenever one changes. Objects are never deleted because a file is gone:
// neither does k3s.
type deployer struct {
	dir    string
	log    *slog.Logger
	apply  func(context.Context, *unstructured.Unstructured) error
	sums   map[string][sha256.Size]byte
	broken map[string]string
}

func newDeployer(dir string, config *rest.Config, log *slog.Logger) (*deployer, error) {
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("create discovery client: %w", err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("create dynamic client: %w", err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
	return &deployer{
		dir: dir, log: log, sums: map[string][sha256.Size]byte{}, broken: map[string]string{},
		apply: func(ctx context.Context, object *unstructured.Unstructured) error {
			return applyObject(ctx, client, mapper, object)
		},
	}, nil
}

// run applies until ctx ends.
func (d *deployer) run(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch manifests: %w", err)
	}
	defer func() { _ = watcher.Close() }()
	if err := watcher.Add(d.dir); err != nil {
		return fmt.Errorf("watch manifests in %s: %w", d.dir, err)
	}
	for {
		// A file that failed is tried again: what it needs (a custom resource, a namespace) may come with another.
		retry := time.Hour
		if d.pass(ctx) > 0 {
			retry = 2 * time.Second
		}
		timer := time.NewTimer(retry)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case err := <-watcher.Errors:
			timer.Stop()
			return fmt.Errorf("watch manifests in %s: %w", d.dir, err)
		case <-timer.C:
		case <-watcher.Events:
			timer.Stop()
			// Writers write in pieces; take the pieces together.
			if pause(ctx, 50*time.Millisecond) != nil {
				return nil
			}
			drain(watcher.Events)
		}
	}
}

func drain[T any](c <-chan T) {
	for {
		select {
		case <-c:
		default:
			return
		}
	}
}

// pass applies every file whose content is new, and returns how many failed.
func (d *deployer) pass(ctx context.Context) int {
	files, err := d.files()
	if err != nil {
		d.log.Error("list manifests", "dir", d.dir, "error", err)
		return 1
	}
	failed := 0
	for _, file := range files {
		content, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since the listing
		}
		sum := sha256.Sum256(content)
		if err == nil && d.sums[file] == sum {
			continue
		}
		if err == nil {
			err = d.applyAll(ctx, content)
		}
		if err != nil {
			failed++
			if d.broken[file] != err.Error() {
				d.broken[file] = err.Error()
				d.log.Warn("apply manifest: will try again", "file", file, "error", err)
			}
			continue
		}
		delete(d.broken, file)
		d.sums[file] = sum
		d.log.Info("Applied manifest", "file", file)
	}
	return failed
}

// files lists the manifests, in order of name, and without those that a NAME.skip file turns off, as in k3s.
func (d *deployer) files() ([]string, error) {
	var files []string
	err := filepath.WalkDir(d.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)) || entry.Name()[0] == '.' {
			return nil
		}
		if _, err := os.Stat(path + ".skip"); err == nil {
			return nil
		}
		files = append(files, path)
		return nil
	})
	return files, err
}

// applyAll applies each object of a manifest. All are tried; the error names those that failed.
func (d *deployer) applyAll(ctx context.Context, content []byte) error {
	objects, err := decode(content)
	if err != nil {
		return err
	}
	var problems []error
	for _, object := range objects {
		if err := d.apply(ctx, object); err != nil {
			problems = append(problems, fmt.Errorf("apply %s %s/%s: %w", object.GetKind(), object.GetNamespace(), object.GetName(), err))
		}
	}
	return errors.Join(problems...)
}

// decode reads the objects of a YAML or JSON stream; lists are taken apart.
func decode(content []byte) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	var objects []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("decode manifest: %w", err)
		}
		if len(object.Object) == 0 {
			continue
		}
		if object.GetAPIVersion() == "" || object.GetKind() == "" {
			return nil, fmt.Errorf("decode manifest: an object without apiVersion or kind: %.80v", object.Object)
		}
		if object.IsList() {
			list, err := object.ToList()
			if err != nil {
				return nil, fmt.Errorf("decode manifest: %w", err)
			}
			for i := range list.Items {
				objects = append(objects, &list.Items[i])
			}
			continue
		}
		objects = append(objects, object)
	}
}

func applyObject(ctx context.Context, client dynamic.Interface, mapper *restmapper.DeferredDiscoveryRESTMapper, object *unstructured.Unstructured) error {
	gvk := object.GroupVersionKind()
	mapping, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) {
		mapper.Reset() // the kind may have been defined since
	}
	if err != nil {
		return err
	}
	var target dynamic.ResourceInterface = client.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		if object.GetNamespace() == "" {
			object.SetNamespace(metav1.NamespaceDefault)
		}
		target = client.Resource(mapping.Resource).Namespace(object.GetNamespace())
	}
	_, err = target.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: "k3s-deploy", Force: true})
	return err
}
