// Package stretch stretches the limits that no variable of their own sets, for machines that are slower than most: under
// emulation, beside other work. E2E_TIMEOUT_SCALE is the factor, of a process and of all that it starts.
package stretch

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

// Variable is the environment variable that has the factor. Programs in containers are given it under the same name.
const Variable = "E2E_TIMEOUT_SCALE"

// Largest is the largest factor: emulation without hardware support is 10 to 20 times slower than the processor.
const Largest = 100

var scale atomic.Pointer[float64]

// Parse reads a factor: a number from 1 to [Largest]; 1 where the text is empty, and with an error.
func Parse(text string) (float64, error) {
	if text == "" {
		return 1, nil
	}
	factor, err := strconv.ParseFloat(text, 64)
	if err != nil || !(factor >= 1 && factor <= Largest) {
		return 1, fmt.Errorf("%q is not a number from 1 to %d", text, Largest)
	}
	return factor, nil
}

// Set makes the factor this process's, from 1 on.
func Set(factor float64) { scale.Store(&factor) }

// Factor is this process's factor, 1 until it is set.
func Factor() float64 {
	if factor := scale.Load(); factor != nil {
		return *factor
	}
	return 1
}

// Environment is the variable with this process's factor, for a process that it starts.
func Environment() string { return Variable + "=" + Text() }

// Text is this process's factor as the variable has it.
func Text() string { return strconv.FormatFloat(Factor(), 'g', -1, 64) }

// SetFrom makes the factor that the environment has this process's.
func SetFrom(getenv func(string) string) error {
	factor, err := Parse(getenv(Variable))
	if err != nil {
		return fmt.Errorf("read %s: %w", Variable, err)
	}
	Set(factor)
	return nil
}

// Limit is a limit on this machine: d times the factor.
func Limit(d time.Duration) time.Duration { return By(d, Factor()) }

// By is d times a factor.
func By(d time.Duration, factor float64) time.Duration { return time.Duration(float64(d) * factor) }
