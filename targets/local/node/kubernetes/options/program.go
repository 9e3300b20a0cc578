package options

import "path/filepath"

// Program returns which of the known programs argv asks for, and the arguments for it: by the name that the binary is called by, else
// by the first argument, known or not.
func Program(argv []string, known func(string) bool) (string, []string) {
	if len(argv) == 0 {
		return "", nil
	}
	if name := filepath.Base(argv[0]); known(name) {
		return name, argv[1:]
	}
	if len(argv) == 1 {
		return "", nil
	}
	return argv[1], argv[2:]
}
