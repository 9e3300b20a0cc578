package report

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/cedana/cedana-e2e/targets/measured"
)

// The plot's sizes, in the units of its drawing.
const (
	plotWidth, plotHeight = 640, 320
	// plotLeft is where it begins to the right of the labels, plotBottom where the labels of the places are.
	plotLeft, plotBottom = 64, 312
	plotTop, plotFloor   = 16, 284
	// plotColours is how many lines can be told apart.
	plotColours = 6
)

// plot shows times over an axis. The times are on a logarithmic scale, and the places are equally far apart: what doubles
// with each place, as costs do over memory, is a straight line.
type plot struct {
	X                           string
	Width, Height, Left, Bottom int
	Levels                      []mark
	Places                      []mark
	Lines                       []line
}

// mark is a label on one of the axes.
type mark struct {
	X, Y  float64
	Label string
}

type line struct {
	Name   string
	Class  int
	Points []point
}

// point is a median; Least and Most are the heights of the smallest and the largest sample.
type point struct {
	X, Y, Least, Most float64
	Title             string
}

func newPlot(of *measured.Times) plot {
	p := plot{X: of.X, Width: plotWidth, Height: plotHeight, Left: plotLeft, Bottom: plotBottom}
	var places []string
	least, most := time.Duration(math.MaxInt64), time.Millisecond
	for _, s := range of.Series {
		if !slices.Contains(places, s.At) {
			places = append(places, s.At)
		}
		least, most = min(least, slices.Min(s.Samples)), max(most, slices.Max(s.Samples))
	}
	levels := scale(max(least, time.Millisecond), most)
	floor, top := math.Log(levels[0].Seconds()), math.Log(levels[len(levels)-1].Seconds())
	height := func(d time.Duration) float64 {
		part := (math.Log(max(d, levels[0]).Seconds()) - floor) / (top - floor)
		return rounded(plotFloor - part*(plotFloor-plotTop))
	}
	step := float64(plotWidth-plotLeft) / float64(len(places))
	at := func(place string) float64 { return rounded(plotLeft + step*(float64(slices.Index(places, place))+0.5)) }
	for _, d := range levels {
		p.Levels = append(p.Levels, mark{Y: height(d), Label: took(d)})
	}
	for _, place := range places {
		p.Places = append(p.Places, mark{X: at(place), Label: place})
	}
	for i, name := range of.Names() {
		one := line{Name: name, Class: i % plotColours}
		for _, s := range of.Series {
			if s.Name == name {
				smallest, largest := slices.Min(s.Samples), slices.Max(s.Samples)
				one.Points = append(one.Points, point{
					X: at(s.At), Y: height(s.Median()), Least: height(smallest), Most: height(largest),
					Title: fmt.Sprintf("%s, %s: %s (%s to %s, n=%d)", name, s.At, took(s.Median()), took(smallest), took(largest), len(s.Samples)),
				})
			}
		}
		p.Lines = append(p.Lines, one)
	}
	return p
}

// scale has the levels 1, 2, 5, 10 and so on from the last that is not above least to the first that is not below most,
// at least two of them.
func scale(least, most time.Duration) []time.Duration {
	var levels []time.Duration
	for decade := time.Microsecond; ; decade *= 10 {
		for _, n := range []time.Duration{1, 2, 5} {
			level := n * decade
			if level <= least {
				levels = levels[:0]
			}
			levels = append(levels, level)
			if level >= most && len(levels) > 1 {
				return levels
			}
		}
	}
}

func rounded(f float64) float64 { return math.Round(f*10) / 10 }
