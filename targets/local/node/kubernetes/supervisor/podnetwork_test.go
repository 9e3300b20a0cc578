package supervisor

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func node(name, pods, ip string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDR: pods}}
	if ip != "" {
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeInternalIP, Address: ip}}
	}
	return n
}

func TestRoutesGoToEveryOtherNodeThatIsKnownEnough(t *testing.T) {
	t.Parallel()
	got := routesTo([]*corev1.Node{
		node("self", "10.42.0.0/24", "172.18.0.2"),
		node("other", "10.42.1.0/24", "172.18.0.3"),
		node("without pods yet", "", "172.18.0.4"),
		node("without address yet", "10.42.3.0/24", ""),
	}, "self")
	want := []route{{netip.MustParsePrefix("10.42.1.0/24"), netip.MustParseAddr("172.18.0.3")}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPodsGetAddressesOfTheirNodesShare(t *testing.T) {
	t.Parallel()
	content, err := cniConfig(netip.MustParsePrefix("10.42.7.0/24"))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		CNIVersion string
		Plugins    []struct {
			Type string
			IPAM struct {
				Type   string
				Ranges [][]struct{ Subnet string }
			}
		}
	}
	if err := json.Unmarshal(content, &config); err != nil {
		t.Fatal(err)
	}
	if len(config.Plugins) != 2 || config.Plugins[0].Type != "ptp" || config.Plugins[1].Type != "portmap" {
		t.Fatalf("plugins: %s", content)
	}
	if got := config.Plugins[0].IPAM.Ranges[0][0].Subnet; got != "10.42.7.0/24" {
		t.Errorf("subnet is %s", got)
	}
}

func TestOnlyAddressesMatterToTheNetwork(t *testing.T) {
	t.Parallel()
	before, after := node("n", "10.42.0.0/24", "172.18.0.2"), node("n", "10.42.0.0/24", "172.18.0.2")
	after.Labels = map[string]string{"a": "b"}
	if addressing(before) != addressing(after) {
		t.Error("a label's change looks like a new address")
	}
	if addressing(before) == addressing(node("n", "10.42.0.0/24", "172.18.0.9")) {
		t.Error("a new address looks like none")
	}
}
