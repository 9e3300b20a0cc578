// Package report is what the counter says about itself over HTTP. The counter and the tests share it, so that they
// cannot drift apart.
package report

import "time"

// State is the body of GET /state: everything in it is read anew for each request.
type State struct {
	// Nonce is random, chosen once at start and kept in memory only: a fresh start cannot have it.
	Nonce string `json:"nonce"`
	// Count goes up by one every 100 ms.
	Count uint64 `json:"count"`
	// Start is when the process started, by its own wall clock.
	Start time.Time `json:"start"`
	// Pauses are the times at which the process stood still for longer than PauseAfter, oldest first. A restored process
	// has one whose Count is exactly the count in the checkpoint.
	Pauses []Pause `json:"pauses,omitempty"`

	PID     int               `json:"pid"`
	Threads int               `json:"threads"`
	UID     int               `json:"uid"`
	GID     int               `json:"gid"`
	CWD     string            `json:"cwd"`
	Args    []string          `json:"args"`
	Env     map[string]string `json:"env"`

	// MemoryMiB of random bytes are held; MemorySHA256 is their checksum now, MemorySHA256AtStart when they were made.
	// Both are empty when none are held.
	MemoryMiB           int    `json:"memory_mib"`
	MemorySHA256        string `json:"memory_sha256,omitempty"`
	MemorySHA256AtStart string `json:"memory_sha256_at_start,omitempty"`

	// Journals are the files held open since the start, by name: "root" on the root file system and, when there is one,
	// "dir" on a volume.
	Journals map[string]Journal `json:"journals"`

	// Kinds are the kinds of state that COUNTER_KINDS and COUNTER_TREES ask for, by name.
	Kinds map[string]Kind `json:"kinds,omitempty"`
}

// Kind is one kind of state that a process has: pipes, children, timers.
type Kind struct {
	// Values are facts that stay the same as long as the process lives: a pid, a port, a mask.
	Values map[string]string `json:"values,omitempty"`
	// Progress are numbers that go on as long as the process runs.
	Progress map[string]uint64 `json:"progress,omitempty"`
	// Once are timers that fire once, and the count at which each has; 0 is not yet.
	Once map[string]uint64 `json:"once,omitempty"`
	// Error says what of it is lost or wrong, now or at any count before. Empty means intact.
	Error string `json:"error,omitempty"`
}

// TimerfdStopped begins the error of the kind timerfd when its timer is not set any more. CRIU 4 restores so one that had
// fired, unread, when it was dumped.
const TimerfdStopped = "the timerfd does not fire any more"

// PauseAfter is how late a count has to be to show as a pause.
const PauseAfter = 500 * time.Millisecond

// Pause is a time at which the process did not run: frozen, or between its checkpoint and its restore.
type Pause struct {
	// Count is the last count before the pause.
	Count uint64 `json:"count"`
	// From and To are the wall clock at that count and at the next.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Heard is the highest count that the counter at COUNTER_PEER had told before the pause; 0 for none.
	Heard uint64 `json:"heard,omitempty"`
}

// Length of the pause.
func (p Pause) Length() time.Duration { return p.To.Sub(p.From) }

// Journal is a file that the counter appends one line to at every count, through a descriptor that it never closes.
type Journal struct {
	Path string `json:"path"`
	// Offset of the descriptor and Size of the file at Path, in bytes: equal unless one of them was lost.
	Offset int64 `json:"offset"`
	Size   int64 `json:"size"`
	// Lines and Last are the number of lines of the file at Path and the count in the last of them: both are Count.
	Lines uint64 `json:"lines"`
	Last  uint64 `json:"last"`
	// Error says what is wrong with the file: a line missing, repeated or from another process, another file at Path than
	// the one held open, a write that failed. Empty means intact.
	Error string `json:"error,omitempty"`
}

// Load is the body of GET /load: what a counter in load mode has seen so far.
type Load struct {
	URL string `json:"url"`
	// OK and Failed count requests; LastError is of the last that failed, LastOK when one last succeeded.
	OK        uint64    `json:"ok"`
	Failed    uint64    `json:"failed"`
	LastError string    `json:"last_error,omitempty"`
	LastOK    time.Time `json:"last_ok"`
	// Waiting is the age of the oldest request that has no answer yet; 0 when there is none.
	Waiting time.Duration `json:"waiting"`
}

// ImageDir is a directory of the counter's image with ImageFiles, for a counter to change, delete and replace.
const ImageDir = "/fixtures"

// ImageFiles are paths below ImageDir; what a counter does to a file is its name.
var ImageFiles = []string{
	"kept", "changed", "deleted", "moved", "becomes-directory", "becomes-link", "mode", "directory/one", "directory/two", "gone/one",
}
