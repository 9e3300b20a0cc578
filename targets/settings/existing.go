package settings

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
)

// chooseCluster is the value of CLUSTER_ID that means: one of those that are registered.
const chooseCluster = "existing"

// ExistingCluster is a Kubernetes cluster that was there before (E2E_CLUSTER=existing). A run puts its own objects into
// it and takes no other away.
type ExistingCluster struct {
	// Kubeconfig is a file, Context a context in it. Neither has a default: the wrong cluster must not be hit because
	// it happened to be the current one.
	Kubeconfig string
	Context    string
	// Images are pulled by the cluster itself. Counter is empty where no image was given; its tests are skipped then.
	ImageNginx, ImageCounter string
}

// name stands in for CLUSTER_NAME, so that what is remembered of one cluster is never taken for another's.
func (e *ExistingCluster) name() string {
	sum := sha256.Sum256([]byte(e.Kubeconfig + "\x00" + e.Context))
	return "existing-" + hex.EncodeToString(sum[:4])
}

func (c *Checker) existing(e environment) *ExistingCluster {
	if c.OneOf("E2E_CLUSTER", e.Cluster, "k3d", "existing") != "existing" {
		return nil
	}
	out := &ExistingCluster{
		Kubeconfig: e.Kubeconfig, Context: e.KubeContext,
		ImageNginx: e.ImageNginx, ImageCounter: e.ImageCounter,
	}
	if e.KubeContext == "" {
		c.Add("KUBECONTEXT", "must be set for E2E_CLUSTER=existing", "my-cluster")
	}
	if e.Kubeconfig == "" {
		c.Add("KUBECONFIG", "must be set for E2E_CLUSTER=existing", "/home/me/.kube/config")
		return out
	}
	out.Kubeconfig = c.Path("KUBECONFIG", e.Kubeconfig, "/home/me/.kube/config")
	if info, err := os.Stat(out.Kubeconfig); err != nil || !info.Mode().IsRegular() {
		c.Add("KUBECONFIG", fmt.Sprintf("%q is not a file that exists (a list of files is not taken)", e.Kubeconfig), "/home/me/.kube/config")
	}
	return out
}
