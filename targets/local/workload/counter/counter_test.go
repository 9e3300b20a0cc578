package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// made is a counter that counts only when the test says so, and a server in front of it.
type made struct {
	*counter
	t   *testing.T
	url string
	out *bytes.Buffer
}

func newMade(t *testing.T, c config) *made {
	t.Helper()
	if c.Log == "" {
		c.Log = filepath.Join(t.TempDir(), "var/lib/counter/log")
	}
	var out bytes.Buffer
	n, err := newCounter(c, &out)
	require.NoError(t, err)
	server := httptest.NewServer(n.mux())
	t.Cleanup(server.Close)
	return &made{counter: n, t: t, url: server.URL, out: &out}
}

func (m *made) get(path string) (int, string) {
	m.t.Helper()
	response, err := http.Get(m.url + path)
	require.NoError(m.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(m.t, err)
	return response.StatusCode, string(body)
}

func (m *made) state() report.State {
	m.t.Helper()
	code, body := m.get("/state")
	require.Equal(m.t, http.StatusOK, code, body)
	var s report.State
	require.NoError(m.t, json.Unmarshal([]byte(body), &s))
	return s
}

// ticks counts n times, each 100 ms after the last by the clock it is given.
func (m *made) ticks(n int) {
	for range n {
		m.tick(m.last.Add(interval))
	}
}

func TestTheNonceIsNewForEachStart(t *testing.T) {
	t.Parallel()
	a, b := newMade(t, config{}), newMade(t, config{})
	first := a.state().Nonce
	require.Len(t, first, 32)
	require.NotEqual(t, first, b.state().Nonce)
	require.Equal(t, first, a.state().Nonce)
}

func TestTheCountGoesUpByItself(t *testing.T) {
	t.Parallel()
	m := newMade(t, config{})
	m.start(t.Context())
	require.Eventually(t, func() bool { return m.state().Count >= 3 }, 10*time.Second, 20*time.Millisecond)
}

func TestEveryCountIsALineOfBothJournals(t *testing.T) {
	t.Parallel()
	m := newMade(t, config{Dir: filepath.Join(t.TempDir(), "volume")})
	m.ticks(7)
	s := m.state()
	require.EqualValues(t, 7, s.Count)
	for _, name := range []string{"root", "dir"} {
		j := s.Journals[name]
		require.Empty(t, j.Error, name)
		require.EqualValues(t, 7, j.Lines, name)
		require.EqualValues(t, 7, j.Last, name)
		require.Equal(t, j.Size, j.Offset, name)
	}
	_, content := m.get("/read?path=" + url.QueryEscape(s.Journals["root"].Path))
	require.Contains(t, content, "7 "+s.Nonce+"\n")
}

func TestAJournalSaysWhatIsWrongWithItsFile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		harm func(t *testing.T, path string)
		want string
	}{
		"cut short":    {func(t *testing.T, p string) { require.NoError(t, os.Truncate(p, 2*int64(len("1 \n")+32))) }, "its descriptor is at"},
		"overwritten":  {func(t *testing.T, p string) { harmAt(t, p, 0, "9") }, `line 1 of`},
		"gone":         {func(t *testing.T, p string) { require.NoError(t, os.Remove(p)) }, "no such file"},
		"another file": {replaced, "not the file that is held open"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMade(t, config{})
			m.ticks(4)
			require.Empty(t, m.state().Journals["root"].Error)
			c.harm(t, m.state().Journals["root"].Path)
			require.Contains(t, m.state().Journals["root"].Error, c.want)
		})
	}
}

func harmAt(t *testing.T, path string, at int64, text string) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte(text), at)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func replaced(t *testing.T, path string) {
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path+".new", content, 0o644))
	require.NoError(t, os.Rename(path+".new", path))
}

func TestALostOffsetShows(t *testing.T) {
	t.Parallel()
	m := newMade(t, config{})
	m.ticks(3)
	_, err := m.probes[0].(*journal).file.Seek(0, io.SeekStart)
	require.NoError(t, err)
	m.ticks(1)
	require.NotEmpty(t, m.state().Journals["root"].Error)
}

