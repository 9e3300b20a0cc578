package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Finding is one line of a doctor's report.
type Finding struct {
	Name   string
	OK     bool
	Detail string
	// Remedy is what to do if it is not OK.
	Remedy string
}

// Check looks at everything that Ensure depends on, and changes nothing; an engine that was never tried, or whose
// refusal is only remembered, is tried.
func Check(ctx context.Context, o Options) []Finding {
	o, err := o.complete()
	if err != nil {
		return []Finding{{Name: "docker engine", Detail: err.Error(), Remedy: "set E2E_ENGINE to auto, system or private"}}
	}
	var findings []Finding
	able := false
	if o.Mode != Private {
		f := checkSystem(ctx, o)
		able = f.OK
		if !able && o.Mode == Auto {
			// No fault by itself: a private one may do.
			private := checkPrivate(ctx, o, true)
			if allOK(private) && len(private) > 0 {
				f.OK, f.Remedy = true, ""
				f.Detail = "not used: " + f.Detail
			}
			return append([]Finding{f}, private...)
		}
		findings = append(findings, f)
	}
	if o.Mode != System {
		findings = append(findings, checkPrivate(ctx, o, !able)...)
	}
	return findings
}

func checkSystem(ctx context.Context, o Options) Finding {
	f := Finding{Name: "docker engine", Remedy: "start or repair it (it must run privileged containers), or point DOCKER_HOST at another one; as root on Debian or Ubuntu, E2E_ENGINE=auto starts a private one"}
	e, err := connectSystem(ctx, o)
	if err != nil {
		f.Detail = err.Error()
		return f
	}
	a, known := readAnswer(o, e)
	if !known || !a.OK {
		if a, err = tryNow(ctx, o, e); err != nil && a.OK {
			f.Detail = err.Error()
			return f
		}
	}
	if err = errors.Join(err, a.err()); err != nil {
		f.Detail = err.Error()
		return f
	}
	f.OK, f.Remedy = true, ""
	f.Detail = fmt.Sprintf("%s (%s, cgroup v%s) runs privileged containers%s", e.Host, e.Version, e.CgroupVersion, lackText(a.MissingCapabilities))
	return f
}

func lackText(missing []string) string {
	if len(missing) == 0 {
		return ""
	}
	return "; they lack " + strings.Join(missing, ", ")
}

func allOK(findings []Finding) bool {
	for _, f := range findings {
		if !f.OK {
			return false
		}
	}
	return true
}

func bytesText(n uint64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }
