package console

import (
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

const (
	// resolution is how many steps a bar has.
	resolution = 1000
	// barWidth is in columns, with what is around it.
	barWidth = 24
)

// draw shows a line with a bar on the terminal until done is closed.
func (c *Console) draw(w *watched, done <-chan struct{}) {
	select {
	case <-done:
		return
	case <-time.After(appears):
	}
	bar := c.addBar(w)
	defer c.removeBar(bar)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			if e := w.before.estimate(w.state(), time.Since(w.start)); e.Known {
				// Never full: a full bar would be taken for done, and removed.
				bar.SetCurrent(min(int64(resolution*e.Fraction), resolution-1))
			}
		}
	}
}

func (c *Console) addBar(w *watched) *mpb.Bar {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bars == nil {
		c.bars = mpb.New(mpb.WithOutput(c.progress), mpb.WithAutoRefresh())
	}
	c.drawn++
	style, width := mpb.NopStyle(), 0
	if w.before.estimate(w.state(), 0).Known {
		style, width = mpb.BarStyle().Lbound("[").Filler("=").Tip(">").Padding(" ").Rbound("] "), barWidth
	}
	return c.bars.New(resolution, style, mpb.BarWidth(width), mpb.BarFillerTrim(),
		mpb.PrependDecorators(decor.Name(w.name+" ")),
		mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string {
			// The bar gets what the words leave.
			text := []rune(w.text())
			return string(text[:max(0, min(len(text), s.AvailableWidth-width))])
		})))
}

// removeBar waits with the last bar until everything is on the terminal: what is printed then, by whomever, comes after it.
func (c *Console) removeBar(bar *mpb.Bar) {
	bar.Abort(true)
	bar.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drawn--; c.drawn == 0 {
		c.bars.Wait()
		c.bars = nil
	}
}

// out is where a progress line goes: above the bars, where there are any. It is called with the mutex held.
func (c *Console) out() io.Writer {
	if c.bars != nil {
		return c.bars
	}
	return c.progress
}
