package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/prometheus/prometheus/util/stats"
)

// point is a time in milliseconds and the bits of a float: JSON has no NaN.
type point struct {
	T int64  `json:"t"`
	V string `json:"v"`
}

type series struct {
	Labels map[string]string `json:"labels"`
	Points []point           `json:"points"`
}

// request is one line to the engine under test: samples that replace all others, or a query.
type request struct {
	Data    *[]series `json:"data,omitempty"`
	Query   string    `json:"query,omitempty"`
	Start   int64     `json:"start"`
	End     int64     `json:"end"`
	Step    int64     `json:"step"` // 0: an instant query at Start
	Delayed bool      `json:"delayed"`
}

// response is its answer.
type response struct {
	Error    string   `json:"error"`
	Kind     string   `json:"kind"` // scalar, vector, matrix, text
	Text     string   `json:"text"`
	Series   []series `json:"series"`
	Infos    []string `json:"infos"`
	Warnings []string `json:"warnings"`
}

// remote is the engine under test. It answers what touches native histograms by the engine of
// Prometheus, and says so.
type remote struct {
	conn      net.Conn
	lines     *bufio.Reader
	sent      string
	delayed   bool
	reference *promql.Engine
	native    bool // a query since the last reset touched a native histogram
	parsed    bool // a query since the last reset was answered by the engine under test
}

func dial(address string) (*remote, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &remote{
		conn:      conn,
		lines:     bufio.NewReaderSize(conn, 1<<20),
		delayed:   true,
		reference: reference(true),
	}, nil
}

func reference(delayed bool) *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		MaxSamples:               50_000_000,
		Timeout:                  100 * time.Second,
		NoStepSubqueryIntervalFn: func(int64) int64 { return 60_000 },
		EnableAtModifier:         true,
		EnableNegativeOffset:     true,
		EnableDelayedNameRemoval: delayed,
	})
}

func (r *remote) close() { r.conn.Close() }

func (r *remote) ask(question request) (response, error) {
	var answer response
	line, err := json.Marshal(question)
	if err != nil {
		return answer, err
	}
	if _, err := r.conn.Write(append(line, '\n')); err != nil {
		return answer, err
	}
	reply, err := r.lines.ReadBytes('\n')
	if err != nil {
		return answer, fmt.Errorf("the engine under test is gone: %w", err)
	}
	return answer, json.Unmarshal(reply, &answer)
}

// send hands all float samples over, unless they are there already.
func (r *remote) send(ctx context.Context, source storage.Queryable) error {
	querier, err := source.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		return err
	}
	defer querier.Close()
	all := labels.MustNewMatcher(labels.MatchEqual, "no such label", "")
	set := querier.Select(ctx, true, nil, all)
	data := []series{}
	for set.Next() {
		one := series{Labels: set.At().Labels().Map(), Points: []point{}}
		it := set.At().Iterator(nil)
		for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
			if kind == chunkenc.ValFloat {
				t, v := it.At()
				one.Points = append(one.Points, point{t, bits(v)})
			}
		}
		data = append(data, one)
	}
	if err := set.Err(); err != nil {
		return err
	}
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	if string(text) == r.sent {
		return nil
	}
	answer, err := r.ask(request{Data: &data})
	if err == nil && answer.Error != "" {
		err = errors.New(answer.Error)
	}
	r.sent = string(text)
	return err
}

func bits(value float64) string { return strconv.FormatUint(math.Float64bits(value), 10) }

func value(bits string) float64 {
	number, _ := strconv.ParseUint(bits, 10, 64)
	return math.Float64frombits(number)
}

var nativeOnly = map[string]bool{
	"histogram_avg": true, "histogram_count": true, "histogram_sum": true,
	"histogram_stddev": true, "histogram_stdvar": true,
}

