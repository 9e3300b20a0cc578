#!/bin/sh
# Run by k3d's entry point before k3s, at every start of the node. Files in config-v3.toml.d are to be merged into
# containerd's configuration: it is the only way to give an option to a runtime that k3s's base template defines. k3s
# names the directory itself since early 2026; for an older one the template has to, and it is in a volume.
set -o errexit

config=/var/lib/rancher/k3s/agent/etc/containerd
if ! grep -q 'config-v3\.toml\.d' "$(command -v k3s)" "$config/config-v3.toml.tmpl"; then
  sed -i "1i imports = [\"$config/config-v3.toml.d/*.toml\"]" "$config/config-v3.toml.tmpl"
fi
