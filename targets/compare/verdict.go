package compare

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/perf/benchmath"

	"github.com/cedana/cedana-e2e/targets/measured"
)

// alpha is how often one comparison of equals may be told as a change, shared by all figures of a run.
const alpha = 0.05

// noticed is the smallest difference that anybody would notice.
const noticed = 5 * time.Millisecond

// Figure is one quantity, with the times that each side took.
type Figure struct {
	Name string
	// A and Again are of the same version, taken in turns like B: how far they are apart is the noise.
	A, Again, B []time.Duration
}

// Row is what is said of a figure.
type Row struct {
	Figure
	// Change is B's median over A's, less 1; Noise the same of Again, without its sign.
	Change, Noise float64
	// P is the probability of such a difference between equals, by the Mann-Whitney U test.
	P       float64
	Verdict Verdict
}

// Verdict on a figure.
type Verdict string

// The verdicts.
const (
	Same   Verdict = "same"
	Slower Verdict = "slower"
	Faster Verdict = "faster"
)

// Judge compares B with all of A. A change counts where chance is no explanation, and where it is larger than the noise,
// than the threshold in percent, and than what anybody would notice.
func Judge(figures []Figure, threshold int) []Row {
	rows := make([]Row, 0, len(figures))
	for _, f := range figures {
		all := slices.Concat(f.A, f.Again)
		row := Row{
			Figure: f, Change: over(f.B, all), Noise: math.Abs(over(f.Again, f.A)),
			P: benchmath.AssumeNothing.Compare(sample(all), sample(f.B)).P, Verdict: Same,
		}
		size := math.Abs(row.Change)
		apart := (measured.Median(f.B) - measured.Median(all)).Abs() >= noticed
		if row.P < alpha/float64(len(figures)) && size > row.Noise && size*100 >= float64(threshold) && apart {
			row.Verdict = Slower
			if row.Change < 0 {
				row.Verdict = Faster
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func sample(of []time.Duration) *benchmath.Sample {
	values := make([]float64, len(of))
	for i, d := range of {
		values[i] = d.Seconds()
	}
	return benchmath.NewSample(values, &benchmath.DefaultThresholds)
}

func over(b, a []time.Duration) float64 {
	return float64(measured.Median(b))/float64(measured.Median(a)) - 1
}

// Write writes the rows as a table.
func Write(w io.Writer, rows []Row) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FIGURE\tA\tA AGAIN\tB\tN\tCHANGE\tP\tVERDICT")
	for _, r := range rows {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d+%d/%d\t%+.1f %%\t%.4f\t%s\n", r.Name, short(r.A), short(r.Again), short(r.B),
			len(r.A), len(r.Again), len(r.B), 100*r.Change, r.P, r.Verdict)
	}
	return table.Flush()
}

func short(of []time.Duration) time.Duration { return measured.Median(of).Round(time.Millisecond) }

// Err names the figures that B is slower in; nil where there is none.
func Err(rows []Row) error {
	var slower []string
	for _, r := range rows {
		if r.Verdict == Slower {
			slower = append(slower, fmt.Sprintf("%s %+.0f %% (%s to %s, p=%.4f)", r.Name, 100*r.Change, short(slices.Concat(r.A, r.Again)), short(r.B), r.P))
		}
	}
	if len(slower) == 0 {
		return nil
	}
	return fmt.Errorf("compare: B is slower than A: %s", strings.Join(slower, "; "))
}
