package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand"
	"sort"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	stale "github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/teststorage"
)

// perStore is how many expressions are asked of one set of samples.
const perStore = 250

// span is how long the samples of a store last, in milliseconds.
const span = 20 * 60 * 1000

// random asks count expressions of both engines and prints each difference with the seed of its
// store, so that `random SEED 250` shows it again.
func random(judge *judge, engine *remote, seed int64, count int, out io.Writer) error {
	engine.delayed = false
	theirs := reference(false)
	for asked := 0; asked < count; asked += perStore {
		dice := rand.New(rand.NewSource(seed))
		store := teststorage.New(judge.t)
		if err := fill(store, dice, seed%2 == 0); err != nil {
			return err
		}
		differences, errors, empty := 0, 0, 0
		for number := range min(perStore, count-asked) {
			text := generator{dice}.vector(4)
			result := compare(engine, theirs, store, dice, text)
			if result.complaint != "" {
				differences++
				fmt.Fprintf(out, "difference\t%d\t%d\t%s\t%s\n", seed, number, text, result.complaint)
			}
			if result.failed {
				errors++
			}
			if result.empty {
				empty++
			}
		}
		fmt.Fprintf(out, "store\t%d\t%d\t%d\t%d\t%d\n",
			seed, min(perStore, count-asked), differences, errors, empty)
		if err := store.Close(); err != nil {
			return err
		}
		seed++
	}
	return nil
}

// fill makes counters that reset, gauges with gaps, ends, NaN and infinities, and a histogram.
// Values are quarters, whose sums are exact: the order of summation must not matter. On a grid,
// samples stand exactly on the edges of ranges.
func fill(store storage.Storage, dice *rand.Rand, onGrid bool) error {
	app := store.Appender(context.Background())
	add := func(metric labels.Labels, next func(float64) float64) error {
		current := 0.0
		every := func() int64 {
			if onGrid {
				return 15_000
			}
			return int64(14_000 + dice.Intn(2_000))
		}
		begin := int64(dice.Intn(30_000))
		if onGrid {
			begin = 0
		}
		for at := begin; at < span; at += every() {
			switch dice.Intn(40) {
			case 0:
				at += every() * int64(dice.Intn(30)) // a gap
			case 1:
				ended := math.Float64frombits(stale.StaleNaN)
				if _, err := app.Append(0, metric, at, ended); err != nil {
					return err
				}
				continue
			}
			current = next(current)
			if _, err := app.Append(0, metric, at, current); err != nil {
				return err
			}
		}
		return nil
	}
	quarter := func(n int) float64 { return float64(dice.Intn(n)) / 4 }
	counter := func(now float64) float64 {
		if dice.Intn(25) == 0 {
			return quarter(20)
		}
		return now + quarter(50)
	}
	gauge := func(float64) float64 {
		switch dice.Intn(60) {
		case 0:
			return math.NaN()
		case 1:
			return math.Inf(1 - 2*dice.Intn(2))
		}
		return quarter(400) - 50
	}
	serial := 0.0
	unique := func(float64) float64 { serial++; return math.Mod(serial*7919, 65537) }
	for _, name := range []string{"c_total", "d_total", "g", "k", "u"} {
		for _, a := range []string{"x", "y", "z"} {
			for _, b := range []string{"1", "2", ""} {
				if dice.Intn(5) == 0 {
					continue
				}
				next := gauge
				if strings.HasSuffix(name, "_total") {
					next = counter
				} else if name == "u" {
					next = unique
				}
				if err := add(labels.FromStrings("__name__", name, "a", a, "b", b), next); err != nil {
					return err
				}
			}
		}
	}
	for _, a := range []string{"x", "y"} {
		for weight, le := range []string{"0.5", "1", "2", "+Inf"} {
			grow := func(now float64) float64 { return now + float64(dice.Intn(4)*(weight+1)) }
			metric := labels.FromStrings("__name__", "h_bucket", "a", a, "le", le)
			if err := add(metric, grow); err != nil {
				return err
			}
		}
	}
	return app.Commit()
}

type outcome struct {
	complaint     string
	failed, empty bool
}

// compare asks both engines at an instant or over a range.
func compare(
	ours *remote, theirs *promql.Engine, store storage.Storage, dice *rand.Rand, text string,
) outcome {
	ctx := context.Background()
	start := time.UnixMilli(int64(dice.Intn(span + 400_000)))
	if dice.Intn(2) == 0 {
		start = start.Truncate(5 * time.Second)
	}
	end, step := start, time.Duration(0)
	if dice.Intn(3) == 0 {
		step = time.Duration(1+dice.Intn(120)) * time.Second
		end = start.Add(time.Duration(dice.Intn(20)) * step)
	}
	ask := func(engine promql.QueryEngine) *promql.Result {
		var query promql.Query
		var err error
		if step == 0 {
			query, err = engine.NewInstantQuery(ctx, store, nil, text, start)
		} else {
			query, err = engine.NewRangeQuery(ctx, store, nil, text, start, end, step)
		}
		if err != nil {
			return &promql.Result{Err: err}
		}
		return query.Exec(ctx)
	}
	want, got := ask(theirs), ask(ours)
	when := fmt.Sprintf("at %d to %d step %s", start.UnixMilli(), end.UnixMilli(), step)
	if want.Err != nil || got.Err != nil {
		// Prometheus makes a whole range of a subexpression at once. It refuses two series that
		// become one even where they never meet at an instant, and what goes wrong at an instant
		// of a subquery that no step asks for. Instant by instant neither is seen.
		hasSubquery := strings.Contains(text, ":")
		isBroader := hasSubquery && step != 0 ||
			(hasSubquery || step != 0) && want.Err != nil && strings.Contains(want.Err.Error(), "same labelset")
		if got.Err == nil && isBroader {
			return outcome{failed: true}
		}
		if (want.Err == nil) != (got.Err == nil) {
			return outcome{complaint: fmt.Sprintf("%s: want error %v, got %v", when, want.Err, got.Err)}
		}
		return outcome{failed: true}
	}
	wanted, found := flat(want.Value), flat(got.Value)
	keys := map[string]bool{}
	for key := range wanted {
		keys[key] = true
	}
	for key := range found {
		keys[key] = true
	}
	sorted := make([]string, 0, len(keys))
	for key := range keys {
		sorted = append(sorted, key)
	}
	sort.Strings(sorted)
	for _, key := range sorted {
		a, isWanted := wanted[key]
		b, isFound := found[key]
		if !isWanted || !isFound || !equal(a, b) {
			shown := fmt.Sprintf("%s: %s: want %v (%t), got %v (%t)", when, key, a, isWanted, b, isFound)
			return outcome{complaint: shown}
		}
	}
	return outcome{empty: len(wanted) == 0}
}

func equal(a, b float64) bool {
	if math.IsNaN(a) || math.IsNaN(b) || math.IsInf(a, 0) || math.IsInf(b, 0) {
		return a == b || math.IsNaN(a) && math.IsNaN(b)
	}
	return math.Abs(a-b) <= 1e-9*math.Max(1, math.Max(math.Abs(a), math.Abs(b)))
}

// flat is a value as one number for each series and time.
func flat(value parser.Value) map[string]float64 {
	found := map[string]float64{}
	switch value := value.(type) {
	case promql.Scalar:
		found["scalar"] = value.V
	case promql.Vector:
		for _, sample := range value {
			found[sample.Metric.String()] = sample.F
		}
	case promql.Matrix:
		for _, series := range value {
			for _, p := range series.Floats {
				found[fmt.Sprintf("%s @ %d", series.Metric, p.T)] = p.F
			}
		}
	}
	return found
}
