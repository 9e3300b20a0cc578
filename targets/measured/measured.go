// Package measured is what tests measure: times of several quantities, kept as JSON in artifacts/cases/measured for the programs
// that read them again.
package measured

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Series is one quantity, measured several times.
type Series struct {
	Name string `json:"name"`
	// At is where on the axis X of its Times it was measured.
	At      string          `json:"at,omitempty"`
	Samples []time.Duration `json:"samples_ns"`
}

// Times has series by name, in the order in which they first came.
type Times struct {
	Series []*Series
	// X is what is different from one measurement of a quantity to the next, "memory in MiB" for one. Empty: nothing is.
	X string `json:"x,omitempty"`
	// Notes are what is to be known beside the figures, one line each.
	Notes []string `json:"notes,omitempty"`
}

// Add adds one measurement to the series of that name.
func (s *Times) Add(name string, d time.Duration) { s.AddAt(name, "", d) }

// AddAt is Add at a place on the axis X.
func (s *Times) AddAt(name, at string, d time.Duration) {
	one := s.GetAt(name, at)
	if one == nil {
		one = &Series{Name: name, At: at}
		s.Series = append(s.Series, one)
	}
	one.Samples = append(one.Samples, d)
}

// Get is the series of that name, nil when there is none.
func (s *Times) Get(name string) *Series { return s.GetAt(name, "") }

// GetAt is Get at a place on the axis X.
func (s *Times) GetAt(name, at string) *Series {
	for _, one := range s.Series {
		if one.Name == name && one.At == at {
			return one
		}
	}
	return nil
}

// Note adds a line beside the figures.
func (s *Times) Note(format string, args ...any) {
	s.Notes = append(s.Notes, fmt.Sprintf(format, args...))
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

// Write writes the set as a table: name, place on the axis X if there is one, number, median, smallest, largest. The notes
// follow. A quantity's lines stand together.
func (s *Times) Write(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	x := ""
	if s.X != "" {
		x = strings.ToUpper(s.X) + "\t"
	}
	fmt.Fprintf(table, "WHAT\t%sN\tMEDIAN\tMIN\tMAX\n", x)
	for _, name := range s.Names() {
		for _, one := range s.Series {
			if one.Name != name {
				continue
			}
			if s.X != "" {
				x = one.At + "\t"
			}
			fmt.Fprintf(table, "%s\t%s%d\t%s\t%s\t%s\n", one.Name, x, len(one.Samples), round(one.Median()),
				round(slices.Min(one.Samples)), round(slices.Max(one.Samples)))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, note := range s.Notes {
		if _, err := fmt.Fprintln(w, note); err != nil {
			return err
		}
	}
	return nil
}

// Names are those of the series, each once, in the order in which they first came.
func (s *Times) Names() (names []string) {
	for _, one := range s.Series {
		if !slices.Contains(names, one.Name) {
			names = append(names, one.Name)
		}
	}
	return names
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
