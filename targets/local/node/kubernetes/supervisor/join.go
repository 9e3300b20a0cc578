package supervisor

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	"k8s.io/cluster-bootstrap/token/jws"
)

const (
	agentsGroup    = "system:bootstrappers:k3s:agents"
	factsConfigMap = "k3s-cluster-facts"
	fieldManager   = "k3s-supervisor"
)

// allowJoin puts into the cluster what agents need to join it, as kubeadm does: the token, the authority's certificate signed with the
// token (so that an agent knows whom to trust before it trusts anybody), and the cluster's addresses.
func allowJoin(ctx context.Context, client kubernetes.Interface, token bootstrapToken, caPEM []byte, facts clusterFacts) error {
	apply := metav1.ApplyOptions{FieldManager: fieldManager, Force: true}

	secret := corev1apply.Secret(bootstrapapi.BootstrapTokenSecretPrefix+token.id, metav1.NamespaceSystem).
		WithType(bootstrapapi.SecretTypeBootstrapToken).
		WithStringData(map[string]string{
			bootstrapapi.BootstrapTokenIDKey:               token.id,
			bootstrapapi.BootstrapTokenSecretKey:           token.secret,
			bootstrapapi.BootstrapTokenUsageAuthentication: "true",
			bootstrapapi.BootstrapTokenExtraGroupsKey:      agentsGroup,
			bootstrapapi.BootstrapTokenDescriptionKey:      "agents of this cluster",
		})
	if _, err := client.CoreV1().Secrets(metav1.NamespaceSystem).Apply(ctx, secret, apply); err != nil {
		return fmt.Errorf("store bootstrap token: %w", err)
	}

	info, err := clusterInfo(token, caPEM)
	if err != nil {
		return err
	}
	public := corev1apply.ConfigMap(bootstrapapi.ConfigMapClusterInfo, metav1.NamespacePublic).WithData(info)
	if _, err := client.CoreV1().ConfigMaps(metav1.NamespacePublic).Apply(ctx, public, apply); err != nil {
		return fmt.Errorf("publish cluster information: %w", err)
	}

	content, err := json.Marshal(facts)
	if err != nil {
		return fmt.Errorf("encode cluster facts: %w", err)
	}
	shared := corev1apply.ConfigMap(factsConfigMap, metav1.NamespaceSystem).WithData(map[string]string{"facts": string(content)})
	if _, err := client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Apply(ctx, shared, apply); err != nil {
		return fmt.Errorf("publish cluster facts: %w", err)
	}
	return nil
}

// clusterInfo is the content of the ConfigMap cluster-info: a kubeconfig with the authority's certificate, and its signature.
func clusterInfo(token bootstrapToken, caPEM []byte) (map[string]string, error) {
	config := clientcmdapi.NewConfig()
	config.Clusters[""] = &clientcmdapi.Cluster{CertificateAuthorityData: caPEM}
	kubeconfig, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("encode cluster information: %w", err)
	}
	signature, err := jws.ComputeDetachedSignature(string(kubeconfig), token.id, token.secret)
	if err != nil {
		return nil, fmt.Errorf("sign cluster information: %w", err)
	}
	return map[string]string{
		bootstrapapi.KubeConfigKey:                    string(kubeconfig),
		bootstrapapi.JWSSignatureKeyPrefix + token.id: signature,
	}, nil
}

// authorityFrom takes the authority's certificate out of cluster information, if the token signed it.
func authorityFrom(info map[string]string, token bootstrapToken) ([]byte, error) {
	kubeconfig := info[bootstrapapi.KubeConfigKey]
	signature := info[bootstrapapi.JWSSignatureKeyPrefix+token.id]
	if kubeconfig == "" || signature == "" {
		return nil, fmt.Errorf("verify cluster information: it is not signed with this cluster's token: is K3S_TOKEN the server's?")
	}
	if !jws.DetachedTokenIsValid(signature, kubeconfig, token.id, token.secret) {
		return nil, fmt.Errorf("verify cluster information: the signature does not match the token: is K3S_TOKEN the server's?")
	}
	config, err := clientcmd.Load([]byte(kubeconfig))
	if err != nil {
		return nil, fmt.Errorf("read cluster information: %w", err)
	}
	cluster := config.Clusters[""]
	if cluster == nil || len(cluster.CertificateAuthorityData) == 0 {
		return nil, fmt.Errorf("read cluster information: no authority in it")
	}
	return cluster.CertificateAuthorityData, nil
}