// touchesNative says whether a query reads a native histogram or is about them alone.
func touchesNative(ctx context.Context, source storage.Queryable, text string) bool {
	expr, err := parser.ParseExpr(text)
	if err != nil {
		return false
	}
	found := false
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if call, ok := node.(*parser.Call); ok && nativeOnly[call.Func.Name] {
			found = true
		}
		selector, ok := node.(*parser.VectorSelector)
		if !ok || found {
			return nil
		}
		querier, err := source.Querier(math.MinInt64, math.MaxInt64)
		if err != nil {
			return nil
		}
		defer querier.Close()
		set := querier.Select(ctx, true, nil, selector.LabelMatchers...)
		for set.Next() && !found {
			it := set.At().Iterator(nil)
			for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
				found = found || kind != chunkenc.ValFloat
			}
		}
		return nil
	})
	return found
}

func (r *remote) NewInstantQuery(
	ctx context.Context, q storage.Queryable, opts promql.QueryOpts, text string, at time.Time,
) (promql.Query, error) {
	if touchesNative(ctx, q, text) {
		r.native = true
		return r.reference.NewInstantQuery(ctx, q, opts, text, at)
	}
	return r.query(q, request{Query: text, Start: at.UnixMilli(), End: at.UnixMilli()}), nil
}

func (r *remote) NewRangeQuery(
	ctx context.Context, q storage.Queryable, opts promql.QueryOpts, text string,
	start, end time.Time, step time.Duration,
) (promql.Query, error) {
	if touchesNative(ctx, q, text) {
		r.native = true
		return r.reference.NewRangeQuery(ctx, q, opts, text, start, end, step)
	}
	ask := request{
		Query: text, Start: start.UnixMilli(), End: end.UnixMilli(), Step: step.Milliseconds(),
	}
	return r.query(q, ask), nil
}

func (r *remote) query(source storage.Queryable, ask request) promql.Query {
	ask.Delayed = r.delayed
	return &query{remote: r, source: source, ask: ask}
}

// query is one question to the engine under test.
type query struct {
	remote *remote
	source storage.Queryable
	ask    request
}

func (q *query) Close()                      {}
func (q *query) Statement() parser.Statement { return nil }
func (q *query) Stats() *stats.Statistics    { return &stats.Statistics{} }
func (q *query) Cancel()                     {}
func (q *query) String() string              { return q.ask.Query }

func (q *query) Exec(ctx context.Context) *promql.Result {
	if err := q.remote.send(ctx, q.source); err != nil {
		return &promql.Result{Err: err}
	}
	q.remote.parsed = true
	answer, err := q.remote.ask(q.ask)
	if err != nil {
		return &promql.Result{Err: err}
	}
	result := &promql.Result{Warnings: notes(answer)}
	if answer.Error != "" {
		result.Err = errors.New(answer.Error)
		return result
	}
	result.Value = q.value(answer)
	return result
}

func notes(answer response) annotations.Annotations {
	found := annotations.Annotations{}
	for _, text := range answer.Infos {
		found.Add(fmt.Errorf("%w: %s", annotations.PromQLInfo, text))
	}
	for _, text := range answer.Warnings {
		found.Add(fmt.Errorf("%w: %s", annotations.PromQLWarning, text))
	}
	return found
}

func (q *query) value(answer response) parser.Value {
	at := q.ask.Start
	switch answer.Kind {
	case "scalar":
		return promql.Scalar{T: at, V: value(answer.Series[0].Points[0].V)}
	case "text":
		return promql.String{T: at, V: answer.Text}
	case "vector":
		vector := make(promql.Vector, 0, len(answer.Series))
		for _, one := range answer.Series {
			metric := labels.FromMap(one.Labels)
			vector = append(vector, promql.Sample{Metric: metric, T: at, F: value(one.Points[0].V)})
		}
		return vector
	}
	matrix := make(promql.Matrix, 0, len(answer.Series))
	for _, one := range answer.Series {
		points := make([]promql.FPoint, 0, len(one.Points))
		for _, p := range one.Points {
			points = append(points, promql.FPoint{T: p.T, F: value(p.V)})
		}
		matrix = append(matrix, promql.Series{Metric: labels.FromMap(one.Labels), Floats: points})
	}
	return matrix
}
