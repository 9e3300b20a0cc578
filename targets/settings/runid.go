package settings

import (
	"crypto/rand"
	"encoding/hex"
)

func (c *Checker) runID(value string) string {
	if value == "" {
		var b [4]byte
		// crypto/rand.Read never fails: it ends the program instead (Go 1.24).
		_, _ = rand.Read(b[:])
		return hex.EncodeToString(b[:])
	}
	if !runIDForm.MatchString(value) {
		c.Add("E2E_RUN_ID", "is not 4 to 16 lower-case letters and digits", "1a2b3c4d")
	}
	return value
}
