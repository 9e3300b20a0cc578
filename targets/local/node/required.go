package node

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/cedana/cedana-e2e/targets/local/image/debian"
)

// requirement is a program that the node must have in at least a version.
type requirement struct {
	program string
	// pkg is the package that it is in, where that has another name.
	pkg          string
	major, minor int
	// sameMajor says that a newer major version will not do either.
	sameMajor bool
	reason    string
}

// required versions: CRIU before 4.2 cannot dump programs with sockets on Linux 6.18 (`Can't get 1:34 opt:
// Operation not supported`), runc before 1.2 refuses `--manage-cgroups-mode ignore`. Both were tried.
var required = []requirement{
	{program: "criu", major: 4, minor: 2, reason: "older ones cannot dump programs with sockets on current kernels"},
	{program: "runc", major: 1, minor: 2, reason: "older ones refuse --manage-cgroups-mode ignore"},
}

// sourceRequired are those of sourcePackages.
var sourceRequired = []requirement{
	{program: "containerd", major: 2, minor: 1, sameMajor: true, reason: "k3s of the same Kubernetes has containerd 2.1, with version 3 of its configuration"},
	{program: "kubectl", major: 1, minor: 36, sameMajor: true, reason: "one is for servers of its own minor version and the next"},
	{program: "etcd", pkg: "etcd-server", major: 3, minor: 5, sameMajor: true, reason: "older ones do not tell Kubernetes of the progress of a watch"},
}

func requiredOf(flavour Flavour) []requirement {
	if flavour == Source {
		return append(slices.Clone(required), sourceRequired...)
	}
	return required
}

// checkVersions returns the version of each required program.
func checkVersions(packages []debian.Package, requirements []requirement) (map[string]string, error) {
	versions := map[string]string{}
	for _, r := range requirements {
		name := r.pkg
		if name == "" {
			name = r.program
		}
		i := slices.IndexFunc(packages, func(p debian.Package) bool { return p.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("find %s: package %s is not among those that Debian %s has", r.program, name, debian.Suite)
		}
		version, err := r.check(packages[i].Version)
		if err != nil {
			return nil, err
		}
		versions[r.program] = version
	}
	return versions, nil
}

// upstream is a program's own version in that of its package, which may have an epoch before it and a revision behind:
// `1:2.1.9+ds1-5`.
var upstream = regexp.MustCompile(`^(?:\d+:)?(\d+)\.(\d+)(\.\d+)?`)

// check returns the program's version if it will do.
func (r requirement) check(packageVersion string) (string, error) {
	match := upstream.FindStringSubmatch(packageVersion)
	if match == nil {
		return "", fmt.Errorf("find the version of %s in its package's, %q", r.program, packageVersion)
	}
	major, _ := strconv.Atoi(match[1])
	minor, _ := strconv.Atoi(match[2])
	version := match[1] + "." + match[2] + match[3]
	if major < r.major || major == r.major && minor < r.minor {
		return "", fmt.Errorf("debian %s has %s %s, but %d.%d or newer is needed: %s", debian.Suite, r.program, version, r.major, r.minor, r.reason)
	}
	if r.sameMajor && major > r.major {
		return "", fmt.Errorf("debian %s has %s %s, but major version %d is needed: %s", debian.Suite, r.program, version, r.major, r.reason)
	}
	return version, nil
}
