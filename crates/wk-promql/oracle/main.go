// Command promql-oracle judges a PromQL engine by Prometheus' own suite and by its own engine.
//
// The engine under test listens on a loopback port and answers JSON lines (remote.go). Two ways:
//
//	promql-oracle ADDRESS suite FOLDER
//	promql-oracle ADDRESS random SEED COUNT
//
// Each line of output is one verdict: fields separated by tabs.
package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

func main() {
	parser.EnableExperimentalFunctions = true
	parser.ExperimentalDurationExpr = true
	// The suite insists on a real testing.T, and a test prints to what os.Stdout was at its start:
	// a file of our own, where the complaints are read.
	args, out := os.Args[1:], os.Stdout
	log, err := os.CreateTemp("", "promql-oracle")
	if err != nil {
		fail(err)
	}
	os.Remove(log.Name())
	os.Stdout = log
	os.Args = []string{os.Args[0], "-test.v", "-test.timeout=10m"}
	every := func(string, string) (bool, error) { return true, nil }
	work := func(t *testing.T) {
		if err := run(args, &judge{t, log}, out); err != nil {
			fail(err)
		}
		os.Exit(0)
	}
	testing.Main(every, []testing.InternalTest{{Name: "oracle", F: work}}, nil, nil)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "promql-oracle:", err)
	os.Exit(1)
}

func run(args []string, judge *judge, out io.Writer) error {
	if len(args) < 2 {
		return fmt.Errorf("needs an address and suite or random")
	}
	engine, err := dial(args[0])
	if err != nil {
		return err
	}
	defer engine.close()
	switch {
	case args[1] == "suite" && len(args) == 3:
		return suite(judge, engine, args[2], out)
	case args[1] == "random" && len(args) == 4:
		seed, err := strconv.ParseInt(args[2], 10, 64)
		if err != nil {
			return err
		}
		count, err := strconv.Atoi(args[3])
		if err != nil {
			return err
		}
		return random(judge, engine, seed, count, out)
	}
	return fmt.Errorf("unknown arguments %q", args)
}
