package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"

	"github.com/cedana/cedana-e2e/targets/console"
)

func TestUntil(t *testing.T) {
	t.Parallel()
	t.Run("repeats until done", func(t *testing.T) {
		t.Parallel()
		n := 0
		require.NoError(t, until(t.Context(), &console.Step{}, "x", func(context.Context) (bool, string, error) {
			n++
			return n == 3, "", nil
		}))
		assert.Equal(t, 3, n)
	})
	t.Run("names the wait and the last state when time is up", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := until(ctx, &console.Step{}, "the API", func(context.Context) (bool, string, error) { return false, "refused", nil })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.EqualError(t, err, "wait for the API: context deadline exceeded; last state: refused")
	})
	t.Run("keeps the state before an attempt that the deadline cut short", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		first := true
		err := until(ctx, &console.Step{}, "the API", func(ctx context.Context) (bool, string, error) {
			if first {
				first = false
				return false, "refused", nil
			}
			<-ctx.Done()
			return false, ctx.Err().Error(), nil
		})
		assert.ErrorContains(t, err, "last state: refused")
	})
	t.Run("ends at once with an error for good", func(t *testing.T) {
		t.Parallel()
		err := until(t.Context(), &console.Step{}, "x", func(context.Context) (bool, string, error) { return false, "", io.ErrUnexpectedEOF })
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
	t.Run("says why it was cancelled", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("node n is exited"))
		err := until(ctx, &console.Step{}, "x", func(context.Context) (bool, string, error) { return false, "", nil })
		assert.ErrorContains(t, err, "wait for x: node n is exited")
	})
}

func node(name string, status corev1.ConditionStatus) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{
			{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse},
			{Type: corev1.NodeReady, Status: status, Reason: "KubeletNotReady", Message: "cni plugin not initialized"},
		}},
	}
}

func TestNodesReady(t *testing.T) {
	t.Parallel()
	names := []string{"a", "b"}
	ready, state, err := nodesReady(t.Context(), fake.NewClientset(node("a", corev1.ConditionTrue), node("b", corev1.ConditionTrue)), names)
	require.NoError(t, err)
	assert.True(t, ready)
	assert.Empty(t, state)

	ready, state, err = nodesReady(t.Context(), fake.NewClientset(node("a", corev1.ConditionFalse)), names)
	require.NoError(t, err)
	assert.False(t, ready)
	assert.Equal(t, "a Ready=False KubeletNotReady: cni plugin not initialized; b has not registered", state)
}

func TestAnswersSaysWhichCheckFails(t *testing.T) {
	t.Parallel()
	ready := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "/readyz", r.URL.Path)
		if !ready {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n")
		}
	}))
	t.Cleanup(server.Close)
	api, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	require.NoError(t, err)
	done, state, err := answers(t.Context(), api)
	require.NoError(t, err)
	assert.False(t, done)
	assert.Equal(t, "[-]etcd failed: reason withheld", state)

	ready = true
	done, _, err = answers(t.Context(), api)
	require.NoError(t, err)
	assert.True(t, done)
}

func TestAKubeconfigIsReadByItsPathAlone(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "users-own"))
	_, err := kubeClient(filepath.Join(t.TempDir(), "missing"), "k3d-a")
	require.ErrorContains(t, err, "missing")
	assert.NotContains(t, err.Error(), "users-own")
}

func answer(t *testing.T, m dnsmessage.Message) []byte {
	t.Helper()
	body, err := m.Pack()
	require.NoError(t, err)
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(body))), body...)
}

func TestDNSAnswer(t *testing.T) {
	t.Parallel()
	name := dnsmessage.MustNewName(lookupName)
	good := answer(t, dnsmessage.Message{Header: dnsmessage.Header{Response: true}, Answers: []dnsmessage.Resource{{
		Header: dnsmessage.ResourceHeader{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET},
		Body:   &dnsmessage.AResource{A: [4]byte{10, 43, 0, 1}},
	}}})
	completed := 0
	a := &dnsAnswer{complete: func() { completed++ }}
	// It comes in pieces.
	for _, b := range good {
		_, ok := a.message()
		require.False(t, ok)
		_, err := a.Write([]byte{b})
		require.NoError(t, err)
	}
	assert.Equal(t, 1, completed)
	body, ok := a.message()
	require.True(t, ok)
	got, err := firstAddress(body)
	require.NoError(t, err)
	assert.Equal(t, netip.MustParseAddr("10.43.0.1"), got)

	_, err = firstAddress(answer(t, dnsmessage.Message{Header: dnsmessage.Header{RCode: dnsmessage.RCodeNameError}})[2:])
	require.ErrorContains(t, err, "NameError")
	_, err = firstAddress(answer(t, dnsmessage.Message{})[2:])
	require.ErrorContains(t, err, "without an address")
	_, err = firstAddress([]byte("no"))
	require.ErrorContains(t, err, "decode DNS answer")
}

func TestDNSQueryAsksForTheName(t *testing.T) {
	t.Parallel()
	query, err := dnsQuery(lookupName)
	require.NoError(t, err)
	require.Equal(t, len(query)-2, int(binary.BigEndian.Uint16(query)))
	var m dnsmessage.Message
	require.NoError(t, m.Unpack(query[2:]))
	assert.Equal(t, lookupName, m.Questions[0].Name.String())
	assert.Equal(t, dnsmessage.TypeA, m.Questions[0].Type)
}

// Until the service has an endpoint, connections to it are refused.
func TestAskOverTCPTriesAgainAndSaysWhy(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("bash not found: install bash")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	host, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	ask := func() ([]byte, error) {
		return exec.CommandContext(t.Context(), "bash", "-c", askOverTCP, "bash", host, port, "hello").CombinedOutput()
	}
	out, err := ask()
	require.Error(t, err)
	require.Contains(t, string(out), "Connection refused")

	go func() {
		time.Sleep(300 * time.Millisecond)
		late, err := net.Listen("tcp", net.JoinHostPort(host, port))
		if err != nil {
			return // and the question fails
		}
		defer late.Close()
		if conn, err := late.Accept(); err == nil {
			_, _ = io.CopyN(conn, conn, 5)
			_ = conn.Close()
		}
	}()
	out, err = ask()
	require.NoError(t, err, "%s", out)
	require.Equal(t, "hello", string(out))
}

// TestAskOverTCP runs the shell text that is meant for a node here, against a server that keeps the connection open.
func TestAskOverTCP(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("bash not found: install bash")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	query := []byte("\x00\x04%s\\\n")
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		got := make([]byte, len(query))
		if _, err := io.ReadFull(conn, got); err == nil {
			_, _ = conn.Write(got)
		}
	}()
	host, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	echo := &dnsAnswer{complete: cancel}
	cmd := exec.CommandContext(ctx, "bash", "-c", askOverTCP, "bash", host, port, escape(query))
	cmd.Stdout = echo
	_ = cmd.Run() // ends by the cancel above
	body, ok := echo.message()
	require.True(t, ok, "no answer came back")
	assert.Equal(t, query[2:6], body)
}
