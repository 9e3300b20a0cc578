package image

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cedana/cedana-e2e/targets/atomicfile"
)

// proofExt is the end of the file beside an artifact that says what the artifact was when it was finished.
const proofExt = ".proof"

// proof is what an artifact is compared with before it is handed out. After a power cut a file can be there with its
// name and without its content, and a disk can be full or broken.
type proof struct {
	// Size is the sum of the files' lengths in bytes, SHA256 the digest of names and contents.
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// Boot is the machine's boot in which the digest was last found right: within one boot the length is enough, and
	// reading gigabytes at each run would cost seconds.
	Boot string `json:"boot"`
}

// seal makes the artifact last (fsync) and writes its proof, as that of the artifact's final path.
func seal(tmp, path string) error {
	if err := walk(tmp, func(path string, _ fs.DirEntry) error { return syncPath(path) }); err != nil {
		return fmt.Errorf("write %s to disk: %w", filepath.Base(path), err)
	}
	p, err := prove(tmp)
	if err != nil {
		return err
	}
	return p.write(path)
}

func (p proof) write(path string) error {
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode proof of %s: %w", filepath.Base(path), err)
	}
	return atomicfile.Write(path+proofExt, data, 0o644)
}

// sound reports whether the artifact is what it was when it was finished. One without a proof is not.
func sound(path string) (bool, error) {
	var want proof
	data, err := os.ReadFile(path + proofExt)
	if err != nil || json.Unmarshal(data, &want) != nil {
		return false, nil
	}
	size, err := length(path)
	if err != nil || size != want.Size {
		return false, nil // gone, or cut short: made anew either way
	}
	if want.Boot != "" && want.Boot == boot() {
		return true, nil
	}
	have, err := prove(path)
	if err != nil {
		return false, err
	}
	if have.SHA256 != want.SHA256 {
		return false, nil
	}
	return true, have.write(path)
}

func length(path string) (size int64, err error) {
	err = walk(path, func(_ string, entry fs.DirEntry) error {
		if !entry.Type().IsRegular() {
			return nil
		}
		info, err := entry.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}

func prove(path string) (proof, error) {
	p := proof{Boot: boot()}
	sum := sha256.New()
	err := walk(path, func(file string, entry fs.DirEntry) error {
		relative, err := filepath.Rel(path, file)
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "%q\n", relative)
		if !entry.Type().IsRegular() {
			return nil
		}
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		n, err := io.Copy(sum, f)
		p.Size += n
		return err
	})
	if err != nil {
		return p, fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	p.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return p, nil
}

// walk calls do for the file, or for the directory and all that is in it, in lexical order.
func walk(path string, do func(path string, entry fs.DirEntry) error) error {
	return filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return do(path, entry)
	})
}

func syncPath(path string) error {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() && !info.IsDir() {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// boot is the id of the machine's boot, or empty where the kernel has none.
func boot() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
