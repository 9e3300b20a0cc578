package mask

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const canary = "canary+token/1b9d"

func TestEveryFormOfASecretIsMasked(t *testing.T) {
	t.Parallel()
	m := New(canary, "")
	require.Equal(t, "a ***, b ***, c ***", m.Text("a canary+token/1b9d, b Y2FuYXJ5K3Rva2VuLzFiOWQ=, c canary%2Btoken%2F1b9d"))
	require.Equal(t, "as it is", New("").Text("as it is"))
}

func TestMaskedErrorsKeepTheirCause(t *testing.T) {
	t.Parallel()
	m := New(canary)
	err := m.Error(&os.PathError{Op: "open", Path: "/x/" + canary, Err: os.ErrNotExist})
	require.EqualError(t, err, "open /x/***: file does not exist")
	require.ErrorIs(t, err, os.ErrNotExist)
	plain := errors.New("plain")
	require.Equal(t, plain, m.Error(plain))
	require.NoError(t, m.Error(nil))
}

func TestASecretSplitBetweenWritesIsMasked(t *testing.T) {
	t.Parallel()
	for split := range len(canary) {
		var out bytes.Buffer
		w := New(canary).Writer(&out)
		for _, part := range []string{"before " + canary[:split], canary[split:] + " after\nnext"} {
			n, err := w.Write([]byte(part))
			require.NoError(t, err)
			require.Len(t, part, n)
		}
		require.Equal(t, "before *** after\n", out.String(), "whole lines only")
		require.NoError(t, w.Close())
		require.Equal(t, "before *** after\nnext", out.String())
	}
}

func TestALineThatDoesNotEndIsPassedOnMasked(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("x", mostHeld-5) + canary + strings.Repeat("y", mostHeld)
	for _, size := range []int{1, 7, 4096, mostHeld, len(text)} {
		var out bytes.Buffer
		w := New(canary).Writer(&out)
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			_, err := w.Write([]byte(rest[:n]))
			require.NoError(t, err)
			rest = rest[n:]
		}
		require.NotZero(t, out.Len())
		require.NoError(t, w.Close())
		require.Equal(t, strings.ReplaceAll(text, canary, "***"), out.String(), size)
	}
}
