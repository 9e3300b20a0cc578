package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// leaseName is the Lease's, in Cedana's namespace, that a run holds from before it installs until its tests have ended.
const leaseName = "cedana-e2e"

// leaseTimes are how a Lease is kept. It is renewed every renew; a run that could not for lost, which is less than
// duration, gives up; one that did not for duration is dead, and its Lease is anybody's.
type leaseTimes struct{ renew, lost, duration time.Duration }

var usualTimes = leaseTimes{renew: 5 * time.Second, lost: 20 * time.Second, duration: 30 * time.Second}

// leaseRequestTimeout bounds one request, so that one that hangs leaves time for another.
const leaseRequestTimeout = 5 * time.Second

// Hold keeps other runs away from the Cedana in the settings' namespace, which may be made for that, until release is
// called: it waits for one that is there, within the settings' Timeout, and says whose it is. ended are the ids of runs of
// this E2E_HOME that are known to be over, however they ended. lost is called with the reason when the hold is lost before its release.
func Hold(ctx context.Context, con *console.Console, s *settings.Deploy, opts Options, ended []string, lost func(error)) (release func() error, err error) {
	ctx, cancel := within(ctx, s)
	defer cancel()
	cluster, err := open(context.WithoutCancel(ctx), s, opts.withDefaults(s))
	if err != nil {
		return nil, err
	}
	var l *lease
	err = con.Run(ctx, "see that no other run is in namespace "+s.CedanaNamespace, func(ctx context.Context, step *console.Step) error {
		r := releaser{client: cluster.client, namespace: s.CedanaNamespace, labels: labels(s)}
		if err := r.ensureNamespace(ctx, step); err != nil {
			return err
		}
		l, err = takeLease(ctx, step, cluster.client, s, ended, usualTimes)
		return err
	})
	if err != nil {
		return nil, err
	}
	return l.keep(ctx, lost), nil
}

// lease is one that is held.
type lease struct {
	leases coordination.LeaseInterface
	times  leaseTimes
	mine   *coordinationv1.Lease
}

// holder is what a Lease calls a run of this E2E_HOME.
func holder(s *settings.Deploy, run string) string {
	name := "somebody"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown host"
	}
	return fmt.Sprintf("%s at %s, E2E_HOME %s, run %s", name, host, s.Home, run)
}

func takeLease(ctx context.Context, step *console.Step, client kubernetes.Interface, s *settings.Deploy, ended []string, times leaseTimes) (*lease, error) {
	l := &lease{leases: client.CoordinationV1().Leases(s.CedanaNamespace), times: times}
	wanted := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: leaseName, Labels: labels(s)}}
	me, seconds := holder(s, s.RunID), int32(max(1, times.duration/time.Second))
	over := map[string]bool{"": true, me: true}
	for _, run := range ended {
		over[holder(s, run)] = true
	}
	wanted.Spec.HolderIdentity, wanted.Spec.LeaseDurationSeconds = &me, &seconds
	var seen *coordinationv1.Lease
	var since time.Time
	for {
		there, err := l.leases.Get(ctx, leaseName, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			l.mine, err = l.leases.Create(ctx, stamped(wanted), metav1.CreateOptions{})
		case err != nil:
		default:
			// Only this machine's clock tells how long it was not renewed: theirs may be another.
			if seen == nil || !renewedAt(there).Equal(renewedAt(seen)) || holderOf(there) != holderOf(seen) {
				seen, since = there, time.Now()
			}
			if held := holderOf(there); !over[held] && time.Since(since) < durationOf(there) {
				err = fmt.Errorf("namespace %s is held by the run of %s, which renewed its Lease %s at %s",
					s.CedanaNamespace, held, leaseName, renewedAt(there).Format(time.RFC3339))
				break
			}
			wanted.ResourceVersion, wanted.UID = there.ResourceVersion, there.UID
			l.mine, err = l.leases.Update(ctx, stamped(wanted), metav1.UpdateOptions{})
			wanted.ResourceVersion, wanted.UID = "", ""
		}
		if err == nil {
			return l, nil
		}
		if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
			return nil, fmt.Errorf("take Lease %s in namespace %s, which keeps two runs apart: %w", leaseName, s.CedanaNamespace, err)
		}
		step.Set("waiting: %v", err)
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for another run: %w: %w (next: wait for it, end it, or choose another cluster)", context.Cause(ctx), err)
		case <-time.After(min(times.renew, time.Second)):
		}
	}
}

func stamped(l *coordinationv1.Lease) *coordinationv1.Lease {
	l = l.DeepCopy()
	now := metav1.NowMicro()
	l.Spec.RenewTime = &now
	return l
}

func holderOf(l *coordinationv1.Lease) string {
	if l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}

func renewedAt(l *coordinationv1.Lease) time.Time {
	if l.Spec.RenewTime == nil {
		return time.Time{}
	}
	return l.Spec.RenewTime.Time
}

func durationOf(l *coordinationv1.Lease) time.Duration {
	if l.Spec.LeaseDurationSeconds == nil {
		return usualTimes.duration
	}
	return time.Duration(*l.Spec.LeaseDurationSeconds) * time.Second
}

// keep renews the Lease until release is called, however ctx ends: tests tidy up after it.
func (l *lease) keep(ctx context.Context, lost func(error)) (release func() error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	var done sync.WaitGroup
	done.Go(func() {
		if err := l.renew(ctx); err != nil {
			lost(fmt.Errorf("another run may begin in namespace %s: Lease %s is lost: %w", l.mine.Namespace, leaseName, err))
		}
	})
	return func() error {
		stop()
		done.Wait()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseRequestTimeout)
		defer cancel()
		return l.drop(ctx)
	}
}

func (l *lease) renew(ctx context.Context) error {
	tick := time.NewTicker(l.times.renew)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := l.again(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			last = time.Now()
		case errors.Is(err, errTaken) || time.Since(last) > l.times.lost:
			return err
		}
	}
}

var errTaken = errors.New("it is not ours any more")

// again renews once. After an answer that was lost the Lease is newer than it was thought to be.
func (l *lease) again(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaseRequestTimeout)
	defer cancel()
	there, err := l.leases.Get(ctx, leaseName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && holderOf(there) != holderOf(l.mine) {
		return errTaken
	}
	if err != nil {
		return err
	}
	renewed, err := l.leases.Update(ctx, stamped(there), metav1.UpdateOptions{})
	if err == nil {
		l.mine = renewed
	}
	return err
}

// drop deletes the Lease where it is still this run's.
func (l *lease) drop(ctx context.Context) error {
	there, err := l.leases.Get(ctx, leaseName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && holderOf(there) != holderOf(l.mine) {
		return nil
	}
	if err == nil {
		err = l.leases.Delete(ctx, leaseName, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &there.UID, ResourceVersion: &there.ResourceVersion},
		})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("give up Lease %s in namespace %s, which others wait for until it has run out: %w", leaseName, l.mine.Namespace, err)
	}
	return nil
}
