package engine

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/cedana/cedana-e2e/targets/capabilities"
)

// comfortable is the free space below which a first run is likely to fill the disk.
const comfortable = 8 << 30

// checkPrivate says whether a private engine runs or could, and if one is needed, what is in its way.
func checkPrivate(ctx context.Context, o Options, needed bool) []Finding {
	f := Finding{Name: "private docker engine"}
	if e, _, err := running(ctx, o); err == nil {
		f.OK, f.Detail = true, fmt.Sprintf("%s (%s) runs", e.Host, e.Version)
		if a, ok := readAnswer(o, e); ok {
			f.Detail += lackText(a.MissingCapabilities)
		}
		return []Finding{f}
	}
	if !needed {
		return nil
	}
	missing := missingPrograms()
	switch err := canInstall(); {
	case os.Geteuid() != 0:
		f.Detail = "does not run, and this user is not root"
		f.Remedy = "run as root, or let this user reach an engine that runs privileged containers"
	case len(missing) > 0 && err != nil:
		f.Detail = fmt.Sprintf("%s not found, and cannot be installed: %v", strings.Join(missing, ", "), err)
		f.Remedy = "install Docker"
	case len(missing) > 0:
		f.OK, f.Detail = true, "will be started when needed; docker.io will be installed for it"
	default:
		f.OK, f.Detail = true, "will be started when needed"
	}
	if lacking, err := capabilities.OfHost(); err != nil {
		f.OK, f.Detail, f.Remedy = false, err.Error(), "mount /proc"
	} else if f.OK && len(lacking) > 0 {
		f.Detail += "; this host lacks " + strings.Join(lacking, ", ") + ", so its containers will do without"
	}

	space := Finding{Name: "disk space for a private docker engine"}
	free, err := freeSpace(o.dir())
	if err != nil {
		space.Detail, space.Remedy = err.Error(), "set E2E_HOME to a directory that can be read"
	} else {
		space.OK = free >= comfortable
		space.Detail = fmt.Sprintf("%s free at %s", bytesText(free), o.dir())
		if !space.OK {
			space.Remedy = fmt.Sprintf("free at least %s, or set E2E_HOME to a directory on another disk", bytesText(comfortable))
		}
	}
	return []Finding{f, space}
}
