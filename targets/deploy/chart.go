package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/Masterminds/semver/v3"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/registry"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/cedana/cedana-e2e/targets/settings"
)

// PublishedChart is where Cedana publishes its chart.
const PublishedChart = "oci://registry-1.docker.io/cedana/cedana-helm"

// chartRef is a chart to load: a path on disk, or an address. An oci:// address may have a tag, which is taken as it
// is, or a version, of which the newest that fits is taken; with neither it is the latest.
type chartRef struct {
	files   fs.FS
	path    string
	address string
	tag     string
	version string
}

func (r chartRef) String() string {
	switch {
	case r.files != nil:
		return "of the local stand-in"
	case r.path != "":
		return r.path
	case r.tag != "":
		return r.address + ":" + r.tag
	case r.version != "":
		return r.address + " " + r.version
	}
	return r.address
}

// resolveChart reads HELM_CHART as Cedana's own suite does: a path if it is there, else a version of the published
// chart; and besides, an oci:// or https:// address. Where it is empty builtin is taken, and where there is none the
// newest published chart.
func resolveChart(given string, builtin fs.FS) (chartRef, error) {
	if given == "" && builtin != nil {
		return chartRef{files: builtin}, nil
	}
	if given == "" {
		return chartRef{address: PublishedChart}, nil
	}
	if strings.Contains(given, "://") {
		return addressOf(given)
	}
	if _, err := os.Stat(given); err == nil {
		abs, err := filepath.Abs(given)
		if err != nil {
			return chartRef{}, fmt.Errorf("find chart %s: %w", given, err)
		}
		return chartRef{path: abs}, nil
	}
	if given == "latest" {
		return chartRef{address: PublishedChart}, nil
	}
	if version := strings.TrimPrefix(given, "v"); isVersion(version) {
		if _, err := semver.StrictNewVersion(version); err == nil {
			return chartRef{address: PublishedChart, tag: version}, nil
		}
		return chartRef{address: PublishedChart, version: version}, nil
	}
	return chartRef{}, settings.Problems{{
		Name:    "HELM_CHART",
		Reason:  fmt.Sprintf("%q is no directory or .tgz that exists, no version, and no oci:// or https:// address", given),
		Example: "0.7.6",
	}}
}

func isVersion(s string) bool {
	_, err := semver.NewConstraint(s)
	return err == nil && strings.ContainsAny(s[:1], "0123456789^~<>=")
}

// addressOf takes the tag off an oci:// address, because Helm wants it apart; a digest stays.
func addressOf(given string) (chartRef, error) {
	if !registry.IsOCI(given) {
		if strings.HasPrefix(given, "https://") || strings.HasPrefix(given, "http://") {
			return chartRef{address: given}, nil
		}
		return chartRef{}, settings.Problems{{
			Name: "HELM_CHART", Reason: fmt.Sprintf("%q has neither oci:// nor https://", given), Example: PublishedChart,
		}}
	}
	if strings.Contains(given, "@") {
		return chartRef{address: given}, nil
	}
	if base, tag, ok := strings.Cut(path.Base(given), ":"); ok {
		return chartRef{address: strings.TrimSuffix(given, path.Base(given)) + base, tag: tag}, nil
	}
	return chartRef{address: given}, nil
}

// loadChart reads a chart from disk, or fetches it. Nothing is kept on disk: Helm's own cache directory is not used.
func loadChart(ctx context.Context, ref chartRef, opts Options) (*chart.Chart, error) {
	if !ref.remote() {
		c, err := readChart(ref)
		if err != nil {
			return nil, fmt.Errorf("load chart %s: %w", ref, err)
		}
		return c, nil
	}
	c, err := fetchChart(ctx, ref, opts)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("fetch chart %s: %w (HELM_CHART takes a path, a version, or an oci:// address; for a private registry set HELM_REGISTRY_USERNAME and HELM_REGISTRY_PASSWORD, or run `helm registry login`)", ref, err)
	}
	return c, nil
}

func (r chartRef) remote() bool { return r.address != "" }

func readChart(ref chartRef) (*chart.Chart, error) {
	if ref.files == nil {
		return loader.Load(ref.path)
	}
	var files []*loader.BufferedFile
	err := fs.WalkDir(ref.files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(ref.files, path)
		files = append(files, &loader.BufferedFile{Name: path, Data: data})
		return err
	})
	if err != nil {
		return nil, err
	}
	return loader.LoadFiles(files)
}

