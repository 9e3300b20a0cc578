package deploy

import (
	"encoding/base64"
	"strings"

	"github.com/cedana/cedana-e2e/targets/settings"
)

// mask replaces secrets by `***`, also as base64, the form they have in a Kubernetes Secret. Helm's errors may quote
// what it was given.
type mask struct{ replacer *strings.Replacer }

func masker(secrets ...settings.Secret) mask {
	var pairs []string
	for _, s := range secrets {
		if s.Set() {
			pairs = append(pairs, s.Reveal(), s.String(),
				base64.StdEncoding.EncodeToString([]byte(s.Reveal())), s.String())
		}
	}
	return mask{strings.NewReplacer(pairs...)}
}

func (m mask) text(s string) string { return m.replacer.Replace(s) }

// error masks an error's text and leaves everything else of it to errors.Is and errors.As.
func (m mask) error(err error) error {
	if err == nil || m.text(err.Error()) == err.Error() {
		return err
	}
	return maskedError{m.text(err.Error()), err}
}

type maskedError struct {
	text string
	err  error
}

func (e maskedError) Error() string { return e.text }
func (e maskedError) Unwrap() error { return e.err }
