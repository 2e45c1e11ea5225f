package main

import (
	"fmt"
	"math/rand"
	"strings"
)

// generator makes random expressions over the metrics of fill; what depends on the order of
// equal values (topk over ties) is left out.
type generator struct{ dice *rand.Rand }

func (g generator) of(choices ...string) string { return choices[g.dice.Intn(len(choices))] }

func (g generator) duration() string {
	return g.of("10s", "30s", "45s", "1m", "1m30s", "2m", "5m", "7m", "10m")
}

func (g generator) metric() string {
	return g.of("c_total", "c_total", "d_total", "d_total", "g", "g", "g", "k", "k", "u", "none")
}

func (g generator) selector(name string) string {
	matchers := []string{}
	// One condition a label: the database reorders them, and absent() tells the order.
	for _, label := range []string{"a", "b", "c"} {
		if g.dice.Intn(3) != 0 {
			continue
		}
		matchers = append(matchers, label+g.of(`="x"`, `="1"`, `!="y"`, `=~"x|1"`, `!~"[xy]"`, `=""`, `!=""`, `=~".*"`))
	}
	if len(matchers) > 0 {
		name += "{" + strings.Join(matchers, ",") + "}"
	}
	return name
}

// moved is what may follow a selector or subquery.
func (g generator) moved() string {
	switch g.dice.Intn(12) {
	case 0:
		return " offset " + g.duration()
	case 1:
		return " offset -" + g.duration()
	case 2:
		return fmt.Sprintf(" @ %d", g.dice.Intn(1200))
	case 3:
		return g.of(" @ start()", " @ end()")
	case 4:
		return fmt.Sprintf(" @ %d.5 offset %s", g.dice.Intn(1200), g.duration())
	}
	return ""
}

func (g generator) ranged(depth int) string {
	if depth > 1 && g.dice.Intn(4) == 0 {
		step := g.of("", "10s", "30s", "1m")
		return g.atom(depth-1) + "[" + g.duration() + ":" + step + "]" + g.moved()
	}
	return g.selector(g.metric()) + "[" + g.duration() + "]" + g.moved()
}

func (g generator) scalar(depth int) string {
	if depth > 0 {
		switch g.dice.Intn(6) {
		case 0:
			return "scalar(" + g.vector(depth-1) + ")"
		case 1:
			return "time()"
		case 2:
			return "(" + g.scalar(depth-1) + g.of("+", "-", "*", "/") + g.scalar(depth-1) + ")"
		case 3:
			return "(" + g.scalar(depth-1) + g.of(" > bool ", " == bool ", " <= bool ") + g.scalar(depth-1) + ")"
		}
	}
	return g.of("0", "1", "2", "0.5", "-1", "10", "100", "NaN", "Inf", "-Inf", "1m", "0x10", "1e2")
}

func (g generator) labels() string {
	return g.of("", "a", "b", "a, b", "c", "le", "__name__", "a, __name__")
}

// atom is an expression that may stand before an operator without parentheses around it.
func (g generator) atom(depth int) string { return "(" + g.vector(depth) + ")" }

func (g generator) vector(depth int) string {
	if depth <= 0 {
		return g.selector(g.metric()) + g.moved()
	}
	switch g.dice.Intn(10) {
	case 0, 1:
		return g.selector(g.metric()) + g.moved()
	case 2, 3:
		return g.overRange(depth)
	case 4:
		return g.aggregation(depth)
	case 5, 6:
		return g.binary(depth)
	case 7:
		return g.function(depth)
	case 8:
		return g.labelling(depth)
	}
	return g.of("-", "+", "") + g.atom(depth-1)
}

func (g generator) overRange(depth int) string {
	switch g.dice.Intn(8) {
	case 0:
		return fmt.Sprintf("quantile_over_time(%s, %s)", g.of("0", "0.5", "0.9", "1", "2", "-1", "NaN"), g.ranged(depth))
	case 1:
		return fmt.Sprintf("predict_linear(%s, %s)", g.ranged(depth), g.of("60", "3600", "-30", "1h"))
	case 2:
		return g.of("absent_over_time", "present_over_time", "last_over_time", "count_over_time") + "(" + g.ranged(depth) + ")"
	}
	function := g.of("rate", "increase", "delta", "irate", "idelta", "deriv", "changes", "resets",
		"sum_over_time", "avg_over_time", "min_over_time", "max_over_time", "stddev_over_time", "stdvar_over_time")
	return function + "(" + g.ranged(depth) + ")"
}

