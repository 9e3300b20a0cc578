package supervisor

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// bootstrapToken is what Kubernetes knows the cluster's token as: it wants six and sixteen characters, while k3d's tokens are of any
// form. Both ends derive the same from the token; the token itself never leaves the node.
type bootstrapToken struct {
	id     string
	secret string
}

func deriveToken(token string) bootstrapToken {
	part := func(use string, n int) string {
		mac := hmac.New(sha256.New, []byte(token))
		mac.Write([]byte(use))
		return hex.EncodeToString(mac.Sum(nil))[:n]
	}
	return bootstrapToken{id: part("k3s bootstrap token id", 6), secret: part("k3s bootstrap token secret", 16)}
}

// bearer is the token as a client sends it.
func (t bootstrapToken) bearer() string { return t.id + "." + t.secret }

// serverToken returns the given token, or the one in file, or makes one. It is kept in file, where k3s keeps it.
func serverToken(given, file string) (string, error) {
	if given == "" {
		content, err := os.ReadFile(file)
		if err == nil {
			return strings.TrimSpace(string(content)), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("read token: %w", err)
		}
		random := make([]byte, 16)
		if _, err := rand.Read(random); err != nil {
			return "", fmt.Errorf("make token: %w", err)
		}
		given = hex.EncodeToString(random)
	}
	if err := writeFile(file, []byte(given+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep token: %w", err)
	}
	return given, nil
}
