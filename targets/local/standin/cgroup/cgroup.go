// Package cgroup knows which version of cgroups a node has.
package cgroup

import "golang.org/x/sys/unix"

// Root is where cgroups are mounted.
const Root = "/sys/fs/cgroup"

// Unified reports whether cgroups are of the second version alone: one hierarchy, and namespaces for containers.
func Unified() bool {
	var fs unix.Statfs_t
	return unix.Statfs(Root, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC
}