func TestAWriteThatFailsMakesTheCounterUnhealthy(t *testing.T) {
	t.Parallel()
	m := newMade(t, config{})
	code, _ := m.get("/healthz")
	require.Equal(t, http.StatusOK, code)
	require.NoError(t, m.probes[0].(*journal).file.Close())
	m.ticks(1)
	code, body := m.get("/healthz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, body, "write journal")
}

func TestAPauseShowsWithItsCount(t *testing.T) {
	t.Parallel()
	m := newMade(t, config{})
	m.ticks(5)
	require.Empty(t, m.state().Pauses, "counts in time are no pause")
	m.tick(m.last.Add(report.PauseAfter))
	require.Empty(t, m.state().Pauses, "a late count is no pause yet")
	m.tick(m.last.Add(3 * time.Second))
	m.ticks(2)
	pauses := m.state().Pauses
	require.Len(t, pauses, 1)
	require.EqualValues(t, 6, pauses[0].Count)
	require.Equal(t, 3*time.Second, pauses[0].Length())
}

func TestMemoryIsSummedAnewForEachRequest(t *testing.T) {
	t.Parallel()
	m := newMade(t, config{MemoryMiB: 2})
	before := m.state()
	require.Equal(t, 2, before.MemoryMiB)
	require.Len(t, before.MemorySHA256, 64)
	require.Equal(t, before.MemorySHA256AtStart, before.MemorySHA256)
	m.memory.bytes[1<<20] ^= 1
	after := m.state()
	require.NotEqual(t, before.MemorySHA256, after.MemorySHA256)
	require.Equal(t, before.MemorySHA256AtStart, after.MemorySHA256AtStart)

	require.Empty(t, newMade(t, config{}).state().MemorySHA256)
	_, err := newCounter(config{MemoryMiB: -1, Log: filepath.Join(t.TempDir(), "log")}, io.Discard)
	require.ErrorContains(t, err, "COUNTER_MEMORY_MIB")
}

func TestALineEachSecondOnStandardOutput(t *testing.T) {
	t.Parallel()
	m := newMade(t, config{})
	m.ticks(25)
	require.Equal(t, "count=10 nonce="+m.nonce+"\ncount=20 nonce="+m.nonce+"\n", m.out.String())
}

func TestFilesAreWrittenAndReadBack(t *testing.T) {
	t.Parallel()
	m := newMade(t, config{})
	path := url.QueryEscape(filepath.Join(t.TempDir(), "new/dir/file"))
	code, _ := m.get("/read?path=" + path)
	require.Equal(t, http.StatusNotFound, code)
	code, body := m.get("/write?path=" + path + "&data=a+b")
	require.Equal(t, http.StatusOK, code, body)
	code, body = m.get("/read?path=" + path)
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "a b", body)
	code, _ = m.get("/remove?path=" + path)
	require.Equal(t, http.StatusOK, code)
	for _, gone := range []string{"/read", "/remove"} {
		code, _ = m.get(gone + "?path=" + path)
		require.Equal(t, http.StatusNotFound, code, gone)
	}
	code, _ = m.get("/write?path=/proc/none/file&data=x")
	require.NotEqual(t, http.StatusOK, code)
}

func TestMemoryIsTakenAndKept(t *testing.T) {
	t.Parallel()
	m := newMade(t, config{})
	code, body := m.get("/grow?mib=2")
	require.Equal(t, http.StatusOK, code, body)
	require.Len(t, m.grown, 2)
	require.EqualValues(t, 255, m.grown[1][255], "written to: the kernel gives no page before")
	for _, wrong := range []string{"", "-1", "65536", "much"} {
		code, _ = m.get("/grow?mib=" + wrong)
		require.Equal(t, http.StatusBadRequest, code, wrong)
	}
}

func TestStateTellsAboutTheProcess(t *testing.T) {
	t.Parallel()
	s := newMade(t, config{}).state()
	require.Equal(t, os.Getpid(), s.PID)
	require.Equal(t, os.Getuid(), s.UID)
	require.Positive(t, s.Threads)
	require.Equal(t, os.Getenv("PATH"), s.Env["PATH"])
	require.WithinDuration(t, time.Now(), s.Start, time.Minute)
}

