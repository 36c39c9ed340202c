package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// slowest is how many of the specs that took longest are shown.
const slowest = 5

type verdict int

const (
	passed verdict = iota
	mended
	failed
	knownFailure
	skippedByList
	skippedItself
	notRun
)

var words = map[verdict]string{
	passed: "ok", mended: "ok", failed: "FAILED", knownFailure: "known",
	skippedByList: "skip", skippedItself: "SKIPPED", notRun: "NOT RUN",
}

type result struct {
	spec
	verdict verdict
	note    string
}

// bad tells what makes a run fail.
func (r result) bad() bool {
	return r.verdict == failed || r.verdict == skippedItself || r.verdict == notRun
}

func good(results []result) bool {
	return len(of(results, passed, mended)) > 0 && !slices.ContainsFunc(results, result.bad)
}

func of(results []result, verdicts ...verdict) []result {
	var found []result
	for _, r := range results {
		if slices.Contains(verdicts, r.verdict) {
			found = append(found, r)
		}
	}
	return found
}

func show(out io.Writer, results []result) {
	for _, r := range results {
		if r.took == 0 {
			fmt.Fprintf(out, "  %-8s           %s\n", words[r.verdict], r.text)
		} else {
			fmt.Fprintf(out, "  %-8s %7.1f s %s\n", words[r.verdict], r.took.Seconds(), r.text)
		}
	}
	reasons(out, "skipped", of(results, skippedByList))
	reasons(out, "known to fail", of(results, knownFailure))
	reasons(out, "listed as failing, but passed", of(results, mended))
	for _, r := range of(results, failed, skippedItself, notRun) {
		fmt.Fprintf(out, "\n%s %s\n  %s\n  %s\n", words[r.verdict], r.text, r.note, r.place)
	}
	ran := of(results, passed, mended, failed, knownFailure)
	slices.SortFunc(ran, func(a, b result) int { return int(b.took - a.took) })
	fmt.Fprintf(out, "\nslowest:\n")
	for _, r := range ran[:min(slowest, len(ran))] {
		fmt.Fprintf(out, "  %7.1f s  %s\n", r.took.Seconds(), r.text)
	}
	table(out, results)
}

// reasons shows each reason once, with the specs it holds for.
func reasons(out io.Writer, title string, results []result) {
	if len(results) == 0 {
		return
	}
	fmt.Fprintf(out, "\n%s:\n", title)
	var order []string
	texts := map[string][]string{}
	for _, r := range results {
		if _, seen := texts[r.note]; !seen {
			order = append(order, r.note)
		}
		texts[r.note] = append(texts[r.note], r.text)
	}
	for _, note := range order {
		fmt.Fprintf(out, "  %s\n    %s\n", note, strings.Join(texts[note], "\n    "))
	}
}

func table(out io.Writer, results []result) {
	var groups []string
	for _, r := range results {
		if !slices.Contains(groups, r.group) {
			groups = append(groups, r.group)
		}
	}
	width := len("in all")
	for _, group := range groups {
		width = max(width, len(group))
	}
	fmt.Fprintf(out, "\n%-*s  passed  failed  known  skipped\n", width, "")
	line := func(name string, of []result) {
		var counts [4]int
		for _, r := range of {
			switch {
			case r.bad():
				counts[1]++
			case r.verdict == knownFailure:
				counts[2]++
			case r.verdict == skippedByList:
				counts[3]++
			default:
				counts[0]++
			}
		}
		fmt.Fprintf(out, "%-*s  %6d  %6d  %5d  %7d\n", width, name, counts[0], counts[1], counts[2], counts[3])
	}
	for _, group := range groups {
		line(group, slices.DeleteFunc(slices.Clone(results), func(r result) bool { return r.group != group }))
	}
	line("in all", results)
	var took time.Duration
	for _, r := range results {
		took += r.took
	}
	fmt.Fprintf(out, "specs took %.0f s, one after the other\n", took.Seconds())
}
