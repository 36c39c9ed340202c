// Command report prints what became of a suite's specs, by group: passed, failed, known to fail, and
// skipped with the reason. It reads the suite's lists and Ginkgo's JSON reports of its runs.
//
//	report [-focus REGEX] SUITE REPORT.json...
//
// It exits with 1 unless every spec of the suite passed, is known to fail, or is skipped for a reason
// that the suite gives: what skips itself, or was never run, counts as failed.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	focus := flag.String("focus", "", "specs that were asked for, instead of the suite's")
	flag.Parse()
	if flag.NArg() < 2 {
		fmt.Fprintln(os.Stderr, "usage: report [-focus REGEX] SUITE REPORT.json...")
		os.Exit(2)
	}
	good, err := run(*focus, flag.Arg(0), flag.Args()[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
	if !good {
		os.Exit(1)
	}
}

func run(focus, folder string, reports []string) (bool, error) {
	suite, err := readSuite(folder)
	if err != nil {
		return false, err
	}
	if focus != "" {
		if suite, err = suite.focused(focus); err != nil {
			return false, err
		}
	}
	specs := map[string]spec{}
	for _, path := range reports {
		if err := readReport(path, specs); err != nil {
			return false, err
		}
	}
	results, stale := suite.judge(specs)
	show(os.Stdout, results)
	for _, line := range stale {
		fmt.Printf("\n%s matches no spec\n", line)
	}
	return good(results) && len(stale) == 0, nil
}
