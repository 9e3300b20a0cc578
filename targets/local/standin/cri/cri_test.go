package cri

import (
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

// serving is a socket that answers every call with a message, or with a status other than 0 and none.
func serving(t *testing.T, message []byte, status string) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	require.NoError(t, err)
	server := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, _ := io.ReadAll(r.Body)
		assert.Equal(t, "application/grpc", r.Header.Get("Content-Type"))
		assert.Equal(t, "/runtime.v1.RuntimeService/ContainerStatus", r.URL.Path)
		assert.Equal(t, append([]byte{0, 0, 0, 0, 4, 0x0a, 2}, "id"...), asked)
		w.Header().Set("Content-Type", "application/grpc")
		if status != "0" {
			w.Header().Set("Grpc-Status", status)
			w.Header().Set("Grpc-Message", "no such container")
			return
		}
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = w.Write(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...))
		w.Header().Set("Grpc-Status", "0")
	})}
	server.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return socket
}

func bytesField(number protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
}

func TestTheImageOfAContainerIsReadFromItsStatus(t *testing.T) {
	status := bytesField(1, []byte("id"))
	status = protowire.AppendVarint(protowire.AppendTag(status, 3, protowire.VarintType), 1)
	status = append(status, bytesField(9, []byte("registry/name@sha256:abc"))...)
	t.Setenv(AddressVariable, serving(t, bytesField(1, status), "0"))
	image, err := ImageRef(t.Context(), "id")
	require.NoError(t, err)
	require.Equal(t, "registry/name@sha256:abc", image)
}

func TestAnErrorOfContainerdIsPassedOn(t *testing.T) {
	t.Setenv(AddressVariable, serving(t, nil, "5"))
	_, err := ImageRef(t.Context(), "id")
	require.ErrorContains(t, err, "container id: status 5: no such container")
	t.Setenv(AddressVariable, serving(t, []byte{0x0a, 9, 1}, "0"))
	_, err = ImageRef(t.Context(), "id")
	require.ErrorContains(t, err, "read containerd's answer")
	t.Setenv(AddressVariable, "")
	_, err = ImageRef(t.Context(), "id")
	require.ErrorContains(t, err, AddressVariable)
}
