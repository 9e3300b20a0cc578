package supervisor

import (
	"fmt"
	"os"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/cedana/cedana-e2e/node/kubernetes/pki"
)

// kubeconfigFor describes access to server by the certificate pair. With embed the files' content goes in, for use elsewhere; else
// their names, so that a renewed certificate is found.
func kubeconfigFor(server, caFile string, pair pki.Pair, embed bool) (*clientcmdapi.Config, error) {
	cluster := &clientcmdapi.Cluster{Server: server, CertificateAuthority: caFile}
	user := &clientcmdapi.AuthInfo{ClientCertificate: pair.Cert, ClientKey: pair.Key}
	if embed {
		for _, f := range []struct {
			name *string
			data *[]byte
		}{
			{&cluster.CertificateAuthority, &cluster.CertificateAuthorityData},
			{&user.ClientCertificate, &user.ClientCertificateData},
			{&user.ClientKey, &user.ClientKeyData},
		} {
			content, err := os.ReadFile(*f.name)
			if err != nil {
				return nil, fmt.Errorf("make kubeconfig: %w", err)
			}
			*f.data, *f.name = content, ""
		}
	}
	return oneContext(cluster, user), nil
}

// oneContext names everything "default", as k3s does and k3d expects.
func oneContext(cluster *clientcmdapi.Cluster, user *clientcmdapi.AuthInfo) *clientcmdapi.Config {
	config := clientcmdapi.NewConfig()
	config.Clusters["default"] = cluster
	config.AuthInfos["default"] = user
	config.Contexts["default"] = &clientcmdapi.Context{Cluster: "default", AuthInfo: "default"}
	config.CurrentContext = "default"
	return config
}

func writeKubeconfig(file string, config *clientcmdapi.Config, mode os.FileMode) error {
	content, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("write kubeconfig %s: %w", file, err)
	}
	if err := writeFile(file, content, mode); err != nil {
		return fmt.Errorf("write kubeconfig %s: %w", file, err)
	}
	return nil
}

// restConfig reads a kubeconfig for the supervisor's own use, without the client's default limit of 5 requests a second.
func restConfig(file string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig %s: %w", file, err)
	}
	config.QPS, config.Burst = 100, 200
	config.UserAgent = "k3s-supervisor"
	return config, nil
}
