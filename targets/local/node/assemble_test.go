package node

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/image/debian"
	"github.com/cedana/cedana-e2e/targets/local/image/imagetest"
)

// madePackage is a package of these files: a content, or `-> target` for a link.
func madePackage(t *testing.T, name string, files map[string]string) debian.Package {
	t.Helper()
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("needs dpkg-deb: apt-get install dpkg")
	}
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	files["DEBIAN/control"] = "Package: " + name + "\nVersion: 1.0-1\nArchitecture: all\nMaintainer: x <x@example.com>\nDescription: x\n"
	for file, content := range files {
		path := filepath.Join(root, file)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if target, ok := bytes.CutPrefix([]byte(content), []byte("-> ")); ok {
			require.NoError(t, os.Symlink(string(target), path))
		} else {
			require.NoError(t, os.WriteFile(path, []byte(content), 0o755))
		}
	}
	p := debian.Package{Name: name, Version: "1.0-1", Path: filepath.Join(dir, name+"_1.0-1_all.deb")}
	out, err := exec.CommandContext(t.Context(), "dpkg-deb", "--root-owner-group", "--build", root, p.Path).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return p
}

// necessary is what a node's base cannot be made without.
func necessary() map[string]string {
	return map[string]string{
		users: "root:*:0:0", groups: "root:*:0:", nameServices: "passwd: files",
		authorities + "b.crt": "second\n", authorities + "a.crt": "first\n",
		"bin": "-> usr/bin", "usr/bin/bash": "bash",
	}
}

func assembled(t *testing.T, packages ...debian.Package) map[string]string {
	t.Helper()
	var archive bytes.Buffer
	require.NoError(t, assemble(t.Context(), &archive, packages))
	return imagetest.Files(t, &archive)
}

func TestANodesBaseIsItsPackagesAndWhatTheirScriptsWouldHaveMade(t *testing.T) {
	t.Parallel()
	files := assembled(t, madePackage(t, "base", necessary()), madePackage(t, "more", map[string]string{
		"usr/bin/sh": "-> dash", "lib/modules/x": "a package that still uses /lib", "usr/share/doc/more/README": "long",
		"usr/share/base-passwd/other": "kept", "usr/lib/cni/dhcp": "not used", "usr/lib/cni/ptp": "used",
	}))
	for path, want := range map[string]string{
		"etc/passwd": "root:*:0:0", "etc/group": "root:*:0:", "etc/nsswitch.conf": "passwd: files",
		"etc/ssl/certs/ca-certificates.crt": "first\nsecond\n",
		"bin":                               "-> usr/bin", "usr/bin/bash": "bash", "usr/sbin/iptables": "-> iptables-nft",
		"usr/sbin/ip6tables-restore": "-> ip6tables-nft-restore", "var/run": "-> /run",
		"usr/lib/modules/x": "a package that still uses /lib", "usr/lib/cni/ptp": "used",
	} {
		require.Equal(t, want, files[path], path)
	}
	require.NotContains(t, files, "lib/", "it would replace the link of that name")
	require.NotContains(t, files, "usr/share/doc/more/README")
	require.NotContains(t, files, "usr/lib/cni/dhcp")
	require.Equal(t, "-> bash", files["usr/bin/sh"], "k3d's entry point needs it")
}

func TestABaseWithoutWhatItIsMadeOfIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	for _, missing := range []string{users, nameServices} {
		files := necessary()
		delete(files, missing)
		err := assemble(t.Context(), io.Discard, []debian.Package{madePackage(t, "base", files)})
		require.ErrorContains(t, err, missing)
	}
	files := necessary()
	delete(files, authorities+"a.crt")
	delete(files, authorities+"b.crt")
	require.ErrorContains(t, assemble(t.Context(), io.Discard, []debian.Package{madePackage(t, "base", files)}), "certificate authorities")
}

func TestADamagedPackageIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	p := madePackage(t, "base", necessary())
	content, err := os.ReadFile(p.Path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(p.Path, content[:len(content)-50], 0o644))
	err = assemble(t.Context(), io.Discard, []debian.Package{p})
	require.ErrorContains(t, err, "read package base: dpkg-deb")
}

func TestBaseLeavesOutWhatIsTheHostsOrOfNoUse(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"usr/share/doc", "usr/share/doc/x/y", "usr/lib/cni/dhcp", "etc/resolv.conf", "etc/hostname", ".dockerenv",
		"usr/lib/x86_64-linux-gnu/gconv", "usr/lib/x86_64-linux-gnu/gconv/x.so", "usr/bin/containerd-stress",
	} {
		require.True(t, dropped(path), path)
	}
	for _, path := range []string{
		"usr/lib/cni", "usr/lib/cni/ptp", "usr/lib/cni/portmap", "dev", "proc", "tmp", "usr/bin/criu",
		"usr/share/zoneinfo", "etc/ssl/certs", "usr/share", "usr/share/documents",
	} {
		require.False(t, dropped(path), path)
	}
}
