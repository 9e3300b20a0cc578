package supervisor

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// Kubernetes approves a node's client certificates by itself. It leaves two requests of an agent to somebody who knows the cluster: the
// kubelet's serving certificate and kube-proxy's client certificate.

const kubeProxyUser = "system:kube-proxy"

// errNotOurs means that a request is for somebody else to decide.
var errNotOurs = errors.New("not a request that the server decides")

// judge says whether a request may be granted: nil for yes, errNotOurs for leave it alone, anything else for not (yet).
func judge(csr *certificatesv1.CertificateSigningRequest, nodeNamed func(string) (*corev1.Node, error)) error {
	switch csr.Spec.SignerName {
	case certificatesv1.KubeletServingSignerName:
		return judgeServing(csr, nodeNamed)
	case certificatesv1.KubeAPIServerClientSignerName:
		return judgeKubeProxy(csr)
	}
	return errNotOurs
}

// judgeServing grants a node a certificate for its own name and addresses, and nothing else.
func judgeServing(csr *certificatesv1.CertificateSigningRequest, nodeNamed func(string) (*corev1.Node, error)) error {
	name, ok := strings.CutPrefix(csr.Spec.Username, "system:node:")
	if !ok || !slices.Contains(csr.Spec.Groups, "system:nodes") {
		return fmt.Errorf("%s is no node", csr.Spec.Username)
	}
	request, err := parseRequest(csr.Spec.Request)
	if err != nil {
		return err
	}
	if request.Subject.CommonName != csr.Spec.Username || !slices.Equal(request.Subject.Organization, []string{"system:nodes"}) {
		return fmt.Errorf("%s asks for a certificate of %s", csr.Spec.Username, request.Subject)
	}
	if len(request.EmailAddresses) > 0 || len(request.URIs) > 0 {
		return fmt.Errorf("%s asks for more than names and addresses", csr.Spec.Username)
	}
	node, err := nodeNamed(name)
	if err != nil {
		return fmt.Errorf("look up node %s: %w", name, err)
	}
	own := []string{name}
	for _, a := range node.Status.Addresses {
		own = append(own, a.Address)
	}
	for _, dns := range request.DNSNames {
		if !slices.Contains(own, dns) {
			return fmt.Errorf("%s asks for the name %s, which is not its own", csr.Spec.Username, dns)
		}
	}
	for _, ip := range request.IPAddresses {
		a, _ := netip.AddrFromSlice(ip)
		if !slices.Contains(own, a.Unmap().String()) {
			return fmt.Errorf("%s asks for the address %s, which is not its own", csr.Spec.Username, ip)
		}
	}
	return nil
}

// judgeKubeProxy grants whoever joins with the cluster's token a certificate of kube-proxy.
func judgeKubeProxy(csr *certificatesv1.CertificateSigningRequest) error {
	if !slices.Contains(csr.Spec.Groups, agentsGroup) {
		return errNotOurs
	}
	request, err := parseRequest(csr.Spec.Request)
	if err != nil {
		return err
	}
	if request.Subject.CommonName != kubeProxyUser || len(request.Subject.Organization) > 0 {
		return fmt.Errorf("%s asks for a certificate of %s", csr.Spec.Username, request.Subject)
	}
	if len(request.DNSNames)+len(request.IPAddresses)+len(request.EmailAddresses)+len(request.URIs) > 0 {
		return fmt.Errorf("%s asks for names in a client certificate", csr.Spec.Username)
	}
	if !slices.Contains(csr.Spec.Usages, certificatesv1.UsageClientAuth) || slices.Contains(csr.Spec.Usages, certificatesv1.UsageServerAuth) {
		return fmt.Errorf("%s asks for usages %v", csr.Spec.Username, csr.Spec.Usages)
	}
	return nil
}

func parseRequest(content []byte) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("the request is not PEM")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse request: %w", err)
	}
	return request, nil
}

// approveAgents decides the requests of agents until ctx ends. One that cannot be granted yet (the node's addresses are not known) is
// looked at again for a minute.
func approveAgents(ctx context.Context, client kubernetes.Interface, log *slog.Logger) error {
	requests := client.CertificatesV1().CertificateSigningRequests()
	nodeNamed := func(name string) (*corev1.Node, error) {
		return client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	}
	list, err := requests.List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list certificate requests: %w", err)
	}
	decide := func(csr *certificatesv1.CertificateSigningRequest) {
		if len(csr.Status.Conditions) > 0 {
			return
		}
		go func() {
			err := approve(ctx, client, csr, nodeNamed)
			switch {
			case errors.Is(err, errNotOurs), ctx.Err() != nil:
			case err != nil:
				log.Warn("certificate request left undecided", "request", csr.Name, "signer", csr.Spec.SignerName, "by", csr.Spec.Username, "reason", err)
			default:
				log.Info("Approved certificate request", "request", csr.Name, "signer", csr.Spec.SignerName, "by", csr.Spec.Username)
			}
		}()
	}
	for i := range list.Items {
		decide(&list.Items[i])
	}
	watcher, err := watchtools.NewRetryWatcherWithContext(ctx, list.ResourceVersion, &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return requests.Watch(ctx, o)
		},
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return requests.List(ctx, o) },
	})
	if err != nil {
		return fmt.Errorf("watch certificate requests: %w", err)
	}
	defer watcher.Stop()
	for event := range watcher.ResultChan() {
		if csr, ok := event.Object.(*certificatesv1.CertificateSigningRequest); ok && event.Type == watch.Added {
			decide(csr)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("watch certificate requests: the watch ended")
}

func approve(ctx context.Context, client kubernetes.Interface, csr *certificatesv1.CertificateSigningRequest, nodeNamed func(string) (*corev1.Node, error)) error {
	deadline := time.Now().Add(time.Minute)
	for {
		err := judge(csr, nodeNamed)
		if err == nil {
			break
		}
		if errors.Is(err, errNotOurs) || time.Now().After(deadline) {
			return err
		}
		if stop := pause(ctx, 200*time.Millisecond); stop != nil {
			return stop
		}
	}
	csr = csr.DeepCopy()
	csr.Status.Conditions = append(csr.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type:    certificatesv1.CertificateApproved,
		Status:  corev1.ConditionTrue,
		Reason:  "AutoApproved",
		Message: "k3s server: an agent asks for its own certificate",
	})
	_, err := client.CertificatesV1().CertificateSigningRequests().UpdateApproval(ctx, csr.Name, csr, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil // decided by another, or withdrawn
	}
	return err
}
