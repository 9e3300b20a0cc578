// Package cri asks a node's containerd by the kubelet's interface to it. It has the one call that is made here: the gRPC
// library would make each start of the runtime wrapper dearer, of which a container has several.
package cri

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"google.golang.org/protobuf/encoding/protowire"
)

// AddressVariable has containerd's socket in the environment of its shims, and so of what they start.
const AddressVariable = "GRPC_ADDRESS"

// Fields of runtime.v1's messages.
const (
	requestID      protowire.Number = 1 // ContainerStatusRequest.container_id
	responseStatus protowire.Number = 1 // ContainerStatusResponse.status
	statusImageRef protowire.Number = 9 // ContainerStatus.image_ref
)

// mostBytes is what is read of an answer.
const mostBytes = 4 << 20

// ImageRef is the image that a container was made of, by its digest; it is what the pod's status has as imageID.
func ImageRef(ctx context.Context, containerID string) (string, error) {
	socket := os.Getenv(AddressVariable)
	if socket == "" {
		return "", fmt.Errorf("find the image of container %s: %s, containerd's socket, is not set", containerID, AddressVariable)
	}
	request := protowire.AppendString(protowire.AppendTag(nil, requestID, protowire.BytesType), containerID)
	response, err := call(ctx, socket, "/runtime.v1.RuntimeService/ContainerStatus", request)
	if err != nil {
		return "", fmt.Errorf("ask containerd for container %s: %w", containerID, err)
	}
	status, err := field(response, responseStatus)
	if err != nil {
		return "", fmt.Errorf("read containerd's answer: %w", err)
	}
	image, err := field(status, statusImageRef)
	if err != nil {
		return "", fmt.Errorf("read containerd's answer: %w", err)
	}
	return string(image), nil
}

// call is one unary call of gRPC: a message in a frame, by HTTP/2 without TLS.
func call(ctx context.Context, socket, method string, message []byte) ([]byte, error) {
	transport := &http.Transport{
		Protocols: new(http.Protocols),
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://containerd"+method, bytes.NewReader(append(frame, message...)))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("TE", "trailers")
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, mostBytes))
	if err != nil {
		return nil, err
	}
	// An answer without a message has its status in the header.
	for _, from := range []http.Header{answer.Header, answer.Trailer} {
		if status := from.Get("Grpc-Status"); status != "" && status != "0" {
			return nil, fmt.Errorf("status %s: %s", status, from.Get("Grpc-Message"))
		}
	}
	if answer.StatusCode != http.StatusOK || len(body) < len(frame) || body[0] != 0 {
		return nil, fmt.Errorf("HTTP status %s, %d bytes: no message of gRPC", answer.Status, len(body))
	}
	return body[len(frame):], nil
}

// field is the content of a message's field of bytes; empty when the message does not have it.
func field(message []byte, number protowire.Number) ([]byte, error) {
	for len(message) > 0 {
		n, kind, length := protowire.ConsumeField(message)
		if length < 0 {
			return nil, protowire.ParseError(length)
		}
		if n == number {
			if kind != protowire.BytesType {
				return nil, errors.New("a field is of another type")
			}
			_, _, tag := protowire.ConsumeTag(message)
			content, _ := protowire.ConsumeBytes(message[tag:])
			return content, nil
		}
		message = message[length:]
	}
	return nil, nil
}
