package try

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// listProcesses lists a container's processes with nothing but a shell: a line of /proc/PID/stat for each but the shell's own, after
// one that says whether the kernel chooses addresses at random. It starts no process besides.
const listProcesses = `read -r v < /proc/sys/kernel/randomize_va_space && echo "random $v"
for d in /proc/[0-9]*; do [ "$d" != "/proc/$$" ] && { read -r l < "$d/stat"; } 2>/dev/null && echo "$l"; done; :`

// process is one of a container's.
type process struct {
	PID  int
	Name string
	// Layout is where its program, its heap and its stack are: another one for each program that is started, and kept by a
	// checkpoint. Empty where it may not be seen, or where the kernel chooses no addresses at random.
	Layout string
}

func (p process) String() string { return fmt.Sprintf("%d (%s)", p.PID, p.Name) }

// The fields of /proc/PID/stat, as proc(5) counts them from 1.
const (
	fieldState      = 3
	fieldStartCode  = 26
	fieldStartStack = 28
	fieldStartBrk   = 47
)

// parseProcesses reads what listProcesses says.
func parseProcesses(text string) ([]process, error) {
	var list []process
	random := true
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if value, ok := strings.CutPrefix(line, "random "); ok {
			random = value == "2"
			continue
		}
		// PID (NAME) STATE ...; the name may have anything in it.
		open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
		if open < 0 || end < open {
			return nil, fmt.Errorf("read processes: %q is no line of /proc/PID/stat", line)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(line[:open]))
		fields := strings.Fields(line[end+1:])
		if err != nil || len(fields) <= fieldStartBrk-fieldState {
			return nil, fmt.Errorf("read processes: %q is no line of /proc/PID/stat", line)
		}
		p := process{PID: pid, Name: line[open+1 : end]}
		field := func(n int) string { return fields[n-fieldState] }
		if field(fieldState) == "Z" {
			continue
		}
		if random && field(fieldStartStack) != "0" {
			p.Layout = strings.Join([]string{field(fieldStartCode), field(fieldStartStack), field(fieldStartBrk)}, " ")
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b process) int { return cmp.Compare(a.PID, b.PID) })
	return list, nil
}

// sameProcesses holds what runs in the restored container against the processes that were there both before and after the
// checkpoint, and so in it: each has to be there with its PID and its layout. Others may have come.
func sameProcesses(before, after, now []process) (verdict, string) {
	find := func(list []process, pid int) *process {
		i := slices.IndexFunc(list, func(p process) bool { return p.PID == pid })
		if i < 0 {
			return nil
		}
		return &list[i]
	}
	var same, wrong []string
	byName := 0
	for _, was := range before {
		if still := find(after, was.PID); still == nil || *still != was {
			continue // it came and went in the original
		}
		is := find(now, was.PID)
		switch {
		case is == nil:
			wrong = append(wrong, fmt.Sprintf("%s is not there", was))
		case was.Layout != is.Layout && was.Layout != "" && is.Layout != "":
			wrong = append(wrong, fmt.Sprintf("%s is another process, started anew: its memory lies elsewhere", is))
		case is.Name != was.Name:
			wrong = append(wrong, fmt.Sprintf("%s is %s now", was, is))
		default:
			same = append(same, was.String())
			if was.Layout == "" || is.Layout == "" {
				byName++
			}
		}
	}
	switch {
	case len(wrong) > 0:
		return lost, strings.Join(wrong, "; ")
	case len(same) == 0:
		return unknown, "no process of the original was there long enough to be looked for"
	}
	text := fmt.Sprintf("%s: same PIDs, same layout of memory", few(same))
	if byName > 0 {
		text += fmt.Sprintf("; of %d of them only PID and name could be seen", byName)
	}
	if byName == len(same) {
		return unknown, text
	}
	return kept, text
}

// few is a list of which the first are named.
func few(list []string) string {
	const most = 6
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}
