// Package kills ends `go tool mage e2e` at random moments, by every signal that ends a process, and looks whether the
// run is red, whether it is over, and whether `go tool mage clean` then leaves nothing:
//
//	E2E_KILLS=30 go test -v -timeout 90m ./tests/kills
//
// It cleans this machine of everything that runs of this project have made. SEED plays a campaign again.
package kills
