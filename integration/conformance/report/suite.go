package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A suite is a folder with three lists. Each line is a regular expression of specs beside another
// column: `specs` has the number of hosts before it, `skip` and `failing` the reason after it.
type suite struct {
	specs, skip, failing []entry
}

type entry struct {
	where   string // file and line, for messages
	pattern *regexp.Regexp
	note    string
}

func readSuite(folder string) (suite, error) {
	var s suite
	for name, list := range map[string]*[]entry{"specs": &s.specs, "skip": &s.skip, "failing": &s.failing} {
		entries, err := readList(filepath.Join(folder, name), name == "specs")
		if err != nil {
			return suite{}, err
		}
		*list = entries
	}
	return s, nil
}

// readList reads a list; one that is not there is empty.
func readList(path string, noteFirst bool) ([]entry, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var entries []entry
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		where := fmt.Sprintf("%s:%d", path, i+1)
		pattern, note, found := strings.Cut(line, "\t")
		if !found || pattern == "" || note == "" {
			return nil, fmt.Errorf("%s: expected two columns with a tab between them", where)
		}
		if noteFirst {
			pattern, note = note, pattern
		}
		compiled, err := regexp.Compile(pattern)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		entries = append(entries, entry{where, compiled, note})
	}
	return entries, nil
}

// focused is the suite with other specs, of which its lists need not know.
func (s suite) focused(focus string) (suite, error) {
	pattern, err := regexp.Compile(focus)
	if err != nil {
		return suite{}, err
	}
	s.specs = []entry{{"-focus", pattern, ""}}
	return s, nil
}

func match(entries []entry, text string) (entry, bool) {
	i := slices.IndexFunc(entries, func(e entry) bool { return e.pattern.MatchString(text) })
	if i < 0 {
		return entry{}, false
	}
	return entries[i], true
}

// judge gives the results of the suite's specs, and the places of its lines that match none of all specs.
func (s suite) judge(specs map[string]spec) (results []result, stale []string) {
	for text, spec := range specs {
		if _, wanted := match(s.specs, text); wanted {
			results = append(results, s.judgeOne(spec))
		} else if spec.node != "It" && spec.failed() {
			// Set-up of the whole suite.
			results = append(results, result{spec, failed, spec.reason})
		}
	}
	slices.SortFunc(results, func(a, b result) int { return strings.Compare(a.text, b.text) })
	for _, entry := range slices.Concat(s.specs, s.skip, s.failing) {
		if !entry.matchesAny(specs) {
			stale = append(stale, entry.where)
		}
	}
	return results, stale
}

func (e entry) matchesAny(specs map[string]spec) bool {
	for text := range specs {
		if e.pattern.MatchString(text) {
			return true
		}
	}
	return false
}

func (s suite) judgeOne(spec spec) result {
	skip, skipped := match(s.skip, spec.text)
	known, knownToFail := match(s.failing, spec.text)
	switch {
	case spec.state == "passed" && knownToFail:
		return result{spec, mended, known.where}
	case spec.state == "passed":
		return result{spec, passed, ""}
	case spec.failed() && knownToFail:
		return result{spec, knownFailure, known.note}
	case spec.failed():
		return result{spec, failed, spec.reason}
	case skipped:
		return result{spec, skippedByList, skip.note}
	case spec.reason != "":
		return result{spec, skippedItself, spec.reason}
	default:
		return result{spec, notRun, "no run got to it"}
	}
}
