package archive

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"

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

// compress writes to w, compressed, what write writes.
func (c Compression) compress(w io.Writer, write func(io.Writer) error) error {
	f, ok := formats[c]
	if !ok {
		return write(w)
	}
	z, err := f.write(w)
	if err != nil {
		return err
	}
	return errors.Join(write(z), z.Close())
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
