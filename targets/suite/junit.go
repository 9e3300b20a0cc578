package suite

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/cedana/cedana-e2e/targets/atomicfile"
	"github.com/cedana/cedana-e2e/targets/report"
)

// junitRoot is a JUnit report of which only the numbers at the top are looked at.
type junitRoot struct {
	XMLName xml.Name   `xml:"testsuites"`
	Attrs   []xml.Attr `xml:",any,attr"`
	Inner   string     `xml:",innerxml"`
}

type junitSuite struct {
	XMLName  xml.Name  `xml:"testsuite"`
	Name     string    `xml:"name,attr"`
	Tests    int       `xml:"tests,attr"`
	Failures int       `xml:"failures,attr"`
	Errors   int       `xml:"errors,attr"`
	Skipped  int       `xml:"skipped,attr"`
	Case     junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string       `xml:"classname,attr"`
	Name    string       `xml:"name,attr"`
	Time    string       `xml:"time,attr"`
	Failure *junitReason `xml:"failure"`
	Skipped *junitReason `xml:"skipped"`
}

type junitReason struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// addToJUnit adds a test that is none of the test program's, in a suite of its own. Without a report there is nothing to
// add to: the tests never ran.
func addToJUnit(path string, t *report.Test) error {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var root junitRoot
	if err == nil {
		err = xml.Unmarshal(content, &root)
	}
	if err != nil {
		return fmt.Errorf("add %s to %s: %w", t.Name, path, err)
	}
	added := junitSuite{Name: t.Name, Tests: 1, Case: junitCase{Class: t.Name, Name: t.Name, Time: "0"}}
	switch t.Outcome {
	case report.Failed:
		added.Failures, added.Case.Failure = 1, &junitReason{"Failed", t.Reason}
	case report.Skipped:
		added.Skipped, added.Case.Skipped = 1, &junitReason{Message: t.Reason}
	}
	for i, a := range root.Attrs {
		more := map[string]int{"tests": added.Tests, "failures": added.Failures, "skipped": added.Skipped}[a.Name.Local]
		if n, err := strconv.Atoi(a.Value); err == nil && more > 0 {
			root.Attrs[i].Value = strconv.Itoa(n + more)
		}
	}
	one, err := xml.MarshalIndent(added, "\t", "\t")
	if err != nil {
		return fmt.Errorf("add %s to %s: %w", t.Name, path, err)
	}
	root.Inner += string(one) + "\n"
	out, err := xml.Marshal(root)
	if err != nil {
		return fmt.Errorf("add %s to %s: %w", t.Name, path, err)
	}
	return atomicfile.Write(path, append([]byte(xml.Header), append(out, '\n')...), 0o644)
}
