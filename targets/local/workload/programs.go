package workload

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/cedana/cedana-e2e/targets/local/image"
	"github.com/cedana/cedana-e2e/targets/local/image/debian"
)

// program is an image of a program of Debian's, as its packages have it, with busybox beside it. A package's scripts are never
// run: what they would have made is in links and users.
type program struct {
	// packages come with all that they depend on; the first one's version is the program's.
	packages []string
	links    map[string]string
	// paths are directories of programs beside the usual ones.
	paths []string
	// user is a line of /etc/passwd beside the usual ones.
	user string
	// entrypoint and args are what a container runs that has none of its own.
	entrypoint, args []string
	// asRoot is in the environment where all processes are root's, for a program that refuses that.
	asRoot []string
	// tested programs are those of SUITE=workloads.
	tested bool
}

// triplet is the directory of this machine's libraries, below /usr/lib.
var triplet = map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]

// blas are the links to the reference libraries of linear algebra, which a package's script would have made.
var blas = map[string]string{
	"usr/lib/" + triplet + "/libblas.so.3":   "blas/libblas.so.3",
	"usr/lib/" + triplet + "/liblapack.so.3": "lapack/liblapack.so.3",
}

// programs are what an image can be made of on request, by name.
var programs = map[string]program{
	"busybox":   {packages: []string{"busybox-static"}, args: []string{"sh"}},
	"memcached": {packages: []string{"memcached"}, entrypoint: []string{"memcached", "-u", "root"}, tested: true},
	"node":      {packages: []string{"nodejs"}, args: []string{"node"}, tested: true},
	"node-exporter": {
		packages: []string{"prometheus-node-exporter"}, entrypoint: []string{"prometheus-node-exporter"}, tested: true,
		// Where its makers' image has it.
		links: map[string]string{"usr/bin/node_exporter": "prometheus-node-exporter"},
	},
	"hpcc": {packages: []string{"hpcc"}, links: blas, args: []string{"hpcc"}, tested: true},
	"java": {
		packages: []string{"openjdk-25-jre-headless"}, args: []string{"java", "-version"}, tested: true,
		links: map[string]string{"usr/bin/java": "../lib/jvm/java-25-openjdk-" + runtime.GOARCH + "/bin/java"},
	},
	"lammps":   {packages: []string{"lammps"}, links: blas, args: []string{"lmp", "-h"}, tested: true},
	"learning": {packages: []string{"python3-sklearn", "python3-xgboost"}, links: blas, args: []string{"python3"}, tested: true},
	"llama":    {packages: []string{"llama.cpp", "python3-gguf"}, links: blas, args: []string{"llama-server"}, tested: true},
	"postgresql": {
		packages: []string{"postgresql-18", "libfakeroot"}, args: []string{"postgres"}, paths: []string{"/usr/lib/postgresql/18/bin"},
		user: "postgres:x:26:26:PostgreSQL:/data:/bin/sh", tested: true,
		// It asks who it is, and does not start as root. The answer is false then, and what it may do is root's.
		asRoot: []string{
			"LD_PRELOAD=/usr/lib/" + triplet + "/libfakeroot/libfakeroot-sysv.so", "FAKEROOTUID=26", "FAKEROOTEUID=26", "FAKEROOTGID=26", "FAKEROOTEGID=26",
		},
	},
	"python":  {packages: []string{"python3", "python3-numpy"}, links: blas, args: []string{"python3"}, tested: true},
	"pytorch": {packages: []string{"python3-torch"}, links: blas, args: []string{"python3"}, tested: true},
	"redis":   {packages: []string{"redis-server"}, entrypoint: []string{"redis-server"}, args: []string{"--protected-mode", "no"}, tested: true},
}

// unused are packages that programs depend on for scripts that are not run, and what these depend on.
var unused = []string{
	"adduser", "base-passwd", "ca-certificates", "ca-certificates-java", "debconf", "java-common", "libc-l10n", "libdb5.3t64", "libjson-perl", "libpam-modules", "libpam-modules-bin",
	"libpam-runtime", "libperl5.42", "libsemanage-common", "libsemanage2", "libsepol2", "libsystemd-shared", "libtext-charwidth-perl", "libtext-wrapi18n-perl",
	"locales", "login.defs", "passwd", "perl", "perl-base", "perl-modules-5.42", "postgresql-client-common", "postgresql-common", "procps", "sensible-utils", "ssl-cert",
	"systemd", "sysvinit-utils", "ucf", "util-linux",
}

// noUse are directories of packages that no program reads.
var noUse = []string{"usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian", "usr/share/bug", "usr/share/bash-completion"}

// ProgramNames are the programs that there can be images of, in a row.
func ProgramNames() []string {
	return slices.Sorted(maps.Keys(programs))
}

// TestedPrograms are those of SUITE=workloads, in a row.
func TestedPrograms() []string {
	return slices.DeleteFunc(ProgramNames(), func(name string) bool { return !programs[name].tested })
}

// Program is an image of a program.
type Program struct {
	image.Tarball
	// Version is that of Debian's package.
	Version string
}

// programRecipe is raised when what is made of the packages changes.
const programRecipe = 1

