package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// OwnerFile is the name, in E2E_HOME, of the file with the owner's id.
const OwnerFile = "owner"

var ownerForm = regexp.MustCompile(`^[0-9a-f]{16}$`)

// Owner is [OwnerOf] this run's E2E_HOME.
func (r Run) Owner() string { return OwnerOf(r.Home) }

// OwnerOf is the random id of an E2E_HOME. It is on the labels of all that is made from there in a Docker engine, which
// several users may share: what bears another's is another's. Empty where nothing was made from there yet.
func OwnerOf(home string) string {
	text, err := os.ReadFile(filepath.Join(home, OwnerFile))
	id := strings.TrimSpace(string(text))
	if err != nil || !ownerForm.MatchString(id) {
		return ""
	}
	return id
}

// KeepOwner gives an E2E_HOME its id where it has none. It is called before anything is made, and of several processes
// at once all get the same.
func KeepOwner(home string) (err error) {
	if OwnerOf(home) != "" {
		return nil
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return fmt.Errorf("make E2E_HOME: %w", err)
	}
	file, err := os.CreateTemp(home, OwnerFile+"-")
	if err != nil {
		return fmt.Errorf("write the owner's id: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }()
	_, err = fmt.Fprintln(file, randomID()+randomID())
	err = errors.Join(err, file.Chmod(0o644), file.Sync(), file.Close())
	if err == nil {
		// Unlike a rename it does not replace what another process was faster to write.
		err = os.Link(file.Name(), filepath.Join(home, OwnerFile))
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write the owner's id: %w", err)
	}
	if OwnerOf(home) == "" {
		return fmt.Errorf("read the owner's id: %s is damaged: remove it, and what it has made by ALL_OWNERS=1 go tool mage clean", filepath.Join(home, OwnerFile))
	}
	return nil
}

// RemoveOwner removes an E2E_HOME in which nothing, or nothing but its id, is left.
func RemoveOwner(home string) {
	entries, err := os.ReadDir(home)
	if err == nil && len(entries) == 1 && entries[0].Name() == OwnerFile {
		// What fails is tried again by the next clean.
		_ = os.Remove(filepath.Join(home, OwnerFile))
	}
	// Fails where there is something in it.
	_ = os.Remove(home)
}
