// Package propagatorfault breaks the stand-in's propagator on purpose: middleware around its API and a decorator of its
// store of archives. The propagator itself knows nothing of it.
package propagatorfault

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault/relay"
	"github.com/cedana/cedana-e2e/targets/local/standin/server"
	"github.com/cedana/cedana-e2e/targets/local/standin/store"
	"github.com/cedana/cedana-e2e/targets/propagator"
)

// Inject puts a fault into a propagator's configuration, which must have its token and its log. A fault that is another
// program's is only handed on.
func Inject(name fault.Name) func(*server.Config) {
	return func(cfg *server.Config) {
		in := injector{name: name, token: cfg.Token.Reveal(), log: cfg.Log}
		in.log.Warn("THIS PROPAGATOR IS BROKEN ON PURPOSE", "fault", name.Describe(), "variable", fault.Variable)
		if wrap := archiveFaults[name]; wrap != nil {
			cfg.Archives = func(a server.Archives) server.Archives { return wrap(in, a) }
		}
		if name == fault.NeverFinishes {
			cfg.Lease = 24 * time.Hour // else the lease would end the action
		}
		cfg.Middleware = func(s *store.Store, api http.Handler) http.Handler {
			in.store = s
			if wrap := apiFaults[name]; wrap != nil {
				api = wrap(in, api)
			}
			return relay.Announce(name, api)
		}
	}
}

// injector is what a fault has to do its work with.
type injector struct {
	name  fault.Name
	token string
	log   *slog.Logger
	store *store.Store
}

// warn says in the log that from here on something is wrong on purpose.
func (in injector) warn(r *http.Request) {
	in.name.Warn(in.log.With("method", r.Method, "path", r.URL.Path))
}

// apiFaults are those that change requests and answers.
var apiFaults = map[fault.Name]func(injector, http.Handler) http.Handler{
	fault.OlderCheckpoint:      otherManifest(older),
	fault.OtherPod:             otherManifest(ofAnotherPod),
	fault.FirstGeneration:      otherManifest(restoredFrom),
	fault.NameIgnored:          ignoreName,
	fault.NodeMisreported:      misreportNode,
	fault.NeverFinishes:        swallowResult,
	fault.ErrorWithoutDetails:  changeStatus(withoutDetails),
	fault.StatusWordWrong:      changeStatus(wrongWord),
	fault.ActionNotListed:      changeList(listActions, withoutNewest),
	fault.CheckpointNotListed:  changeList(listCheckpoints, withoutNewest),
	fault.ActionListedTwice:    changeList(listActions, newestTwice),
	fault.RestoreMisnamed:      changeList(listActions, eachAction(propagator.ActionRestorePod, ofAnotherCheckpoint)),
	fault.DurationUnit:         changeList(listActions, eachAction(propagator.ActionCheckpointPod, inMilliseconds)),
	fault.IONotCounted:         changeList(listActions, eachAction(propagator.ActionCheckpointPod, withoutIO)),
	fault.StatusGoesBack:       goBackOnce,
	fault.ClusterFilterIgnored: ignoreClusterFilter,
	fault.InfoOfAnotherPod:     renameInInfo,
	fault.DeprecateIgnored:     undoDeprecation,
	fault.DeprecatedRestorable: restoreDeprecated,
	fault.WrongTokenAccepted:   acceptAnyToken,
	fault.UnknownPodAccepted:   acceptUnknownPod,
	fault.ClusterTwice:         registerAnew,
	fault.ClusterStays:         keepCluster,
	fault.ActionsStay:          keepActions,
	fault.RestartForgets:       forget,
	fault.DamageAccepted:       acceptDamage,
}

// archiveFaults are those of the store of archives.
var archiveFaults = map[fault.Name]func(injector, server.Archives) server.Archives{
	fault.ArchiveTruncated:  func(in injector, a server.Archives) server.Archives { return truncated{a, in} },
	fault.ReadyBeforeStored: func(in injector, a server.Archives) server.Archives { return &late{Archives: a, in: in, now: time.Now} },
}
