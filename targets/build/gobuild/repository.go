package gobuild

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ModulePath is this repository's main module.
const ModulePath = "github.com/cedana/cedana-e2e"

// Root is the directory of this repository's main module: the first one with its go.mod, from the working
// directory upwards. Mage runs in it, tests in their package's directory.
func Root() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		module, err := moduleOf(filepath.Join(dir, "go.mod"))
		if err != nil {
			return "", fmt.Errorf("find the repository: %w", err)
		}
		if module == ModulePath {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("find the repository: no go.mod of %s in %s or above; run from inside a clone", ModulePath, start)
		}
	}
}

// moduleOf is the module path in a go.mod, or nothing when there is no such file.
func moduleOf(path string) (string, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if module, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), "module "); ok {
			return strings.Trim(strings.TrimSpace(module), `"`), nil
		}
	}
	return "", lines.Err()
}
