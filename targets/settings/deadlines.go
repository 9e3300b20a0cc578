package settings

import "time"

// Deadlines of targets that no variable changes.
const (
	// DoctorTimeout covers trying an engine with a container on a slow machine.
	DoctorTimeout = 2 * time.Minute
	// RequestsTimeout is for a few requests of data.
	RequestsTimeout = 30 * time.Second
	// SweepTimeout is for a request for each thing that is swept.
	SweepTimeout = 5 * time.Minute
)
