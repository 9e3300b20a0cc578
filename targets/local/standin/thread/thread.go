// Package thread does what the kernel keeps for each thread apart: its namespaces, and its cgroups of the first version.
package thread

import "runtime"

// Apart runs do on a thread that nothing else runs on, before or after: it is never unlocked, and so ends with do. A
// process that do starts is where the thread is.
func Apart(do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- do()
	}()
	return <-done
}
