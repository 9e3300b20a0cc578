package workload

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/image"
	"github.com/cedana/cedana-e2e/targets/local/image/debian"
	"github.com/cedana/cedana-e2e/targets/local/image/imagetest"
)

// packaged makes a package of these files.
func packaged(t *testing.T, dir, name string, files map[string]string) debian.Package {
	t.Helper()
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("needs dpkg-deb")
	}
	root := filepath.Join(t.TempDir(), name)
	files["DEBIAN/control"] = "Package: " + name + "\nVersion: 1.2-3\nArchitecture: all\nMaintainer: nobody <nobody@example.com>\nDescription: test\n"
	for file, content := range files {
		path := filepath.Join(root, file)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o755))
	}
	path := filepath.Join(dir, name+"_1.2-3_all.deb")
	out, err := exec.Command("dpkg-deb", "--root-owner-group", "-b", root, path).CombinedOutput()
	require.NoError(t, err, string(out))
	return debian.Package{Name: name, Version: "1.2-3", Path: path}
}

func TestAProgramsLayerHasItsPackagesAndBusyboxBesideThem(t *testing.T) {
	t.Parallel()
	list := []debian.Package{packaged(t, t.TempDir(), "server", map[string]string{
		"usr/bin/server": "server", "usr/bin/cat": "its own cat", "usr/share/doc/server/copyright": "much",
	})}
	var layer bytes.Buffer
	p := program{links: map[string]string{"usr/bin/alias": "server"}, user: "db:x:26:26::/data:/bin/sh"}
	require.NoError(t, p.write(t.Context(), &layer, list, someFiles(t)))
	files := imagetest.Files(t, &layer)
	require.Equal(t, "server", files["usr/bin/server"])
	require.Equal(t, "-> server", files["usr/bin/alias"])
	require.Equal(t, "its own cat", files["usr/bin/cat"], "what a package has comes before busybox")
	require.Equal(t, "-> busybox", files["usr/bin/sh"])
	require.NotContains(t, files, "usr/share/doc/server/copyright")
	require.Contains(t, files["etc/passwd"], "root:x:0:0")
	require.Contains(t, files["etc/passwd"], "\ndb:x:26:26")
}

func TestTheFirstPackageIsTheProgramsOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	content, err := json.Marshal([]debian.Package{{Name: "server", Version: "2", Path: "server.deb"}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, packagesFile), content, 0o600))
	list, err := listed(dir)
	require.NoError(t, err)
	require.Equal(t, []debian.Package{{Name: "server", Version: "2", Path: filepath.Join(dir, "server.deb")}}, list)
	_, err = listed(t.TempDir())
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestAnImageOfAProgramThatIsNotKnownNamesThoseThatAre(t *testing.T) {
	t.Parallel()
	_, err := makePrograms(t.Context(), image.NewStore(t.TempDir(), nil), "", "", []string{"oracle"}, false)
	require.ErrorContains(t, err, "redis")
	require.Subset(t, ProgramNames(), TestedPrograms())
	require.NotContains(t, TestedPrograms(), "busybox")
}
