package contract

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const table = `text

| operation | where | name | the document says | seen | why |
|---|---|---|---|---|---|
`

func TestTheTableOfTheRepositoryCanBeRead(t *testing.T) {
	t.Parallel()
	rows, err := ReadExpected("../../" + ExpectedFile)
	require.NoError(t, err)
	require.NotEmpty(t, rows)

	rows, err = parseExpected(table + "| `GET /v2/a` | operation | | `a \\| b` | * | as `b` has `c` |\n")
	require.NoError(t, err)
	require.Equal(t, []Expected{{Drift{"GET /v2/a", InOperation, "", "a | b", "*"}, "as `b` has `c`"}}, rows)
}

func TestATableThatSaysTooLittleIsRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"nothing":                                        "no table with the columns",
		table + "| `GET /v2/user` | query |\n":           "2 cells, want 6",
		table + "| `GET /v2/user` | soul | | | | w":      `"soul" is not one of`,
		table + "| `GET /v2/user` | operation | | | | |": "needs an operation and a reason",
		table + "\n" + table:                             "second table",
	} {
		_, err := parseExpected(text)
		require.ErrorContains(t, err, want)
	}
}

// An exchange goes through the transport, is counted, explained or not, and what was not seen is said.
func TestWhatIsSeenIsComparedWithWhatIsExpected(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, id)
	}))
	t.Cleanup(server.Close)
	d := load(t, "api-3.1.json")
	expected, err := parseExpected(table +
		"| `POST /v2/checkpoint/pod` | request body | `runc_root` | not declared | present | taken, and undocumented |\n" +
		"| `GET /v2/actions` | query parameter | `status` | * | * | a filter |\n" +
		"| `GET /v9/another` | query parameter | `x` | * | * | of another document |\n")
	require.NoError(t, err)
	check := &Check{Document: d, Expected: expected, Ledger: NewLedger(d)}
	client := http.Client{Transport: check.Ledger.Transport(http.DefaultTransport)}
	t.Cleanup(client.CloseIdleConnections)
	ask := func(method, path, body string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer canary")
		if body != "" {
			request.Header.Set("Content-Type", "application/json")
		}
		response, err := client.Do(request)
		require.NoError(t, err)
		content, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, id, string(content))
	}
	body := `{"pod_id":"` + id + `","runc_root":"/canary","other":"canary"}`
	ask("POST", "/v2/checkpoint/pod", body)
	ask("POST", "/v2/checkpoint/pod", body)
	ask("GET", "/v2/user", "")
	ask("PUT", "/internal/blob?sig=canary", "canary")

	r := check.Report()
	require.Equal(t, 3, r.Exchanges)
	require.Equal(t, map[string]int{"POST /v2/checkpoint/pod": 2, "GET /v2/user": 1}, r.Operations)
	require.Len(t, r.Rows, 2)
	unexplained := r.Unexplained()
	require.Len(t, unexplained, 1)
	require.Equal(t, "other", unexplained[0].Name)
	require.Equal(t, 2, unexplained[0].Count)
	require.Len(t, r.Stale, 1)
	require.Equal(t, "status", r.Stale[0].Name)

	var text strings.Builder
	require.NoError(t, r.Text(&text))
	encoded, err := json.Marshal(r)
	require.NoError(t, err)
	for _, out := range []string{text.String(), string(encoded)} {
		require.Contains(t, out, "runc_root")
		require.Contains(t, out, "taken, and undocumented")
		require.NotContains(t, out, "canary")
	}

	// Another process's record counts too.
	file := filepath.Join(t.TempDir(), RecordFile)
	require.NoError(t, check.Ledger.Record().Write(file))
	record, err := ReadRecord(file)
	require.NoError(t, err)
	check.Ledger.Merge(record)
	require.Equal(t, 6, check.Report().Exchanges)
	require.Equal(t, 4, check.Report().Unexplained()[0].Count)
	_, err = ReadRecord(file + ".none")
	require.ErrorIs(t, err, ErrNoRecord)
}

func TestWithoutALedgerTheTransportStays(t *testing.T) {
	t.Parallel()
	var none *Ledger
	require.Same(t, http.DefaultTransport, none.Transport(http.DefaultTransport))
}
