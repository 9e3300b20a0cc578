package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// lookupName is what is resolved: the API's service, which every cluster has. k3s's cluster domain is cluster.local.
const lookupName = "kubernetes.default.svc.cluster.local."

// resolves waits until the cluster's DNS service, asked on each node at its service address, gives the API service's
// address. That takes CoreDNS, its endpoints and kube-proxy on that node.
func (m *maker) resolves(ctx context.Context, step *console.Step, api kubernetes.Interface, nodes []string) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, node := range nodes {
		all.Go(func() error {
			return until(ctx, step, "cluster DNS on "+node, func(ctx context.Context) (bool, string, error) {
				server, err := serviceAddress(ctx, api, metav1.NamespaceSystem, "kube-dns")
				if err != nil {
					return false, err.Error(), nil
				}
				want, err := serviceAddress(ctx, api, metav1.NamespaceDefault, "kubernetes")
				if err != nil {
					return false, err.Error(), nil
				}
				got, err := m.lookup(ctx, node, server, lookupName)
				if err != nil {
					return false, err.Error(), nil
				}
				return got == want, fmt.Sprintf("%s gave %s for %s, not %s", server, got, lookupName, want), nil
			})
		})
	}
	return all.Wait()
}

func serviceAddress(ctx context.Context, api kubernetes.Interface, namespace, name string) (netip.Addr, error) {
	service, err := api.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return netip.Addr{}, err
	}
	addr, err := netip.ParseAddr(service.Spec.ClusterIP)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("address of service %s/%s: %w", namespace, name, err)
	}
	return addr, nil
}

// askOverTCP is run on the node by bash: it sends $3 (with printf's escapes) to TCP port $2 of $1 and prints what comes
// back. A node image has bash, but no program for DNS. While nobody listens it tries again, for a second and a half: to be
// run again takes an engine half a second. What was wrong the last time it says.
const askOverTCP = `
for try in {1..15}; do { exec 3<>"/dev/tcp/$1/$2"; } 2>/dev/null && break; sleep 0.1; done
{ true >&3; } 2>/dev/null || exec 3<>"/dev/tcp/$1/$2" && printf "$3" >&3 && exec cat <&3`

// escape writes each byte as printf's escape: an argument cannot hold a zero.
func escape(data []byte) string {
	var text strings.Builder
	for _, b := range data {
		fmt.Fprintf(&text, `\x%02x`, b)
	}
	return text.String()
}

// lookupLimit is for one question on a node.
const lookupLimit = 2 * time.Second

// lookup asks the server for an A record of name, from within the node's network.
func (m *maker) lookup(ctx context.Context, node string, server netip.Addr, name string) (netip.Addr, error) {
	query, err := dnsQuery(name)
	if err != nil {
		return netip.Addr{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The server keeps the connection open, so the answer is read as far as its length says and the rest is left to
	// the time limit on the node.
	answer := &dnsAnswer{complete: cancel}
	limit := strconv.FormatFloat(stretch.Limit(lookupLimit).Seconds(), 'f', -1, 64)
	err = docker.Exec(ctx, m.engine, node, nil, answer, "timeout", limit, "bash", "-c", askOverTCP, "bash", server.String(), "53", escape(query))
	if body, ok := answer.message(); ok {
		return firstAddress(body)
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return netip.Addr{}, fmt.Errorf("ask %s for %s on %s: %w", server, name, node, err)
}

// dnsQuery is the query with the length in front that DNS over TCP has (RFC 1035, 4.2.2).
func dnsQuery(name string) ([]byte, error) {
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return nil, fmt.Errorf("encode DNS name %s: %w", name, err)
	}
	body, err := (&dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 1, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: n, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}).Pack()
	if err != nil {
		return nil, fmt.Errorf("encode DNS query for %s: %w", name, err)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(body))), body...), nil
}

// dnsAnswer collects an answer and says when it is complete.
type dnsAnswer struct {
	buf      bytes.Buffer
	complete func()
}

func (a *dnsAnswer) Write(p []byte) (int, error) {
	a.buf.Write(p)
	if _, ok := a.message(); ok {
		a.complete()
	}
	return len(p), nil
}

func (a *dnsAnswer) message() ([]byte, bool) {
	data := a.buf.Bytes()
	if len(data) < 2 {
		return nil, false
	}
	length := int(binary.BigEndian.Uint16(data))
	if len(data) < 2+length {
		return nil, false
	}
	return data[2 : 2+length], true
}

func firstAddress(body []byte) (netip.Addr, error) {
	var message dnsmessage.Message
	if err := message.Unpack(body); err != nil {
		return netip.Addr{}, fmt.Errorf("decode DNS answer: %w", err)
	}
	for _, answer := range message.Answers {
		if a, ok := answer.Body.(*dnsmessage.AResource); ok {
			return netip.AddrFrom4(a.A), nil
		}
	}
	if message.RCode != dnsmessage.RCodeSuccess {
		return netip.Addr{}, errors.New("DNS answer " + message.RCode.String())
	}
	return netip.Addr{}, errors.New("DNS answer without an address")
}
