package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
)

// judge runs scripts as tests and reads what they complain.
type judge struct {
	t   *testing.T
	log *os.File // what tests print
}

// try runs a script; empty where it passed, else the complaint.
func (j *judge) try(engine *remote, script string) string {
	start, err := j.log.Seek(0, io.SeekCurrent)
	if err != nil {
		fail(err)
	}
	if j.t.Run("script", func(t *testing.T) { promqltest.RunTest(t, script, engine) }) {
		return ""
	}
	text := make([]byte, 64<<10)
	read, _ := j.log.ReadAt(text, start)
	return "failed: " + string(text[:read])
}

// block is a command of a script with the lines that belong to it.
type block struct {
	line int
	text string
}

func (b block) is(word string) bool { return strings.HasPrefix(b.text, word) }

// blocks splits a script: a command begins at the margin, its lines are indented.
func blocks(script string) []block {
	var found []block
	for number, line := range strings.Split(script, "\n") {
		bare := strings.TrimSpace(line)
		if bare == "" || strings.HasPrefix(bare, "#") {
			continue
		}
		if commandLine.MatchString(bare) {
			found = append(found, block{number + 1, bare + "\n"})
		} else if len(found) > 0 {
			found[len(found)-1].text += "  " + bare + "\n"
		}
	}
	return found
}

var commandLine = regexp.MustCompile(`^(clear$|load(_with_nhcb)?\s|eval(_\w+)?\s+(instant|range)\s)`)

var evalLine = regexp.MustCompile(
	`^eval(_\w+)?\s+(instant(\s+at\s+\S+)?|range\s+from\s+\S+\s+to\s+\S+\s+step\s+\S+)\s+(.+)`)

// isExperimental says whether an eval uses what Prometheus keeps behind a flag.
func isExperimental(b block) bool {
	parts := evalLine.FindStringSubmatch(b.text)
	if parts == nil {
		return false
	}
	parser.EnableExperimentalFunctions = false
	parser.ExperimentalDurationExpr = false
	defer func() {
		parser.EnableExperimentalFunctions = true
		parser.ExperimentalDurationExpr = true
	}()
	_, err := parser.ParseExpr(parts[len(parts)-1])
	return err != nil
}

// suite runs every file of a folder whole, then every eval by itself after the loads before it.
func suite(judge *judge, engine *remote, dir string, out io.Writer) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.test"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no files in %s: %v", dir, err)
	}
	for _, file := range files {
		script, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := one(judge, engine, filepath.Base(file), string(script), out); err != nil {
			return err
		}
	}
	return nil
}

func one(judge *judge, engine *remote, name, script string, out io.Writer) error {
	whole := judge.try(engine, script)
	fmt.Fprintf(out, "file\t%s\t%s\n", name, verdict(whole))
	loads := ""
	for _, b := range blocks(script) {
		switch {
		case b.is("clear"):
			loads = ""
		case b.is("load"):
			loads += b.text + "\n"
		case b.is("eval"):
			engine.native, engine.parsed = false, false
			complaint := judge.try(engine, loads+b.text+"\n")
			kind := "float"
			if engine.native {
				kind = "native"
			} else if isExperimental(b) {
				kind = "experimental"
			}
			first, _, _ := strings.Cut(b.text, "\n")
			fmt.Fprintf(out, "eval\t%s\t%s\t%s\t%s\t%s\n", name, kind, verdict(complaint), first, brief(complaint))
		}
	}
	return nil
}

func verdict(complaint string) string {
	if complaint == "" {
		return "pass"
	}
	return "miss"
}

// brief is a complaint on one line.
func brief(complaint string) string {
	text := strings.Join(strings.Fields(complaint), " ")
	if at := strings.Index(text, "Error: "); at >= 0 {
		text = text[at:]
	}
	if len(text) > 400 {
		text = text[:400]
	}
	return text
}
