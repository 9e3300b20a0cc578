package settings

// Backend is what the suite runs against.
type Backend string

// BackendLocal is the embedded stand-in, BackendLive is real Cedana.
const (
	BackendLocal Backend = "local"
	BackendLive  Backend = "live"
)

// DefaultURL is the propagator of the live backend when CEDANA_URL is not set.
const DefaultURL = "https://ci.cedana.ai/v1"

// Propagator is which propagator is spoken to, and as whom.
type Propagator struct {
	// Backend is never "auto": it is resolved.
	Backend Backend
	// URL is normalised (scheme, host, port; no version, no trailing slash). Empty on the local backend, where the
	// address is known only once the propagator runs, and with SKIP_HELM=1, where it may be that of the installation.
	URL   string
	Token Secret
}

var (
	tokenVariable = Variable{
		Name: "CEDANA_AUTH_TOKEN", Example: "<your token>", Doc: "token of the propagator; setting it chooses the live backend",
	}
	urlVariable = Variable{
		Name: "CEDANA_URL", DefaultText: "`" + DefaultURL + "`", Example: DefaultURL, For: "live",
		Doc: "the propagator, with or without scheme, `/v1`, `/v2`; plain `http://` only on this machine or in a private network",
	}
	backendVariable = Variable{
		Name: "E2E_BACKEND", Default: "auto",
		Doc: "`auto`, `local`, `live`; `auto` is `live` where there is a token or `E2E_CLUSTER=existing`, else `local`",
	}
)

// readPropagator leaves the URL as it is spelled and the backend as it is asked for: resolve needs more of the settings.
func readPropagator(v *Variables) Propagator {
	v.Group("Cedana")
	return Propagator{
		Token:   v.Secret(tokenVariable),
		URL:     v.Text(urlVariable),
		Backend: Backend(v.OneOf(backendVariable, "auto", string(BackendLocal), string(BackendLive))),
	}
}

// resolve decides on the backend and checks what it wants. installed means SKIP_HELM=1: Cedana in the cluster brings
// the address and the token that are not given.
func (p *Propagator) resolve(v *Variables, existing, installed bool) {
	switch {
	case p.Backend == BackendLocal || p.Backend == BackendLive:
	case p.Token.Set() || existing:
		p.Backend = BackendLive
	default:
		p.Backend = BackendLocal
	}
	if p.Backend == BackendLocal {
		// A CEDANA_URL that is left over in a shell must not send tests elsewhere.
		p.URL = ""
		if existing {
			v.Problem(backendVariable.Name, "local cannot be reached from an existing cluster (E2E_CLUSTER)", string(BackendLive))
		}
		return
	}
	if !p.Token.Set() && !installed {
		v.Problem(tokenVariable.Name, "must be set for the live backend", tokenVariable.Example)
	}
	if p.URL == "" && installed {
		return
	}
	if p.URL == "" {
		p.URL = DefaultURL
	}
	base, err := NormalizeURL(p.URL)
	if err == nil {
		err = CheckPlain(base)
	}
	if err != nil {
		v.Problem(urlVariable.Name, err.Error(), urlVariable.Example)
	}
	p.URL = base
}
