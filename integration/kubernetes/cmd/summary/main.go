// Command summary prints what a Ginkgo JSON report says: a table of results, the failures with their
// reasons, and the specs that took longest.
//
//	summary report.json
//
// It exits with 1 if a spec failed or none ran.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2/types"
)

// slowest is how many of the specs that took longest are shown.
const slowest = 5

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: summary report.json")
		os.Exit(2)
	}
	reports, err := read(os.Args[1])
	if err != nil {
		fmt.Fprintf(os.Stderr, "summary: %v\n", err)
		os.Exit(1)
	}
	if !show(os.Stdout, reports) {
		os.Exit(1)
	}
}

func read(path string) ([]types.Report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var reports []types.Report
	if err := json.Unmarshal(text, &reports); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return reports, nil
}

// show tells whether specs ran and all of them passed.
func show(out io.Writer, reports []types.Report) bool {
	var passed, failed, other []types.SpecReport
	var took time.Duration
	for _, report := range reports {
		took += report.RunTime
		for _, spec := range report.SpecReports {
			switch {
			case spec.State == types.SpecStatePassed && spec.LeafNodeType == types.NodeTypeIt:
				passed = append(passed, spec)
			case spec.State.Is(types.SpecStateFailureStates):
				failed = append(failed, spec)
			// Everything that is not in focus is skipped without a word.
			case spec.State == types.SpecStateSkipped && spec.Failure.Message != "":
				other = append(other, spec)
			}
		}
	}
	ran := append(append([]types.SpecReport{}, passed...), failed...)
	sort.Slice(ran, func(a, b int) bool { return ran[a].FullText() < ran[b].FullText() })
	for _, spec := range ran {
		fmt.Fprintf(out, "  %-6s %6.1f s  %s\n", word(spec), spec.RunTime.Seconds(), spec.FullText())
	}
	for _, spec := range other {
		fmt.Fprintf(out, "  skip             %s: %s\n", spec.FullText(), firstLine(spec.Failure.Message))
	}
	for _, spec := range failed {
		fmt.Fprintf(out, "\nFAILED %s\n  %s\n  %s\n", spec.FullText(), firstLine(spec.Failure.Message), spec.Failure.Location)
	}
	sort.Slice(ran, func(a, b int) bool { return ran[a].RunTime > ran[b].RunTime })
	fmt.Fprintf(out, "\nslowest:\n")
	for _, spec := range ran[:min(slowest, len(ran))] {
		fmt.Fprintf(out, "  %6.1f s  %s\n", spec.RunTime.Seconds(), spec.FullText())
	}
	fmt.Fprintf(out, "\nin %.0f s:\n%d passed, %d failed, %d skipped\n", took.Seconds(), len(passed), len(failed), len(other))
	return len(failed) == 0 && len(passed) > 0
}

func word(spec types.SpecReport) string {
	if spec.State == types.SpecStatePassed {
		return "ok"
	}
	return "FAILED"
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
