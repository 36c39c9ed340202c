package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
)

// granular is what the containers of specs begin with that try one way after the other.
const granular = "Granular Checks:"

// A spec as the runs left it.
type spec struct {
	text, group, node, state string
	reason, place            string // of a failure or a skip
	took                     time.Duration
}

func (s spec) failed() bool {
	switch s.state {
	case "failed", "aborted", "panicked", "interrupted", "timedout":
		return true
	}
	return false
}

// What this program reads of a Ginkgo report.
type report struct {
	SpecReports []struct {
		ContainerHierarchyTexts    []string
		LeafNodeType, LeafNodeText string
		State                      string
		RunTime                    time.Duration
		Failure                    struct {
			Message, ForwardedPanic string
			Location                struct {
				FileName   string
				LineNumber int
			}
		}
	}
}

// readReport adds the specs of a run. What another run left out, this one may have run.
func readReport(path string, specs map[string]spec) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var reports []report
	if err := json.Unmarshal(text, &reports); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, report := range reports {
		for _, s := range report.SpecReports {
			texts := append(append([]string{}, s.ContainerHierarchyTexts...), s.LeafNodeText)
			text := strings.TrimSpace(strings.Join(texts, " "))
			if s.LeafNodeType != "It" {
				text = strings.TrimSpace(s.LeafNodeType + " " + text)
			}
			found := spec{
				text:   text,
				group:  group(s.ContainerHierarchyTexts),
				node:   s.LeafNodeType,
				state:  s.State,
				reason: firstLine(s.Failure.Message + s.Failure.ForwardedPanic),
				place:  fmt.Sprintf("%s:%d", s.Failure.Location.FileName, s.Failure.Location.LineNumber),
				took:   s.RunTime,
			}
			if before, there := specs[text]; !there || (before.state == "skipped" && before.reason == "") || found.failed() {
				specs[text] = found
			}
		}
	}
	return nil
}

// labels are in brackets, and there are many.
var labels = regexp.MustCompile(`\s*\[[^\]]*\]`)

// group is what a spec is about: the outermost container without labels, and whether it is of the granular checks.
func group(containers []string) string {
	if len(containers) == 0 {
		return "set-up"
	}
	name := strings.TrimPrefix(containers[0], "[sig-network] ")
	if bare := strings.TrimSpace(labels.ReplaceAllString(name, "")); bare != "" {
		name = bare
	}
	if len(containers) > 1 && strings.HasPrefix(containers[1], granular) {
		name += " " + strings.TrimSuffix(granular, ":")
	}
	return name
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
