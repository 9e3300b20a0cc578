package quality

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/cedana/cedana-e2e/targets/build/gobuild"
	"github.com/cedana/cedana-e2e/targets/console"
)

// Lint runs every linter and reports all that they find: gofmt, golangci-lint for each module and build tag (go vet,
// staticcheck and the rules of who may import whom are among what .golangci.yml chooses), actionlint for the workflows, govulncheck where its data can be had. It returns an error that names the linters
// that found something.
func Lint(ctx context.Context, con *console.Console) error {
	var found []error
	lint := func(name string, check func(ctx context.Context, out io.Writer) error) {
		err := con.Run(ctx, name, func(ctx context.Context, _ *console.Step) error { return check(ctx, con.Progress()) })
		if err != nil {
			found = append(found, fmt.Errorf("%s: %w", name, err))
		}
	}
	lint("gofmt", gofmt)
	var linter string
	lint("build golangci-lint", func(ctx context.Context, out io.Writer) (err error) {
		linter, err = tool(ctx, out, toolsModule, "golangci-lint")
		return err
	})
	for _, m := range modules {
		for _, tag := range m.tags {
			if linter == "" {
				continue
			}
			lint(strings.TrimRight("golangci-lint "+m.dir+" "+tag, " ."), func(ctx context.Context, out io.Writer) error {
				config, err := filepath.Abs(".golangci.yml")
				if err != nil {
					return err
				}
				// It lets go build what it looks at: with other flags than the programs' all would be compiled once more, for minutes.
				env := append(gobuild.Env(), "GOFLAGS="+gobuild.GoFlags(os.Getenv("GOFLAGS")), "GOGC=100", "GOMEMLIMIT=off")
				args := []string{linter, "run", "--config", config, "--build-tags", tag}
				return command{args: append(args, m.packages...), env: env, dir: m.dir}.run(ctx, out)
			})
		}
	}
	// As a file: with the tag mage, the magefiles of modules below would be compiled too.
	lint("go vet magefile.go", func(ctx context.Context, out io.Writer) error {
		return command{args: append(append([]string{"go", "vet"}, gobuild.Flags()...), "magefile.go"), env: gobuild.Env()}.run(ctx, out)
	})
	if workflows, _ := filepath.Glob(".github/workflows/*.yml"); len(workflows) > 0 {
		lint("actionlint", func(ctx context.Context, out io.Writer) error {
			return run(ctx, out, append([]string{"go", "tool", "actionlint"}, workflows...)...)
		})
	}
	lint("govulncheck", func(ctx context.Context, out io.Writer) error { return govulncheck(ctx, con, out) })
	return errors.Join(found...)
}

// toolsModule has golangci-lint in a go.mod of its own: its hundreds of dependencies would decide on versions that the
// project's programs use too.
const toolsModule = "targets/build/tools"

// tool builds a tool of the go.mod in dir and returns the path of its binary, which then can run in another directory.
func tool(ctx context.Context, out io.Writer, dir, name string) (string, error) {
	var path bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", "tool", "-n", name)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = &path, out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build tool %s: %w", name, err)
	}
	return strings.TrimSpace(path.String()), nil
}

// gofmt fails when a file of the project is not formatted; gofmt itself only lists them.
func gofmt(ctx context.Context, out io.Writer) error {
	var listed bytes.Buffer
	if err := run(ctx, &listed, "gofmt", "-l", "magefile.go", "targets", "tests"); err != nil {
		_, _ = out.Write(listed.Bytes())
		return err
	}
	if listed.Len() > 0 {
		return fmt.Errorf("not formatted, run gofmt -w: %s", strings.Join(strings.Fields(listed.String()), " "))
	}
	return nil
}

// govulncheck needs the vulnerability database; without a way to it there is nothing to check against, which is a
// warning and no finding.
func govulncheck(ctx context.Context, con *console.Console, out io.Writer) error {
	var text bytes.Buffer
	err := run(ctx, &text, "go", "tool", "govulncheck", "./...")
	if err == nil {
		return nil
	}
	for _, unreachable := range []string{"dial tcp", "no such host", "fetching vulnerabilities", "Could not resolve", "Forbidden"} {
		if strings.Contains(text.String(), unreachable) && !strings.Contains(text.String(), "Vulnerability #") {
			con.Warn("govulncheck did not check anything: its database cannot be reached (%s)", firstLine(text.String()))
			return nil
		}
	}
	_, _ = io.Copy(out, &text)
	return err
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