func fetchChart(ctx context.Context, ref chartRef, opts Options) (*chart.Chart, error) {
	if !registry.IsOCI(ref.address) {
		return downloadChart(ctx, ref.address)
	}
	client, err := registryClient(ctx, opts)
	if err != nil {
		return nil, err
	}
	address := strings.TrimPrefix(ref.address, registry.OCIScheme+"://")
	switch {
	case strings.Contains(address, "@"):
	case ref.tag != "":
		address += ":" + ref.tag
	default:
		tag, err := newestTag(client, address, ref.version)
		if err != nil {
			return nil, explain(client, ref, err)
		}
		address += ":" + tag
	}
	pulled, err := client.Pull(address)
	if err != nil {
		return nil, explain(client, ref, err)
	}
	return loader.LoadArchive(bytes.NewReader(pulled.Chart.Data))
}

// explain says what to do about a registry's answer. Docker Hub answers for a chart that is not there as for one that
// the login may not read.
func explain(client *registry.Client, ref chartRef, err error) error {
	var answer *errcode.ErrorResponse
	switch {
	case errors.Is(err, auth.ErrBasicCredentialNotFound), errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden):
		return fmt.Errorf("the registry refuses the login, or has no such chart: %w; check HELM_CHART, and run `helm registry login`, or set HELM_REGISTRY_USERNAME and HELM_REGISTRY_PASSWORD", err)
	case !errors.Is(err, errdef.ErrNotFound) && (answer == nil || answer.StatusCode != http.StatusNotFound):
		return err
	}
	if ref.tag != "" || strings.Contains(ref.address, "@") {
		name, _, _ := strings.Cut(strings.TrimPrefix(ref.address, registry.OCIScheme+"://"), "@")
		if tags, listErr := client.Tags(name); listErr == nil && len(tags) > 0 {
			return fmt.Errorf("the chart is there, but not this version of it; the newest are %s: %w", strings.Join(tags[:min(len(tags), 5)], ", "), err)
		}
	}
	return fmt.Errorf("the registry has no such chart: check HELM_CHART: %w", err)
}

// mostChart is far above any chart's size, in bytes.
const mostChart = 32 << 20

func downloadChart(ctx context.Context, address string) (*chart.Chart, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("server answered %s", resp.Status)
	}
	return loader.LoadArchive(io.LimitReader(resp.Body, mostChart))
}

// newestTag is the newest version that fits want (empty: any).
func newestTag(client *registry.Client, address, want string) (string, error) {
	tags, err := client.Tags(address)
	if err != nil {
		return "", fmt.Errorf("list versions: %w", err)
	}
	if len(tags) == 0 {
		return "", errors.New("it has no versions")
	}
	tag, err := registry.GetTagMatchingVersionOrConstraint(tags, want)
	if err != nil {
		return "", fmt.Errorf("version %s is not there; the newest are %s", want, strings.Join(tags[:min(len(tags), 5)], ", "))
	}
	return tag, nil
}

// registryClient reads credentials where Helm and Docker keep them, unless opts has them, and writes none.
func registryClient(ctx context.Context, opts Options) (*registry.Client, error) {
	base := http.DefaultTransport.(*http.Transport).Clone()
	if opts.RegistryTLS != nil {
		base.TLSClientConfig = opts.RegistryTLS.Clone()
	}
	with := []registry.ClientOption{
		registry.ClientOptHTTPClient(&http.Client{Transport: withContext{ctx, base}}),
		registry.ClientOptEnableCache(true),
	}
	if opts.RegistryConfig != "" {
		with = append(with, registry.ClientOptCredentialsFile(opts.RegistryConfig))
	}
	if opts.RegistryUser != "" {
		with = append(with, registry.ClientOptBasicAuth(opts.RegistryUser, opts.RegistryPassword.Reveal()))
	}
	client, err := registry.NewClient(with...)
	if err != nil {
		return nil, fmt.Errorf("make registry client: %w", err)
	}
	return client, nil
}

// withContext ends requests with a context that their caller cannot be given.
type withContext struct {
	ctx  context.Context
	next http.RoundTripper
}

func (w withContext) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := w.ctx.Err(); err != nil {
		return nil, err
	}
	return w.next.RoundTrip(r.WithContext(w.ctx))
}
