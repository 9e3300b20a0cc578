package refusals

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/tests/fixture"
	"github.com/cedana/cedana-e2e/tests/steps"
)

// api is the propagator.
func (r *Refusals) api() *steps.Propagator { return r.System.(*steps.Propagator) }

// row is the one checkpoint of an action, as the propagator lists it.
func (r *Refusals) row(c *steps.Checkpoint) propagator.Checkpoint {
	r.Helper()
	rows, err := r.api().Client.Checkpoints(r.Ctx, propagator.CheckpointFilter{IDs: []string{c.Records[0].ID}})
	r.Must(err, "ask for checkpoint %s", c.Records[0].ID)
	fixture.Equal(r, "the number of checkpoints of id "+c.Records[0].ID, 1, len(rows))
	return rows[0]
}

func (r *Refusals) putInfo(row propagator.Checkpoint, platform string, info json.RawMessage) {
	r.Helper()
	r.raw(http.MethodPut, "/v2/checkpoints/info/"+row.ID, propagator.CheckpointInfoRequest{GPU: row.GPU, Platform: platform, Info: info})
}

func (r *Refusals) raw(method, path string, body any) string {
	r.Helper()
	code, answer, err := r.api().Raw(r.Ctx, r.Env.Token, method, path, body)
	r.Must(err, "%s %s", method, path)
	r.That(code == http.StatusOK, "the code of "+method+" "+path+" is 200", string(answer))
	return strings.Trim(strings.TrimSpace(string(answer)), `"`)
}

// damage flips a byte in each part of the archive in turn, and then cuts the archive off.
func damage(r *Refusals, c *steps.Checkpoint, refused func(string)) func() {
	r.Helper()
	var paths []string
	r.Must(json.Unmarshal([]byte(r.raw(http.MethodGet, "/v2/files/dir/checkpoints", nil)), &paths), "read the list of archives")
	i := slices.IndexFunc(paths, func(path string) bool { return strings.Contains(path, c.Operation.String()) })
	r.That(i >= 0, "the archive of action "+c.Operation.String()+" is stored", paths)
	path := paths[i]
	whole := r.file(http.MethodGet, path, nil)
	parts := partsOf(r, whole)
	for _, p := range parts {
		damaged := slices.Clone(whole)
		damaged[p.at] ^= 1
		r.file(http.MethodPut, path, damaged)
		refused("from an archive that is damaged in " + p.name)
	}
	r.file(http.MethodPut, path, whole[:len(whole)/2])
	refused("from an archive that is cut off")
	return func() { r.file(http.MethodPut, path, whole) }
}

// file loads a stored file, or stores it, by the address that the propagator gives for that.
func (r *Refusals) file(method, path string, content []byte) []byte {
	r.Helper()
	address := r.raw(method, "/v2/files/"+path, nil)
	request, err := http.NewRequestWithContext(r.Ctx, method, address, bytes.NewReader(content))
	r.Must(err, "make a request for %s", path)
	response, err := http.DefaultClient.Do(request)
	r.Must(err, "%s the archive %s", method, path)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	r.Must(err, "%s the archive %s", method, path)
	fixture.Equal(r, "the code of "+method+" of the archive "+path, http.StatusOK, response.StatusCode)
	return body
}

// part is a byte of a file in an archive.
type part struct {
	name string
	at   int
}

// images are those of CRIU's that stand for all: of memory, of a process, of the tree of processes, and the list of the others.
var images = []string{"pages-1.img", "core-1.img", "pstree.img", "inventory.img"}

// partsOf are the archive's files, and of CRIU's images those that stand for all, each with the byte in its middle.
func partsOf(r *Refusals, archive []byte) []part {
	r.Helper()
	var parts []part
	content := bytes.NewReader(archive)
	for tr := tar.NewReader(content); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		r.Must(err, "read the archive")
		image, is := strings.CutPrefix(h.Name, "checkpoint/")
		if h.Size == 0 || is && !slices.Contains(images, image) {
			continue
		}
		parts = append(parts, part{h.Name, len(archive) - content.Len() + int(h.Size/2)})
	}
	r.That(len(parts) > len(images), "an archive has its images and other parts", parts)
	return parts
}
