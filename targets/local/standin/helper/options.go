package helper

import (
	"fmt"
	"strings"

	"github.com/cedana/cedana-e2e/targets/local/standin/archive"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
)

// defaultDirectory is where checkpoints are in the propagator's file store.
const defaultDirectory = "checkpoints"

// options are how one checkpoint is taken: as the node is configured, but for what the request overrides.
type options struct {
	compression archive.Compression
	// directory in the propagator's file store.
	directory string
	// tellOfDump makes the dump known before its upload.
	tellOfDump bool
}

// options of a request. The propagator has refused what cannot be done.
func (h *Helper) options(request *work.Checkpoint) (options, error) {
	how := options{compression: h.compression, directory: defaultDirectory}
	o := request.Overrides
	if o == nil {
		return how, nil
	}
	if o.Compression != "" {
		c, err := archive.ParseCompression(o.Compression)
		if err != nil {
			return how, fmt.Errorf("read overrides: %w", err)
		}
		how.compression = c
	}
	if o.Directory != "" {
		how.directory = strings.Trim(strings.TrimPrefix(o.Directory, "cedana://"), "/")
	}
	how.tellOfDump = o.Asynchronous
	return how, nil
}
