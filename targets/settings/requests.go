package settings

import "time"

// Listing is which rows of the propagator are listed, and how.
type Listing struct {
	// Format is table or json.
	Format string
	// Type (of actions), Status and ClusterID narrow a list; empty does not.
	Type      string
	Status    string
	ClusterID string
}

// Deprecate are the checkpoints that are given up.
type Deprecate struct{ CheckpointIDs []string }

// Sweep is what of the propagator's rows is taken for ours.
type Sweep struct {
	// ClusterName and Namespace are what the names of ours begin with.
	ClusterName string
	Namespace   string
	// ClusterID is never removed.
	ClusterID string
	// DryRun says what would be removed, and removes nothing.
	DryRun bool
}

// Cleanup is what `mage clean` removes beside clusters.
type Cleanup struct {
	Run
	// Propagator is where clusters are deregistered, with its token.
	Propagator
	// All removes caches too, Engine stops the private engine.
	All, Engine bool
	// AllOwners removes what other E2E_HOMEs have made in the same engines, too.
	AllOwners bool
	// Forget are clusters of which what cannot be reached any more is forgotten.
	Forget  []string
	Timeout time.Duration
}

func readRequests(v *Variables) (l Listing, d Deprecate, s Sweep, c Cleanup) {
	v.Group("Lists and cleaning")
	const lists = "lists"
	l.Format = v.OneOf(Variable{Name: "FORMAT", Default: "table", For: lists, Doc: "`table` or `json`"}, "table", "json")
	l.Type = v.Word(Variable{Name: "TYPE", Example: "checkpoint_pod", For: "`listActions`", Doc: "only actions of this type: `checkpoint_pod`, `restore_pod`, ..."})
	l.Status = v.Word(Variable{Name: "STATUS", Example: "ready", For: lists, Doc: "only those with this status: `ready`, `error`, `deprecated`, ..."})
	d.CheckpointIDs = v.List(Variable{Name: "CHECKPOINT_ID", For: "`deprecate`", Doc: "ids of checkpoints, comma-separated"})
	s.DryRun = v.Bool(Variable{Name: "DRY_RUN", For: "`sweep`", Doc: "`1`: only says what it would remove"})
	c.All = v.Bool(Variable{Name: "ALL", For: "`clean`", Doc: "`1`: removes the caches and the private engine too"})
	c.Engine = v.Bool(Variable{Name: "ENGINE", For: "`clean`", Doc: "`1`: removes the private engine too"})
	c.AllOwners = v.Bool(Variable{Name: "ALL_OWNERS", For: "`clean`", Doc: "`1`: takes what others, with another `E2E_HOME`, have made in the same Docker engine, too"})
	c.Forget = v.List(Variable{Name: "FORGET", Example: "cedana-e2e", For: "`clean`", Doc: "clusters (`CLUSTER_NAME`), comma-separated: what they have where nothing answers any more is forgotten"})
	return l, d, s, c
}
