package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// peer is another counter that this one talks to.
type peer struct {
	url    string
	client *http.Client
}

// newPeer keeps no connection: a request over one that the checkpoint has closed would be made a second time, and be
// answered from after the restore.
func newPeer(url string) *peer {
	return &peer{url + "/count", &http.Client{Timeout: report.PauseAfter, Transport: &http.Transport{DisableKeepAlives: true}}}
}

// hear asks the peer for its count. What it says after a pause does not count before the pause is noted: a pause has what
// was heard before it. A peer that does not answer, because it has not begun, is asked again at the next count.
func (n *counter) hear(ctx context.Context) {
	if n.peer == nil {
		return
	}
	count, err := n.peer.count(ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil && time.Now().Round(0).Sub(n.last.Round(0)) <= report.PauseAfter {
		n.heard = max(n.heard, count)
	}
}

func (p *peer) count(ctx context.Context) (count uint64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return 0, err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = fmt.Fscan(response.Body, &count)
	return count, err
}
