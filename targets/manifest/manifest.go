// Package manifest reads Kubernetes manifests and finds in them what makes pods.
package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// Object is one object of a manifest, as it is written there.
type Object struct {
	*unstructured.Unstructured
	// File is where it is written.
	File string
}

// String is its kind and name, such as Deployment/web.
func (o Object) String() string {
	name := o.GetName()
	if name == "" {
		name = o.GetGenerateName() + "*"
	}
	return o.GetKind() + "/" + name
}

// templates are where the kinds that make pods have a pod's spec.
var templates = map[string][]string{
	"Pod":         {"spec"},
	"Deployment":  {"spec", "template", "spec"},
	"StatefulSet": {"spec", "template", "spec"},
	"ReplicaSet":  {"spec", "template", "spec"},
	"DaemonSet":   {"spec", "template", "spec"},
	"Job":         {"spec", "template", "spec"},
}

// MakesPods reports whether it is a Pod or makes some.
func (o Object) MakesPods() bool {
	group := o.GroupVersionKind().Group
	return templates[o.GetKind()] != nil && (group == "" || group == "apps" || group == "batch")
}

// Template is the pod that it is or makes, as far as it is written: without a name where it is a controller's. It is nil
// for an object that makes none.
func (o Object) Template() (*corev1.Pod, error) {
	if !o.MakesPods() {
		return nil, nil
	}
	content := o.Object
	if o.GetKind() != "Pod" {
		template, found, err := unstructured.NestedMap(content, "spec", "template")
		if err == nil && !found {
			err = errors.New("there is none")
		}
		if err != nil {
			return nil, fmt.Errorf("read spec.template of %s in %s: %w", o, o.File, err)
		}
		content = template
	}
	pod := &corev1.Pod{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, pod); err != nil {
		return nil, fmt.Errorf("read the pod of %s in %s: %w", o, o.File, err)
	}
	if len(pod.Spec.Containers) == 0 {
		return nil, fmt.Errorf("read the pod of %s in %s: it has no containers", o, o.File)
	}
	return pod, nil
}

// ReplaceImages puts other images in place of those that the map names, and lets them be pulled only where they are not
// there. It returns what it has replaced.
func (o Object) ReplaceImages(images map[string]string) (replaced []string, err error) {
	if !o.MakesPods() {
		return nil, nil
	}
	for _, list := range []string{"initContainers", "containers"} {
		path := append(slices.Clone(templates[o.GetKind()]), list)
		containers, found, err := unstructured.NestedSlice(o.Object, path...)
		if err != nil {
			return nil, fmt.Errorf("read the containers of %s in %s: %w", o, o.File, err)
		}
		for _, c := range containers {
			container, _ := c.(map[string]any)
			image, _ := container["image"].(string)
			if other, ok := images[image]; ok {
				container["image"], container["imagePullPolicy"] = other, string(corev1.PullIfNotPresent)
				replaced = append(replaced, image)
			}
		}
		if found {
			if err := unstructured.SetNestedSlice(o.Object, containers, path...); err != nil {
				return nil, fmt.Errorf("replace images of %s: %w", o, err)
			}
		}
	}
	return replaced, nil
}

// Load reads a file of YAML or JSON, which may have several documents, or all of a directory's, without those below it, as
// `kubectl apply -f` does. What is a List is taken apart. At least one object has to make pods, and none may be there twice.
func Load(path string) ([]Object, error) {
	files, err := filesOf(path)
	if err != nil {
		return nil, fmt.Errorf("read manifests: %w", err)
	}
	var all []Object
	there := map[string]string{}
	for _, file := range files {
		objects, err := read(file)
		if err != nil {
			return nil, fmt.Errorf("read manifest %s: %w", file, err)
		}
		for _, o := range objects {
			key := o.GroupVersionKind().Group + "/" + o.String()
			if earlier, ok := there[key]; ok && o.GetName() != "" {
				return nil, fmt.Errorf("read manifests: %s is in %s and in %s: name one file", o, earlier, file)
			}
			there[key] = file
			if _, err := o.Template(); err != nil {
				return nil, err
			}
		}
		all = append(all, objects...)
	}
	if !slices.ContainsFunc(all, Object.MakesPods) {
		return nil, fmt.Errorf("read manifests: none of the %d objects in %s makes a pod: a Pod, Deployment, StatefulSet, ReplicaSet, DaemonSet or Job is wanted", len(all), path)
	}
	return all, nil
}

func filesOf(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}, err
	}
	entries, err := os.ReadDir(path)
	var files []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".yaml" || ext == ".yml" || ext == ".json") {
			files = append(files, filepath.Join(path, e.Name()))
		}
	}
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("directory %s has no .yaml, .yml or .json file", path)
	}
	return files, err
}

func read(file string) ([]Object, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var objects []Object
	decode := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	for {
		o := &unstructured.Unstructured{}
		err := decode.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if len(o.Object) == 0 {
			continue // an empty document, such as one of comments
		}
		if o.GetKind() == "" || o.GetAPIVersion() == "" {
			return nil, fmt.Errorf("document %d has no kind or no apiVersion", len(objects)+1)
		}
		if !o.IsList() || !strings.HasSuffix(o.GetKind(), "List") {
			objects = append(objects, Object{o, file})
			continue
		}
		err = o.EachListItem(func(item runtime.Object) error {
			objects = append(objects, Object{item.(*unstructured.Unstructured), file})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
}