// makePrograms makes the images of these programs unless they are in the cache.
// On a host without CAP_SYS_RESOURCE all processes are to be root's.
func makePrograms(ctx context.Context, store *image.Store, mirror, files string, names []string, allRoot bool) (map[string]Program, error) {
	made := make([]Program, len(names))
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(2)
	for i, name := range names {
		work.Go(func() (err error) {
			p, ok := programs[name]
			if !ok {
				return fmt.Errorf("make the image of program %s: there are only %s", name, strings.Join(ProgramNames(), ", "))
			}
			if !allRoot {
				p.asRoot = nil
			}
			made[i], err = p.image(ctx, store, name, mirror, files)
			return err
		})
	}
	if err := work.Wait(); err != nil {
		return nil, err
	}
	all := map[string]Program{}
	for i, name := range names {
		all[name] = made[i]
	}
	return all, nil
}

// packagesFile lists the packages in their directory, the program's own first.
const packagesFile = "packages.json"

// image makes the image of the program, with what is in files beside it.
func (p program) image(ctx context.Context, store *image.Store, name, mirror, files string) (Program, error) {
	key, err := image.NewInputs("program's packages", programRecipe).Text("suite", debian.Suite).Text("packages", p.packages...).Text("unused", unused...).Key()
	if err != nil {
		return Program{}, err
	}
	dir, err := store.File(ctx, "program-"+name, key, "", func(ctx context.Context, dir string) error {
		return p.download(ctx, store, mirror, dir)
	})
	if err != nil {
		return Program{}, fmt.Errorf("get the packages of program %s: %w", name, err)
	}
	packages, err := listed(dir)
	if err != nil {
		return Program{}, err
	}
	made, err := json.Marshal([]any{p.links, p.paths, p.user, p.asRoot, p.entrypoint, p.args, noUse})
	if err != nil {
		return Program{}, err
	}
	key, err = image.NewInputs("program", programRecipe).File("packages", filepath.Join(dir, packagesFile)).Tree("files", files).Text("made", string(made)).Key()
	if err != nil {
		return Program{}, err
	}
	tarball, err := store.Image(ctx, name, key, func(ctx context.Context) (v1.Image, error) {
		layer, err := image.LayerOf(func(w io.Writer) error { return p.write(ctx, w, packages, files) })
		if err != nil {
			return nil, err
		}
		return image.Compose(v1.Config{Entrypoint: p.entrypoint, Cmd: p.args, Env: append([]string{strings.Join(append([]string{path}, p.paths...), ":")}, p.asRoot...)}, layer)
	})
	return Program{tarball, packages[0].Version}, err
}

// download gets the packages into a directory that it makes.
func (p program) download(ctx context.Context, store *image.Store, mirror, dir string) error {
	got, err := debian.Get(ctx, store.Progress(), debian.Source{Mirror: mirror, Home: store.Home()}, dir, debian.Selection{Packages: p.packages, Dependencies: true})
	if err != nil {
		return err
	}
	var list []debian.Package
	for _, one := range got {
		if slices.Contains(unused, one.Name) {
			if err := os.Remove(one.Path); err != nil {
				return err
			}
			continue
		}
		one.Path = filepath.Base(one.Path)
		list = append(list, one)
	}
	own := slices.IndexFunc(list, func(one debian.Package) bool { return one.Name == p.packages[0] })
	list[0], list[own] = list[own], list[0]
	content, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, packagesFile), content, 0o644)
}

// listed are the packages in a directory.
func listed(dir string) ([]debian.Package, error) {
	content, err := os.ReadFile(filepath.Join(dir, packagesFile))
	var list []debian.Package
	if err == nil {
		err = json.Unmarshal(content, &list)
	}
	if err == nil && len(list) == 0 {
		err = errors.New("there are none")
	}
	if err != nil {
		return nil, fmt.Errorf("read the packages in %s: %w", dir, err)
	}
	for i := range list {
		list[i].Path = filepath.Join(dir, list[i].Path)
	}
	return list, nil
}

// write writes the layer. Of two files with one path the first counts: what is made here, then the packages', then busybox.
func (p program) write(ctx context.Context, w io.Writer, packages []debian.Package, files string) error {
	archive := image.NewTar(w)
	var entries []image.Entry
	for _, e := range skeleton() {
		if e.Path == "etc/passwd" && p.user != "" {
			e.Content = append(slices.Clone(e.Content), p.user+"\n"...)
		}
		entries = append(entries, e)
	}
	for _, link := range slices.Sorted(maps.Keys(p.links)) {
		entries = append(entries, image.Link(link, p.links[link]))
	}
	tools, err := applets(files)
	if err != nil {
		return err
	}
	if err := archive.Add(entries...); err != nil {
		return err
	}
	for _, one := range packages {
		err := one.Files(ctx, func(header *tar.Header, content io.Reader) error {
			header.Name = strings.Trim(strings.TrimPrefix(header.Name, "."), "/")
			if header.Name == "" || slices.ContainsFunc(noUse, func(dir string) bool { return strings.HasPrefix(header.Name+"/", dir+"/") }) {
				return nil
			}
			return archive.Copy(header, content)
		})
		if err != nil {
			return err
		}
	}
	if err := archive.Add(tools...); err != nil {
		return err
	}
	return archive.Close()
}
