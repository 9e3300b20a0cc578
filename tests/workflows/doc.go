// Package workflows runs the steps of .github/workflows on this machine, in order and as they are written, so that a
// workflow is known to work before GitHub has it. What only GitHub can do (`uses:`) is named.
package workflows
