package node

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/cedana/cedana-e2e/targets/local/image"
	"github.com/cedana/cedana-e2e/targets/local/image/debian"
)

// assemble writes the root file system of packages as a layer's archive. The packages' scripts are not run, since that
// would take root, an emulated system and most of the time; what they would have made that a node needs is in configured.
func assemble(ctx context.Context, w io.Writer, packages []debian.Package) error {
	archive := image.NewTar(w)
	material := map[string][]byte{}
	for _, p := range packages {
		err := p.Files(ctx, func(header *tar.Header, content io.Reader) error {
			header.Name = strings.TrimPrefix(path.Clean("/"+header.Name), "/")
			// A link in the root itself is one of those because of which files are somewhere else.
			if header.Typeflag != tar.TypeSymlink || strings.Contains(header.Name, "/") {
				header.Name = merged(header.Name)
			}
			if header.Typeflag == tar.TypeLink {
				header.Linkname = merged(header.Linkname)
			}
			if header.Name == "" || dropped(header.Name) {
				return nil
			}
			if isMaterial(header.Name) && header.Typeflag == tar.TypeReg {
				var err error
				if material[header.Name], err = io.ReadAll(content); err != nil {
					return err
				}
				content = bytes.NewReader(material[header.Name])
			}
			return archive.Copy(header, content)
		})
		if err != nil {
			return err
		}
	}
	entries, err := configured(material)
	if err != nil {
		return err
	}
	if err := archive.Add(entries...); err != nil {
		return err
	}
	return archive.Close()
}

// Files of packages from which their scripts make others.
const (
	users        = "usr/share/base-passwd/passwd.master"
	groups       = "usr/share/base-passwd/group.master"
	nameServices = "usr/share/libc-bin/nsswitch.conf"
	authorities  = "usr/share/ca-certificates/"
)

func isMaterial(path string) bool {
	return path == users || path == groups || path == nameServices || strings.HasPrefix(path, authorities) && strings.HasSuffix(path, ".crt")
}

// configured is what the packages' scripts would have made, as far as a node needs it.
func configured(material map[string][]byte) ([]image.Entry, error) {
	entries := []image.Entry{
		// Dash, Debian's own choice, kills k3d's entry point: it does `trap ... SIGTERM`, which dash does not know.
		image.Link("usr/bin/sh", "bash"),
		image.Link("usr/bin/awk", "mawk"),
		image.Link("usr/bin/which", "which.debianutils"),
		image.Link("var/run", "/run"), image.Link("var/lock", "/run/lock"),
		image.Dir("mnt", 0o755), image.Dir("opt", 0o755), image.Dir("usr/local/bin", 0o755),
	}
	for _, program := range []string{"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"} {
		family, action, _ := strings.Cut(program, "-")
		entries = append(entries, image.Link("usr/sbin/"+program, strings.TrimSuffix(family+"-nft-"+action, "-")))
	}
	for _, file := range []struct{ to, from string }{{"etc/passwd", users}, {"etc/group", groups}, {"etc/nsswitch.conf", nameServices}} {
		if len(material[file.from]) == 0 {
			return nil, fmt.Errorf("make /%s: no package of Debian %s has %s", file.to, debian.Suite, file.from)
		}
		entries = append(entries, image.Text(file.to, string(material[file.from])))
	}
	var certificates []string
	for name := range material {
		if strings.HasPrefix(name, authorities) {
			certificates = append(certificates, name)
		}
	}
	if len(certificates) == 0 {
		return nil, fmt.Errorf("make the list of certificate authorities: no package of Debian %s has one below %s", debian.Suite, authorities)
	}
	slices.Sort(certificates)
	var bundle bytes.Buffer
	for _, name := range certificates {
		bundle.Write(material[name])
	}
	return append(entries, image.Text("etc/ssl/certs/ca-certificates.crt", bundle.String())), nil
}

// plugins of containernetworking-plugins that a node uses, of 70 MB of them. (k3s brings its own.)
var plugins = []string{"firewall", "host-local", "loopback", "portmap", "ptp"}

// noUse are directories and files of packages that a node has no use for. Size is load time.
var noUse = []string{
	"usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian", "usr/share/bug",
	"usr/share/bash-completion", "usr/share/zsh", "usr/share/fish", "usr/share/gcc",
	"usr/bin/containerd-stress", "usr/bin/etcdutl", // programs of 20 MB each that nobody calls
	"usr/bin/sh", // see configured
}

// hosts are what the host or the engine makes.
var hosts = []string{"etc/machine-id", "etc/hostname", "etc/resolv.conf", "etc/hosts", ".dockerenv"}

// dropped says what of the packages is not in a node.
func dropped(file string) bool {
	for _, gone := range noUse {
		if file == gone || strings.HasPrefix(file, gone+"/") {
			return true
		}
	}
	dir, name := path.Split(file)
	return slices.Contains(hosts, file) || dir == "usr/lib/cni/" && !slices.Contains(plugins, name) ||
		strings.HasPrefix(file, "usr/lib/") && strings.Contains(file+"/", "/gconv/") // character sets
}
