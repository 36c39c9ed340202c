package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// folder makes a suite of these lists.
func folder(t *testing.T, lists map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range lists {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func judge(t *testing.T, lists map[string]string, specs ...spec) ([]result, []string) {
	t.Helper()
	suite, err := readSuite(folder(t, lists))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]spec{}
	for _, s := range specs {
		s.node = "It"
		all[s.text] = s
	}
	return suite.judge(all)
}

func TestOnlySpecsOfTheSuiteCount(t *testing.T) {
	results, _ := judge(t, map[string]string{"specs": "3\tServices\n"},
		spec{text: "Services work", state: "passed"}, spec{text: "Ingress works", state: "skipped"})
	if len(results) != 1 || results[0].verdict != passed || !good(results) {
		t.Fatalf("%+v", results)
	}
}

func TestAKnownFailureIsNoFailure(t *testing.T) {
	lists := map[string]string{"specs": "3\tServices\n", "failing": "sctp\tnot there yet\n"}
	results, _ := judge(t, lists, spec{text: "Services work", state: "passed"}, spec{text: "Services sctp", state: "failed"})
	if !good(results) || results[0].verdict != knownFailure || results[0].note != "not there yet" {
		t.Fatalf("%+v", results)
	}
}

func TestWhatSkipsItselfWithoutAReasonOfOursIsAFailure(t *testing.T) {
	lists := map[string]string{"specs": "3\tServices\n", "skip": "cloud\tthere is no cloud\n"}
	work := spec{text: "Services work", state: "passed"}
	results, _ := judge(t, lists, work, spec{text: "Services of a cloud", state: "skipped"})
	if !good(results) || results[0].note != "there is no cloud" {
		t.Fatalf("%+v", results)
	}
	results, _ = judge(t, lists, work, spec{text: "Services of zones", state: "skipped", reason: "needs 3 zones"})
	if good(results) {
		t.Fatalf("%+v", results)
	}
}

func TestWhatNeverRanIsAFailure(t *testing.T) {
	results, _ := judge(t, map[string]string{"specs": "3\tServices\n"},
		spec{text: "Services work", state: "passed"}, spec{text: "Services play", state: "skipped"})
	if good(results) || results[0].verdict != notRun {
		t.Fatalf("%+v", results)
	}
}

func TestALineThatMatchesNothingIsNamed(t *testing.T) {
	lists := map[string]string{"specs": "3\tServices\n", "skip": "# a comment\nkube-dns\tgone\n"}
	_, stale := judge(t, lists, spec{text: "Services work", state: "passed"})
	if len(stale) != 1 || !strings.HasSuffix(stale[0], "skip:2") {
		t.Fatal(stale)
	}
}

func TestALineWithoutAReasonIsRefused(t *testing.T) {
	_, err := readSuite(folder(t, map[string]string{"specs": "3\tServices\n", "skip": "sctp\n"}))
	if err == nil || !strings.Contains(err.Error(), "skip:1: expected two columns") {
		t.Fatal(err)
	}
}

func TestASpecOfSeveralRunsIsWhatTheRunThatHadItSays(t *testing.T) {
	report := func(state string) string {
		dir := folder(t, map[string]string{"report.json": `[{"SpecReports":[{"ContainerHierarchyTexts":["[sig-network] DNS"],
			"LeafNodeType":"It","LeafNodeText":"should resolve","State":"` + state + `","RunTime":1000000}]}]`})
		return filepath.Join(dir, "report.json")
	}
	for _, order := range [][]string{{"passed", "skipped"}, {"skipped", "passed"}} {
		specs := map[string]spec{}
		for _, state := range order {
			if err := readReport(report(state), specs); err != nil {
				t.Fatal(err)
			}
		}
		found := specs["[sig-network] DNS should resolve"]
		if found.state != "passed" || found.group != "DNS" {
			t.Fatalf("%v: %+v", order, found)
		}
	}
}
