#!/bin/sh
# Run by k3d's entry point (it runs every /bin/k3d-entrypoint-*.sh) before k3s: /run is a fresh tmpfs by then.
set -o errexit

# containerd's socket, where tools other than k3s's own look for it.
mkdir -p /run/containerd
ln -sfn /run/k3s/containerd/containerd.sock /run/containerd/containerd.sock

# Imported by k3s at start. In a volume, so it cannot be in the image.
mkdir -p /var/lib/rancher/k3s/agent/images
cp /usr/share/k3s/images/pause.tar /var/lib/rancher/k3s/agent/images/cedana-e2e-pause.tar
