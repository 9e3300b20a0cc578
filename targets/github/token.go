// Package github speaks to the GitHub Actions workflow that a target runs in.
package github

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cedana/cedana-e2e/targets/settings"
)

// Token tells the workflow whether there is a token for a live run: the step's output `there` is true or false, and a
// notice says what is missing, so that a run that did nothing does not pass for a green one. Outside GitHub Actions it
// only says so. lookup reads an environment variable.
func Token(out io.Writer, lookup func(string) string, token settings.Secret) error {
	there := token.Set()
	said := "CEDANA_AUTH_TOKEN is not set: nothing can be run against real Cedana"
	switch {
	case there:
		said = "CEDANA_AUTH_TOKEN is set: the live run goes ahead"
	case lookup("GITHUB_ACTIONS") == "true":
		said = "::notice title=no live run::the secret CEDANA_AUTH_TOKEN is not set in this repository, so nothing was run against real Cedana"
	}
	if _, err := fmt.Fprintln(out, said); err != nil {
		return fmt.Errorf("say whether there is a token: %w", err)
	}
	path := lookup("GITHUB_OUTPUT")
	if path == "" {
		return nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open the step's outputs: %w", err)
	}
	_, err = fmt.Fprintf(file, "there=%t\n", there)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write the step's outputs to %s: %w", path, err)
	}
	return nil
}
