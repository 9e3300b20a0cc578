package archive

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// Compression of an archive.
type Compression string

// The compressions there are; "tar" is upstream's other word for none.
const (
	CompressionNone Compression = "none"
	CompressionGzip Compression = "gzip"
)

// ParseCompression reads a setting; empty means none.
func ParseCompression(text string) (Compression, error) {
	switch text {
	case "", "none", "tar":
		return CompressionNone, nil
	case "gzip":
		return CompressionGzip, nil
	}
	return "", fmt.Errorf("checkpoint compression %q is not supported by the local backend: want none, tar or gzip", text)
}

// Extension of an archive's file name.
func (c Compression) Extension() string {
	if c == CompressionGzip {
		return ".tar.gz"
	}
	return ".tar"
}

// Gzip writes r to w, compressed. Memory images are large and wanted soon: speed goes before size.
func Gzip(w io.Writer, r io.Reader) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := io.Copy(z, r); err != nil {
		return err
	}
	return z.Close()
}

// decompress gives the tar in r, gzipped or not.
func decompress(r io.Reader) (io.Reader, error) {
	buffered := bufio.NewReaderSize(r, 256<<10)
	magic, err := buffered.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return gzip.NewReader(buffered)
	}
	return buffered, nil
}

// Compressed is a compressed archive in a file of its own, which Close removes.
type Compressed struct {
	*os.File
	Size   int64
	SHA256 string
}

// CompressToFile writes r, gzipped, to a new file at path and leaves it open at its beginning.
func CompressToFile(path string, r io.Reader) (*Compressed, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("compress checkpoint archive: %w", err)
	}
	c := &Compressed{File: f}
	sum := sha256.New()
	err = Gzip(io.MultiWriter(f, sum), r)
	if err == nil {
		c.Size, err = f.Seek(0, io.SeekCurrent)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("compress checkpoint archive: %w", err), c.Close())
	}
	c.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return c, nil
}

// Close implements io.Closer.
func (c *Compressed) Close() error { return errors.Join(c.File.Close(), os.Remove(c.Name())) }
