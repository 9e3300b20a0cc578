//go:build e2e

package e2e

func TestBroken(t *missing.T) {}
