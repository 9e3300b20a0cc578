package vm

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// fetch copies a directory of the guest's.
func (g *guest) fetch(ctx context.Context, from, to string) error {
	read, write := io.Pipe()
	var said bytes.Buffer
	sent := make(chan error, 1)
	go func() {
		err := g.shell(ctx, "exec tar -C "+quote(from)+" -cf - .", write, &said)
		_ = write.CloseWithError(err) // never fails
		sent <- err
	}()
	err := unpack(read, to)
	if err == nil {
		_, err = io.Copy(io.Discard, read) // tar's padding
	}
	_ = read.CloseWithError(err) // never fails
	if failed := <-sent; failed != nil {
		return fmt.Errorf("%w: %s", failed, said.String())
	}
	return err
}

// unpack writes the files of a tar stream into a directory, and nothing outside.
func unpack(stream io.Reader, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer root.Close()
	files := tar.NewReader(stream)
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := filepath.Clean(h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o755)
		case tar.TypeReg:
			err = writeFile(root, name, files)
		}
		if err != nil {
			return fmt.Errorf("unpack %s: %w", h.Name, err)
		}
	}
}

func writeFile(root *os.Root, name string, content io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	file, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}
