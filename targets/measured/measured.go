// Package measured is what tests measure: times of several quantities, kept as JSON in artifacts/cases/measured for the programs
// that read them again.
package measured

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// Series is one quantity, measured several times.
type Series struct {
	Name    string          `json:"name"`
	Samples []time.Duration `json:"samples_ns"`
}

// Times has series by name, in the order in which they first came.
type Times struct{ Series []*Series }

// Add adds one measurement to the series of that name.
func (s *Times) Add(name string, d time.Duration) {
	one := s.Get(name)
	if one == nil {
		one = &Series{Name: name}
		s.Series = append(s.Series, one)
	}
	one.Samples = append(one.Samples, d)
}

// Get is the series of that name, nil when there is none.
func (s *Times) Get(name string) *Series {
	for _, one := range s.Series {
		if one.Name == name {
			return one
		}
	}
	return nil
}

// Median is that of the samples.
func (s *Series) Median() time.Duration { return Median(s.Samples) }

// Median of several times; of an even number of them the mean of the middle two, of none 0.
func Median(of []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(of))
	n := len(sorted)
	switch {
	case n == 0:
		return 0
	case n%2 == 1:
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// Write writes the set as a table: name, number, median, smallest, largest.
func (s *Times) Write(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "WHAT\tN\tMEDIAN\tMIN\tMAX")
	for _, one := range s.Series {
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\n", one.Name, len(one.Samples), round(one.Median()),
			round(slices.Min(one.Samples)), round(slices.Max(one.Samples)))
	}
	return table.Flush()
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
