// Package supervisor runs the programs of a node, server or agent, and keeps them running.
package supervisor

// Where things are on a node. They are k3s's paths, because tools look for them there.
const (
	dataDir     = "/var/lib/rancher/k3s"
	serverDir   = dataDir + "/server"
	tlsDir      = serverDir + "/tls"
	etcdDir     = serverDir + "/db/etcd"
	manifestDir = serverDir + "/manifests"
	credDir     = serverDir + "/cred"
	agentDir    = dataDir + "/agent"

	containerdConfigDir = agentDir + "/etc/containerd"
	cniConfigDir        = agentDir + "/etc/cni/net.d"
	containerdState     = "/run/k3s/containerd"
	// ContainerdSocket is where containerd listens.
	ContainerdSocket = containerdState + "/containerd.sock"

	// AdminKubeconfig is the administrator's access, on servers only.
	AdminKubeconfig = "/etc/rancher/k3s/k3s.yaml"
	logDir          = "/var/log/k3s"

	// importedImages are tarballs that a cluster's user adds; bakedImages come with the node image.
	importedImages = agentDir + "/images"
	bakedImages    = "/usr/share/k3s/images"

	// PauseImage holds every pod's namespaces; the node image brings it in bakedImages.
	PauseImage = "cedana-e2e.local/pause:1"
)
