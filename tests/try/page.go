package try

import (
	"fmt"
	"strings"

	"github.com/cedana/cedana-e2e/targets/local/standin/criu"
	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/tests/environment"
)

// verdict is what a row of the page says.
type verdict string

const (
	kept    verdict = "yes"
	lost    verdict = "**no**"
	unknown verdict = "not known"
)

// Page says for each workload of some manifests how it fared, in Markdown.
type Page struct {
	manifests, by string
	sections      []*section
}

// NewPage is the page of what the environment names.
func NewPage(env *environment.Environment) *Page {
	p := &Page{manifests: env.Try.Manifests, by: "Checkpointed and restored by Cedana at " + env.URL + "."}
	if env.Backend == settings.BackendLocal {
		p.by = "Checkpointed and restored by this project's stand-in, with runc and CRIU: it says nothing about Cedana itself."
	}
	return p
}

// section is one workload's.
type section struct {
	workload string
	// done is how far it came.
	done  stage
	facts []report.Fact
	rows  []row
	// failure is what has ended it before its end.
	failure *report.Failure
}

type row struct {
	what    string
	verdict verdict
	text    string
}

// stage is how far a workload came.
type stage int

const (
	nothing stage = iota
	running
	checkpointed
	removed
	restored
	judged
)

func (p *Page) section(workload string) *section {
	s := &section{workload: workload}
	p.sections = append(p.sections, s)
	return s
}

func (s *section) fact(name, format string, args ...any) {
	s.facts = append(s.facts, report.Fact{Name: name, Value: fmt.Sprintf(format, args...)})
}

func (s *section) row(what string, v verdict, text string) {
	s.rows = append(s.rows, row{what, v, text})
}

// lost are the rows that say no.
func (s *section) lost() (names []string) {
	for _, r := range s.rows {
		if r.verdict == lost {
			names = append(names, r.what)
		}
	}
	return names
}

// verdict is the section in a few words.
func (s *section) verdict() string {
	switch {
	case s.done == nothing:
		return "was not tried: it did not come up"
	case s.done == running:
		return "cannot be checkpointed as it is"
	case s.done == checkpointed:
		return "was checkpointed, but could not be removed"
	case s.done == removed:
		return "was checkpointed, but not restored"
	case len(s.lost()) > 0:
		return "was restored, but did not survive: " + strings.Join(s.lost(), ", ")
	case s.failure != nil:
		return "was restored, but did not survive"
	}
	return "survived"
}

// reason is why it did not get further.
func (s *section) reason() string {
	switch f := s.failure; {
	case f == nil:
		return ""
	case f.Error != "":
		return f.Error
	default:
		return fmt.Sprintf("expected: %s\nseen: %s", f.Expected, f.Seen)
	}
}

// String is the page. failure is what kept the manifests from being deployed, nil where they were.
func (p *Page) String(failure *report.Failure) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Checkpoint and restore of %s\n\n%s\n", p.manifests, p.by)
	sections := p.sections
	if len(sections) == 0 && failure != nil {
		sections = []*section{{workload: "It", failure: failure}}
	}
	for _, s := range sections {
		fmt.Fprintf(&b, "\n## %s %s\n", s.workload, s.verdict())
		if len(s.rows) > 0 {
			b.WriteString("\n| kept | | |\n|---|---|---|\n")
			for _, r := range s.rows {
				fmt.Fprintf(&b, "| %s | %s | %s |\n", cell(r.what), r.verdict, cell(r.text))
			}
		}
		if reason := s.reason(); reason != "" {
			fmt.Fprintf(&b, "\n### Reason\n\n```\n%s\n```\n\n### What to change\n\n%s\n", reason, remedy(s.done, reason))
		}
		if len(s.facts) > 0 {
			b.WriteString("\n| | |\n|---|---|\n")
			for _, f := range s.facts {
				fmt.Fprintf(&b, "| %s | %s |\n", cell(f.Name), cell(f.Value))
			}
		}
	}
	return b.String()
}

// cell is a text that keeps within a cell of a table.
func cell(text string) string {
	const most = 400
	text = strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

// remedy is what to change, by CRIU's reason where that is known, else by how far the workload came.
func remedy(done stage, reason string) string {
	if hint := criu.Hint(reason); hint != "" {
		return strings.ToUpper(hint[:1]) + hint[1:] + "."
	}
	for _, r := range remedies {
		if strings.Contains(reason, r.in) {
			return r.remedy
		}
	}
	switch done {
	case nothing:
		return "The pod has to become Ready before it can be checkpointed: the reason is the kubelet's or the scheduler's. E2E_POD_TIMEOUT gives it more time."
	case running:
		return "The reason is the checkpointer's own: docs/troubleshooting.md has the known ones. `E2E_KEEP=1` leaves the pod in place, `go tool mage logs` has the nodes' and Cedana's logs."
	default:
		return "The reason is the restorer's own: docs/troubleshooting.md has the known ones. `go tool mage logs` has the nodes' and Cedana's logs."
	}
}

// remedies are for reasons that are not CRIU's.
var remedies = []struct{ in, remedy string }{
	{"ErrImagePull", "The cluster cannot pull the image. E2E_IMAGES=NAME=IMAGE puts another one in its place; see docs/try.md."},
	{"ImagePullBackOff", "The cluster cannot pull the image. E2E_IMAGES=NAME=IMAGE puts another one in its place; see docs/try.md."},
	{"CHECK", "Choose a command that succeeds in the pod's first container and whose output does not change by itself."},
	{"unbound immediate PersistentVolumeClaims", "The cluster has no storage class that provisions the volume: add a PersistentVolume to the manifests, or a provisioner to the cluster."},
	{"PodFailed", "The pod ended before it could be checkpointed: give it more to do."},
	{"Succeeded", "The pod came to its end before it could be checkpointed: give it more to do."},
	{"Insufficient", "No node has room for what the pod requests: request less."},
}
