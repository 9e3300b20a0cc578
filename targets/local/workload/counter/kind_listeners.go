package main

import (
	"fmt"
	"io"
	"net"
	"time"

	"github.com/cedana/cedana-e2e/targets/local/workload/counter/report"
)

// answerTimeout is how long this process may take to answer itself.
const answerTimeout = 5 * time.Second

// listeners answer with what they are sent. TCP connections that were open are not among them: a restored pod has
// another address, so they are closed.
type listeners struct {
	nonce string
	all   []net.Listener
	udp   *net.UDPConn
}

func openListeners(c config, nonce string) (kind, error) {
	l := &listeners{nonce: nonce}
	for _, address := range []net.Addr{
		&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)},
		&net.UnixAddr{Name: c.state("listener"), Net: "unix"},
		&net.UnixAddr{Name: "@counter-" + nonce, Net: "unix"},
	} {
		listener, err := net.Listen(address.Network(), address.String())
		if err != nil {
			return nil, err
		}
		l.all = append(l.all, listener)
		go func() {
			for {
				c, err := listener.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					_, _ = io.Copy(c, c)
				}()
			}
		}()
	}
	var err error
	l.udp, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	return l, err
}

func (l *listeners) tick(uint64) error { return nil }

func (l *listeners) check(k *report.Kind) error {
	for _, listener := range l.all {
		address := listener.Addr()
		k.Values[address.Network()+" "+address.String()] = "listening"
		if err := l.ask(address); err != nil {
			return fmt.Errorf("the listener at %s %s does not answer: %w", address.Network(), address, err)
		}
	}
	address := l.udp.LocalAddr()
	k.Values["udp "+address.String()] = "bound"
	if err := l.udp.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	if _, err := l.udp.WriteTo([]byte(l.nonce), address); err != nil {
		return fmt.Errorf("the UDP socket at %s does not send: %w", address, err)
	}
	got := make([]byte, 64)
	n, _, err := l.udp.ReadFrom(got)
	if err != nil || string(got[:n]) != l.nonce {
		return fmt.Errorf("the UDP socket at %s does not get what it is sent: %q, %s", address, got[:n], fmt.Sprint(err))
	}
	return nil
}

func (l *listeners) ask(address net.Addr) error {
	c, err := net.DialTimeout(address.Network(), address.String(), answerTimeout)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	if _, err := c.Write([]byte(l.nonce)); err != nil {
		return err
	}
	got := make([]byte, len(l.nonce))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != l.nonce {
		return fmt.Errorf("answer %q", got)
	}
	return nil
}
