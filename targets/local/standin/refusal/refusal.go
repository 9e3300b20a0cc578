// Package refusal has why a restore is refused: a code for programs, which stays the same, and words for people.
// docs/refusals.md has the codes.
package refusal

import (
	"errors"
	"fmt"
)

// Code says what is wrong. It is the first word of a failed action's error.
type Code string

// The codes.
const (
	ImageChanged        Code = "ImageChanged"
	ImageMissing        Code = "ImageMissing"
	MemoryLimitTooLow   Code = "MemoryLimitTooLow"
	VolumeMissing       Code = "VolumeMissing"
	VolumeChanged       Code = "VolumeChanged"
	CPUFeatureMissing   Code = "CPUFeatureMissing"
	OtherArchitecture   Code = "OtherArchitecture"
	FormatTooNew        Code = "FormatTooNew"
	ArchiveDamaged      Code = "ArchiveDamaged"
	RuntimeClassMissing Code = "RuntimeClassMissing"
)

// Error is a refusal: trying again gives the same as long as nobody changes what it names.
type Error struct {
	Code   Code
	Reason string
}

// New is a refusal with its reason.
func New(code Code, format string, args ...any) error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string { return e.Reason }

// Is reports whether an error is a refusal.
func Is(err error) bool {
	var refused *Error
	return errors.As(err, &refused)
}

// Coded is an error for whoever asked for the restore: that of a refusal begins with its code.
func Coded(err error) error {
	var refused *Error
	if !errors.As(err, &refused) {
		return err
	}
	return fmt.Errorf("%s: %w", refused.Code, err)
}