func (g generator) aggregation(depth int) string {
	grouping := g.of("", " by ("+g.labels()+") ", " without ("+g.labels()+") ")
	switch g.dice.Intn(9) {
	case 8:
		// Which series it takes depends on the storage; how many does not.
		return fmt.Sprintf("count(limitk%s(%s, %s))", grouping, g.of("1", "2", "0", "100"), g.vector(depth-1))
	case 0:
		return fmt.Sprintf("%s%s(%s, %s)", g.of("topk", "bottomk"), grouping, g.of("1", "2", "3", "0", "1.9", "100"), g.selector("u"))
	case 1:
		return fmt.Sprintf("quantile%s(%s, %s)", grouping, g.of("0", "0.25", "0.5", "1", "1.5", "NaN"), g.vector(depth-1))
	case 2:
		// Texts of floats: what was computed may differ in its last digit.
		return fmt.Sprintf("count_values%s(%q, %s)", grouping, g.of("v", "a"), g.selector(g.metric()))
	}
	what := g.of("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar")
	return what + grouping + "(" + g.vector(depth-1) + ")"
}

func (g generator) binary(depth int) string {
	arithmetic := []string{" + ", " - ", " * ", " / ", " ^ ", " atan2 "}
	comparison := []string{" == ", " != ", " > ", " < ", " >= ", " <= ", " == bool ", " > bool ", " < bool "}
	left, right := g.atom(depth-1), g.atom(depth-1)
	switch g.dice.Intn(7) {
	case 6:
		// Of exact values alone: a remainder makes a last digit the first.
		return g.selector(g.metric()) + " % " + g.of("7", "0.75", "-3", "0", "Inf", "NaN", "on(a, b) u")
	case 0:
		return left + g.of(append(comparison, arithmetic...)...) + g.scalar(depth-1)
	case 1:
		return g.scalar(depth-1) + g.of(append(comparison, arithmetic...)...) + left
	case 2:
		matching := g.of("", "on("+g.labels()+") ", "ignoring("+g.labels()+") ")
		return left + g.of(" and ", " or ", " unless ") + matching + right
	case 3:
		group := g.of("group_left ", "group_right ", "group_left(b) ", "group_right(b) ", "group_left(c) ")
		matching := g.of("on(a) ", "ignoring(b) ")
		one := g.of("max", "sum") + " by (a) (" + g.vector(depth-2) + ")"
		if strings.HasPrefix(group, "group_left") {
			return left + g.of(arithmetic...) + matching + group + one
		}
		return one + g.of(append(arithmetic, comparison...)...) + matching + group + right
	}
	matching := g.of("", "", "on(a, b) ", "ignoring(c) ", "on(a) ", "ignoring(le) ")
	return left + g.of(append(arithmetic, comparison...)...) + matching + right
}

func (g generator) function(depth int) string {
	inner := g.vector(depth - 1)
	switch g.dice.Intn(9) {
	case 0:
		return fmt.Sprintf("clamp(%s, %s, %s)", inner, g.scalar(1), g.scalar(1))
	case 1:
		return g.of("clamp_min", "clamp_max") + "(" + inner + ", " + g.scalar(1) + ")"
	case 2:
		return "round(" + inner + g.of("", ", 0.5", ", 10", ", 3") + ")"
	case 3:
		return fmt.Sprintf("histogram_quantile(%s, %s)", g.of("0", "0.5", "0.9", "0.99", "1", "-1", "NaN"),
			g.of("h_bucket", "rate(h_bucket["+g.duration()+"])", "sum by (le) (rate(h_bucket["+g.duration()+"]))", "sum by (a, le) (h_bucket)"))
	case 4:
		return fmt.Sprintf("histogram_fraction(%s, %s, h_bucket)", g.of("0", "0.5", "-Inf", "1"), g.of("1", "0.7", "+Inf", "2"))
	case 5:
		if g.dice.Intn(3) == 0 {
			// With @ and offset at once Prometheus' timestamp() forgets the offset.
			return "timestamp(" + g.selector(g.metric()) + g.of("", " offset 2m", " @ 700", " @ end()") + ")"
		}
		return g.of("timestamp(-", "absent(", "sort(", "sort_desc(") + g.atom(depth-1) + ")"
	case 6:
		return "vector(" + g.scalar(depth-1) + ")"
	case 7:
		return g.of("minute", "hour", "day_of_week", "day_of_month", "day_of_year", "days_in_month", "month", "year") +
			"(" + g.of("", "(g > -1e9 < 1e9) * 86400", "(k > -1e6 < 1e6) * 1e6", "vector(time() * 1000)") + ")"
	}
	if g.dice.Intn(3) == 0 {
		// Far from zero a wave is all in the last digits.
		return g.of("sin", "cos", "tan") + "(clamp(" + inner + ", -100, 100))"
	}
	return g.of("abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "sgn", "deg", "rad",
		"asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh") + "(" + inner + ")"
}

func (g generator) labelling(depth int) string {
	inner := g.vector(depth - 1)
	if g.dice.Intn(2) == 0 {
		return fmt.Sprintf(`label_join(%s, %q, "-", "a", "b")`, inner, g.of("c", "a", "__name__"))
	}
	return fmt.Sprintf(`label_replace(%s, %q, %q, %q, %q)`, inner, g.of("c", "b", "a"), g.of("$1", "n-${1}", "", "$0$$"), g.of("a", "b", "__name__"), g.of("(.*)", "(x|y)", "(.).*", "nothing"))
}
