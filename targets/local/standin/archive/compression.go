package archive

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Compression of an archive.
type Compression string

// The compressions there are, upstream's and zstd; "tar" is upstream's other word for none.
const (
	CompressionNone Compression = "none"
	CompressionGzip Compression = "gzip"
	CompressionZlib Compression = "zlib"
	CompressionLZ4  Compression = "lz4"
	CompressionZstd Compression = "zstd"
)

// format is how a compression is written and known again.
type format struct {
	extension string
	// magic begins what is compressed so; one of them.
	magic [][]byte
	write func(io.Writer) (io.WriteCloser, error)
	read  func(io.Reader) (io.Reader, error)
}

// formats have their fastest level: memory images are large and wanted soon.
var formats = map[Compression]format{
	CompressionGzip: {
		".tar.gz", [][]byte{{0x1f, 0x8b}},
		func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(w, gzip.BestSpeed) },
		func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
	},
	CompressionZlib: {
		".tar.zz", [][]byte{{0x78, 0x01}, {0x78, 0x5e}, {0x78, 0x9c}, {0x78, 0xda}},
		func(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriterLevel(w, zlib.BestSpeed) },
		func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) },
	},
	CompressionLZ4: {
		".tar.lz4", [][]byte{{0x04, 0x22, 0x4d, 0x18}},
		func(w io.Writer) (io.WriteCloser, error) { return lz4.NewWriter(w), nil },
		// Its WriteTo cannot go on where Read has been.
		func(r io.Reader) (io.Reader, error) { return struct{ io.Reader }{lz4.NewReader(r)}, nil },
	},
	CompressionZstd: {
		".tar.zst", [][]byte{{0x28, 0xb5, 0x2f, 0xfd}},
		func(w io.Writer) (io.WriteCloser, error) {
			return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		},
		// Without concurrency a decoder needs no closing.
		func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r, zstd.WithDecoderConcurrency(1)) },
	},
}

// ParseCompression reads a setting; empty means none.
func ParseCompression(text string) (Compression, error) {
	switch c := Compression(text); c {
	case "", CompressionNone, "tar":
		return CompressionNone, nil
	default:
		if _, ok := formats[c]; ok {
			return c, nil
		}
	}
	return "", fmt.Errorf("checkpoint compression %.64q is not supported by the local backend: want none, tar, gzip, zlib, lz4 or zstd", text)
}

// Extension of an archive's file name.
func (c Compression) Extension() string {
	if f, ok := formats[c]; ok {
		return f.extension
	}
	return ".tar"
}

// Compress writes r to w, compressed.
func (c Compression) Compress(w io.Writer, r io.Reader) error {
	f, ok := formats[c]
	if !ok {
		_, err := io.Copy(w, r)
		return err
	}
	z, err := f.write(w)
	if err != nil {
		return err
	}
	if _, err := io.Copy(z, r); err != nil {
		return errors.Join(err, z.Close())
	}
	return z.Close()
}

// decompress gives the tar in r, compressed or not.
func decompress(r io.Reader) (io.Reader, error) {
	buffered := bufio.NewReaderSize(r, 256<<10)
	begin, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for _, f := range formats {
		for _, magic := range f.magic {
			if bytes.HasPrefix(begin, magic) {
				return f.read(buffered)
			}
		}
	}
	return buffered, nil
}

// Compressed is a compressed archive in a file of its own, which Close removes.
type Compressed struct {
	*os.File
	Size   int64
	SHA256 string
}

// ToFile writes r, compressed, to a new file at path and leaves it open at its beginning.
func (c Compression) ToFile(path string, r io.Reader) (*Compressed, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("compress checkpoint archive: %w", err)
	}
	out := &Compressed{File: f}
	sum := sha256.New()
	err = c.Compress(io.MultiWriter(f, sum), r)
	if err == nil {
		out.Size, err = f.Seek(0, io.SeekCurrent)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("compress checkpoint archive: %w", err), out.Close())
	}
	out.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return out, nil
}

// Close implements io.Closer.
func (c *Compressed) Close() error { return errors.Join(c.File.Close(), os.Remove(c.Name())) }
