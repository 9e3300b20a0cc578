package relay

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/propagator/propagatortest"
)

func TestTheReceiverHasTheFaultOfTheLastAnswer(t *testing.T) {
	t.Parallel()
	whole := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	r := &Receiver{}
	require.Empty(t, r.Fault())
	ask := func(h http.Handler) {
		r.Next = propagatortest.Serve(t, h)
		response, err := (&http.Client{Transport: r}).Get(propagatortest.Address)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
	}
	ask(Announce(fault.ColdStart, whole))
	require.Equal(t, fault.ColdStart, r.Fault())
	ask(whole)
	require.Empty(t, r.Fault())
}
