package report

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/mask"
)

// browser is Chromium without a window. Its test is skipped where there is none.
func browser(t *testing.T) context.Context {
	t.Helper()
	var program string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			program = found
			break
		}
	}
	if program == "" {
		t.Skip("no Chromium here: `apt-get install chromium` (Debian)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate("about:blank")))
	return ctx
}

// watched are a page's requests, and what it complained of.
type watched struct {
	mu             sync.Mutex
	urls, problems []string
}

func (w *watched) hear(event any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, "data:") {
			w.urls = append(w.urls, e.Request.URL)
		}
	case *runtime.EventExceptionThrown:
		w.problems = append(w.problems, e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		w.problems = append(w.problems, fmt.Sprintf("console.%s", e.Type))
	case *log.EventEntryAdded:
		w.problems = append(w.problems, e.Entry.Text)
	}
}

// axeVersion is the axe-core that the report is held against; it is no dependency of anything but this test.
const axeVersion = "4.10.3"

// axe is the text of axe-core, which npm fetches; empty where that cannot be.
func axe(t *testing.T) string {
	t.Helper()
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Logf("axe-core's rules are not looked at: no npm here: `apt-get install npm` (Debian)")
		return ""
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), npm, "pack", "--silent", "axe-core@"+axeVersion)
	cmd.Dir, cmd.WaitDelay = dir, time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Logf("axe-core's rules are not looked at: fetch axe-core@%s from npm's registry: %v: %s", axeVersion, err, out)
		return ""
	}
	text, err := exec.CommandContext(t.Context(), "tar", "-xzOf", filepath.Join(dir, "axe-core-"+axeVersion+".tgz"), "package/axe.min.js").Output()
	require.NoError(t, err)
	return string(text)
}

type violation struct {
	ID, Help string
	Nodes    []struct{ HTML, FailureSummary string }
}

// A reader's browser shows the report, in both colour schemes, on a phone and on a desk, and asks nobody for anything.
func TestTheReportInABrowser(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	rules := axe(t)
	for name, r := range map[string]*Run{"green": greenRun(), "red": redRun()} {
		dir := t.TempDir()
		keepFiles(t, dir)
		require.NoError(t, r.writeHTML(dir, mask.New()))
		for scheme, width := range map[string]int64{"dark": 390, "light": 1280} {
			shot := fmt.Sprintf("%s-%d-%s", name, width, scheme)
			t.Run(shot, func(t *testing.T) {
				look(ctx, t, "file://"+filepath.Join(dir, HTMLFile), r.headline(), rules, width, scheme)
			})
		}
	}
}

func look(ctx context.Context, t *testing.T, url, headline, rules string, width int64, scheme string) {
	t.Helper()
	var seen watched
	tab, cancel := chromedp.NewContext(ctx, chromedp.WithListener(seen.hear))
	defer cancel()
	for _, start := range []func() error{
		func() error { _, err := chromedp.Call(tab, network.Enable, network.EnableParams{}); return err },
		func() error { _, err := chromedp.Call(tab, log.Enable, cdp.Empty{}); return err },
		func() error {
			_, err := chromedp.Call(tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
			})
			return err
		},
		func() error { return chromedp.Do(tab, chromedp.EmulateViewport(width, 900), chromedp.Navigate(url)) },
	} {
		require.NoError(t, start())
	}
	title, err := chromedp.Run(tab, chromedp.Title())
	require.NoError(t, err)
	require.Contains(t, title, headline)
	text, err := chromedp.Run(tab, chromedp.Evaluate[string](`document.body.innerText`))
	require.NoError(t, err)
	require.Contains(t, text, headline)
	image, err := chromedp.Run(tab, chromedp.FullScreenshot(100))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(t.ArtifactDir(), path.Base(t.Name())+".png"), image, 0o644))
	wide, err := chromedp.Run(tab, chromedp.Evaluate[bool](`document.documentElement.scrollWidth > window.innerWidth`))
	require.NoError(t, err)
	require.False(t, wide, "the page is wider than the screen")
	seen.mu.Lock()
	require.Equal(t, []string{url}, seen.urls)
	require.Empty(t, seen.problems)
	seen.mu.Unlock()
	if rules == "" {
		return
	}
	require.NoError(t, chromedp.Do(tab, chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("details").forEach(d => d.open = true)`),
		chromedp.Evaluate[chromedp.Void](rules)))
	found, err := chromedp.Run(tab, chromedp.Evaluate[[]violation](`axe.run().then(r => r.violations)`, chromedp.EvalAwaitPromise))
	require.NoError(t, err)
	told, err := json.MarshalIndent(found, "", " ")
	require.NoError(t, err)
	require.Empty(t, found, "%s", told)
}