func TestLoadCountsWhatItGets(t *testing.T) {
	t.Parallel()
	m := newMade(t, config{})
	l := newLoad(config{LoadURL: m.url + "/healthz", LoadWorkers: 2, LoadInterval: time.Millisecond})
	l.start(t.Context())
	require.Eventually(t, func() bool { return seen(t, l).OK >= 5 }, 10*time.Second, 5*time.Millisecond)
	require.Zero(t, seen(t, l).Failed)

	bad := newLoad(config{LoadURL: m.url + "/nothing", LoadWorkers: 1, LoadInterval: time.Millisecond})
	bad.start(t.Context())
	require.Eventually(t, func() bool { return seen(t, bad).Failed >= 1 }, 10*time.Second, 5*time.Millisecond)
	require.Contains(t, seen(t, bad).LastError, "404")
	require.Zero(t, seen(t, bad).OK)

	other := newLoad(config{LoadURL: m.url + "/healthz", LoadExpect: "something else", LoadWorkers: 1, LoadInterval: time.Millisecond})
	other.start(t.Context())
	require.Eventually(t, func() bool { return seen(t, other).Failed >= 1 }, 10*time.Second, 5*time.Millisecond)
	require.Contains(t, seen(t, other).LastError, "ok")
	require.Zero(t, seen(t, other).OK, "an answer from somebody else does not count")
}

func TestLoadTellsHowLongItWaits(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-answer }))
	t.Cleanup(server.Close)
	l := newLoad(config{LoadURL: server.URL, LoadWorkers: 1, LoadInterval: time.Millisecond})
	l.start(t.Context())
	require.Eventually(t, func() bool { return seen(t, l).Waiting > 50*time.Millisecond }, 10*time.Second, 5*time.Millisecond)
	close(answer)
	require.Eventually(t, func() bool { s := seen(t, l); return s.OK > 0 && s.Waiting < 50*time.Millisecond }, 10*time.Second, time.Millisecond)
}

func seen(t *testing.T, l *load) (s report.Load) {
	w := httptest.NewRecorder()
	l.mux().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/load", nil))
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &s))
	return s
}

func TestABadEnvironmentIsNamed(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "log")
	err := run(t.Context(), envconfig.MapLookuper(map[string]string{"PORT": "http", "COUNTER_LOG": log}), io.Discard)
	require.ErrorContains(t, err, "PORT")
	err = run(t.Context(), envconfig.MapLookuper(map[string]string{"COUNTER_MEMORY_MIB": "much", "COUNTER_LOG": log}), io.Discard)
	require.ErrorContains(t, err, "MemoryMiB")
}

// asProgram makes this test binary the counter, so that its end can be seen from outside.
const asProgram = "TEST_COUNTER_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" || os.Getenv(childRole) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestExitEndsTheProcessWithItsCode(t *testing.T) {
	t.Parallel()
	port, base := freePort(t)
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), asProgram+"=1", "PORT="+port, "COUNTER_LOG="+filepath.Join(t.TempDir(), "log"))
	require.NoError(t, command.Start())
	require.Eventually(t, func() bool {
		response, err := http.Get(base + "/exit?code=7")
		if err != nil {
			return false
		}
		return response.Body.Close() == nil
	}, 10*time.Second, 20*time.Millisecond)
	var exit *exec.ExitError
	require.ErrorAs(t, command.Wait(), &exit)
	require.Equal(t, 7, exit.ExitCode())
}

// freePort is a port of this host that was free a moment ago.
func freePort(t *testing.T) (port, base string) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	u, err := url.Parse(server.URL)
	require.NoError(t, err)
	return u.Port(), server.URL
}

// A listener with Multipath TCP cannot be dumped, and nothing but the debug setting of the main package prevents one.
func TestTheProgramIsBuiltWithoutMultipathTCP(t *testing.T) {
	t.Parallel()
	info, ok := debug.ReadBuildInfo()
	require.True(t, ok)
	for _, s := range info.Settings {
		if s.Key == "DefaultGODEBUG" {
			require.Contains(t, s.Value, "multipathtcp=0")
			return
		}
	}
	t.Fatal("the build has no DefaultGODEBUG: the go:debug line has to be above the package clause")
}

// ask gets a path; into may be nil.
func ask(ctx context.Context, url string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("get %s: %s", url, response.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(into)
}

// The file is kubelet's: one that is not there must not be made.
func TestLastWordsGoToTheFileThatIsThere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	require.ErrorIs(t, writeExisting(path, "x"), os.ErrNotExist)
	require.NoError(t, os.WriteFile(path, []byte("something longer"), 0o600))
	require.NoError(t, writeExisting(path, "last words"))
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "last words", string(content))
}
