package supervisor

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCapabilitiesAreReadFromTheStatus(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]bool{
		"Name:\tk3s\nCapEff:\t000001ffffffffff\n": true,
		"Name:\tk3s\nCapEff:\t000001fffeffffff\n": false,
	} {
		got, err := hasCapability(status, 24)
		if err != nil || got != want {
			t.Errorf("%q: got %t, %v; want %t", status, got, err, want)
		}
	}
	for _, status := range []string{"", "CapEff:\tzz\n"} {
		if _, err := hasCapability(status, 24); err == nil {
			t.Errorf("%q: no error", status)
		}
	}
}

func TestPodsDoNotGetANameServerThatTheyCannotReach(t *testing.T) {
	t.Parallel()
	for content, usable := range map[string]bool{
		"nameserver 172.18.0.1\noptions ndots:0\n":         true,
		"nameserver 127.0.0.11\n":                          false,
		"nameserver 10.0.0.2\nnameserver 127.0.0.53\n":     false,
		"# nothing here\nsearch example.test\n":            false,
		"nameserver nonsense\n":                            false,
		"search x\nnameserver 8.8.8.8\nnameserver ::1\n":   false,
		"nameserver 8.8.8.8\nnameserver 2001:4860::8888\n": true,
	} {
		dir := t.TempDir()
		system, generated := filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "generated")
		if err := os.WriteFile(system, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := podResolvConf(system, generated)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]string{true: system, false: generated}[usable]; got != want {
			t.Errorf("%q: pods get %s, want %s", content, got, want)
		}
	}
}
