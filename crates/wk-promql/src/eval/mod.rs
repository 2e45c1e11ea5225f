//! Evaluation of a tree, instant by instant, over samples that were read once.

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the others are those that the arms above do not treat apart"
)]
mod aggregate;
mod binary;
mod calls;
mod dates;
mod histogram;
mod load;
mod names;
mod numbers;
mod over_time;
mod ranges;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use regex::Regex;

use crate::expr::Expr;
use crate::labels::{Labels, is_stale};
use crate::parse::{At, Node, Selector, Subquery, Tree};
use crate::value::{EvalError, Kind, NameRemoval, Note, Options, Series, Source, Value};

use load::Loaded;

/// A series of an instant vector.
#[derive(Clone, Debug)]
struct Element {
    labels: Labels,
    /// Whether the metric's name leaves it at the end.
    drops_name: bool,
    value: f64,
}

/// What a node gives at one instant; ranges are arguments of functions and never stand alone.
#[derive(Clone, Debug)]
enum Answer {
    Scalar(f64),
    Vector(Vec<Element>),
    Text(String),
}

/// A series of a range vector.
#[derive(Clone, Debug)]
struct Range {
    labels: Labels,
    drops_name: bool,
    points: Rc<[(i64, f64)]>,
    /// The points within the range.
    from: usize,
    upto: usize,
}

impl Range {
    fn points(&self) -> &[(i64, f64)] {
        &self.points[self.from..self.upto]
    }
}

/// A range vector and the time that it covers: left open, right closed.
#[derive(Debug)]
struct Ranges {
    series: Vec<Range>,
    after: i64,
    upto: i64,
}

impl Expr {
    /// The value at the instant `at`.
    ///
    /// # Errors
    /// [`EvalError`]: a bound was reached, or the series do not fit the expression.
    pub fn instant(
        &self,
        source: &dyn Source,
        at: i64,
        options: &Options,
    ) -> Result<Value, EvalError> {
        self.instant_noted(source, at, options, &mut Vec::new())
    }

    /// As [`Expr::instant`], and adds remarks on the result to `notes`.
    pub fn instant_noted(
        &self,
        source: &dyn Source,
        at: i64,
        options: &Options,
        notes: &mut Vec<Note>,
    ) -> Result<Value, EvalError> {
        let mut evaluator = Evaluator::new(self, source, (at, at), options);
        let value = evaluator.instant(&self.root, at);
        notes.extend(std::mem::take(&mut evaluator.notes));
        value
    }

    /// The values from `start` to `end`, both included, each `step`: a [`Value::Matrix`] in the
    /// order of labels.
    ///
    /// # Errors
    /// As [`Expr::instant`]; [`EvalError::BadRange`], [`EvalError::RangeOf`].
    pub fn range(
        &self,
        source: &dyn Source,
        start: i64,
        end: i64,
        step: i64,
        options: &Options,
    ) -> Result<Value, EvalError> {
        self.range_noted(source, (start, end, step), options, &mut Vec::new())
    }

    /// As [`Expr::range`] over start, end and step, and adds remarks on the result to `notes`.
    pub fn range_noted(
        &self,
        source: &dyn Source,
        (start, end, step): (i64, i64, i64),
        options: &Options,
        notes: &mut Vec<Note>,
    ) -> Result<Value, EvalError> {
        let kind = self.kind();
        if !matches!(kind, Kind::Scalar | Kind::Vector) {
            return Err(EvalError::RangeOf { kind });
        }
        let steps = steps(start, end, step, options)?;
        let mut evaluator = Evaluator::new(self, source, (start, end), options);
        let matrix = evaluator.steps(&self.root, &steps);
        let matrix = matrix.and_then(finish_matrix);
        notes.extend(std::mem::take(&mut evaluator.notes));
        matrix.map(Value::Matrix)
    }
}

/// The instants of a range.
fn steps(start: i64, end: i64, step: i64, options: &Options) -> Result<Vec<i64>, EvalError> {
    let too_many = EvalError::TooManySteps { max: options.steps_max };
    if step <= 0 || end < start {
        return Err(EvalError::BadRange);
    }
    let count =
        end.checked_sub(start).ok_or(too_many.clone())?.unsigned_abs() / step.unsigned_abs();
    if count >= options.steps_max {
        return Err(too_many);
    }
    let mut steps = Vec::new();
    let mut at = Some(start);
    while let Some(now) = at.filter(|now| *now <= end) {
        steps.push(now);
        at = now.checked_add(step);
    }
    Ok(steps)
}

/// Series while a matrix is made: its labels, whether its name leaves, its points.
type Rows = BTreeMap<(Labels, bool), Vec<(i64, f64)>>;

/// One evaluation.
struct Evaluator<'e> {
    source: &'e dyn Source,
    options: &'e Options,
    /// First and last instant of the whole evaluation: `@ start()`, `@ end()`.
    span: (i64, i64),
    /// What each selector needs, by its number.
    needs: Vec<load::Need>,
    /// What each selector has read, by its number.
    loaded: Vec<Option<Rc<Loaded>>>,
    /// Samples and steps so far.
    spent: u64,
    notes: BTreeSet<Note>,
    /// Expressions of label_replace, compiled once.
    regexes: BTreeMap<String, Regex>,
}

impl<'e> Evaluator<'e> {
    fn new(expr: &Expr, source: &'e dyn Source, span: (i64, i64), options: &'e Options) -> Self {
        let needs = load::needs(&expr.root, span, options);
        let loaded = needs.iter().map(|_| None).collect();
        let (notes, regexes) = (BTreeSet::new(), BTreeMap::new());
        Self { source, options, span, needs, loaded, spent: 0, notes, regexes }
    }

    /// Counts samples read or made.
    fn spend(&mut self, samples: usize) -> Result<(), EvalError> {
        self.spent = self.spent.saturating_add(samples as u64);
        if self.spent > self.options.samples_max {
            return Err(EvalError::TooManySamples { max: self.options.samples_max });
        }
        Ok(())
    }

    fn note(&mut self, note: Note) {
        /// More remarks than a person reads.
        const NOTES_MAX: usize = 100;
        if self.notes.len() < NOTES_MAX {
            self.notes.insert(note);
        }
    }

    /// The value of the whole expression at one instant.
    fn instant(&mut self, root: &Node, at: i64) -> Result<Value, EvalError> {
        if crate::parse::check::kind(root) == Kind::Matrix {
            let ranges = self.ranges(root, at)?;
            let mut rows = Rows::new();
            for range in &ranges.series {
                let row = rows.entry((range.labels.clone(), range.drops_name)).or_default();
                row.extend_from_slice(range.points());
            }
            return finish_matrix(rows).map(Value::Matrix);
        }
        Ok(match self.eval(root, at)? {
            Answer::Scalar(value) => Value::Scalar(value),
            Answer::Text(text) => Value::Text(text),
            Answer::Vector(mut vector) => {
                for element in &mut vector {
                    if element.drops_name {
                        element.labels = element.labels.without_name();
                    }
                }
                unique(&vector)?;
                let value = vector.into_iter().map(|element| (element.labels, element.value));
                Value::Vector(value.collect())
            }
        })
    }

    /// Evaluates at each of `steps`.
    fn steps(&mut self, node: &Node, steps: &[i64]) -> Result<Rows, EvalError> {
        let mut rows = Rows::new();
        for at in steps {
            let vector = match self.eval(node, *at)? {
                Answer::Vector(vector) => vector,
                Answer::Scalar(value) => {
                    vec![Element { labels: Labels::default(), drops_name: false, value }]
                }
                Answer::Text(_) => Vec::new(),
            };
            for element in vector {
                let Element { labels, drops_name, value } = element;
                let row = rows.entry((labels.clone(), drops_name)).or_default();
                if row.last().is_some_and(|(last, _)| last == at) {
                    return Err(EvalError::SameLabels { labels });
                }
                row.push((*at, value));
            }
        }
        Ok(rows)
    }

    /// The value of a node. Each costs one sample and what it makes, so that neither long
    /// expressions nor nested subqueries run for ever.
    fn eval(&mut self, node: &Node, at: i64) -> Result<Answer, EvalError> {
        let answer = self.eval_tree(node, at)?;
        let made = match &answer {
            Answer::Vector(vector) => vector.len(),
            Answer::Scalar(_) | Answer::Text(_) => 0,
        };
        self.spend(made + 1)?;
        Ok(answer)
    }

    fn eval_tree(&mut self, node: &Node, at: i64) -> Result<Answer, EvalError> {
        match &node.tree {
            Tree::Number(number) => Ok(Answer::Scalar(*number)),
            Tree::Text(text) => Ok(Answer::Text(text.clone())),
            Tree::Paren(inner) | Tree::Positive(inner) => self.eval(inner, at),
            Tree::Selector(selector) => {
                let found = self.select(selector, at)?;
                Ok(Answer::Vector(found.into_iter().map(|(element, _)| element).collect()))
            }
            // A range stands alone at the root only, where `instant` takes it.
            Tree::Subquery(_) => Ok(Answer::Vector(Vec::new())),
            Tree::Negative(inner) => match self.eval(inner, at)? {
                Answer::Scalar(value) => Ok(Answer::Scalar(-value)),
                Answer::Vector(vector) => {
                    self.renamed(vector.into_iter(), |value| -value).map(Answer::Vector)
                }
                text @ Answer::Text(_) => Ok(text),
            },
            Tree::Binary(binary) => self.binary(binary, at),
            Tree::Aggregate(aggregate) => self.aggregate(aggregate, at).map(Answer::Vector),
            Tree::Call(call) => self.call(call, at),
        }
    }

    fn scalar(&mut self, node: &Node, at: i64) -> Result<f64, EvalError> {
        Ok(match self.eval(node, at)? {
            Answer::Scalar(value) => value,
            Answer::Vector(_) | Answer::Text(_) => f64::NAN,
        })
    }

    fn vector(&mut self, node: &Node, at: i64) -> Result<Vec<Element>, EvalError> {
        Ok(match self.eval(node, at)? {
            Answer::Vector(vector) => vector,
            Answer::Scalar(_) | Answer::Text(_) => Vec::new(),
        })
    }

    /// Changes each value; the metric's name says no longer what it is.
    fn renamed(
        &mut self,
        vector: impl Iterator<Item = Element>,
        change: impl Fn(f64) -> f64,
    ) -> Result<Vec<Element>, EvalError> {
        let changed = vector.map(|element| Element {
            value: change(element.value),
            drops_name: true,
            ..element
        });
        let changed = changed.collect();
        self.drop_names(changed)
    }

    /// Lets names go at once where that is asked for.
    fn drop_names(&mut self, mut vector: Vec<Element>) -> Result<Vec<Element>, EvalError> {
        if self.options.name_removal == NameRemoval::Delayed {
            return Ok(vector);
        }
        let one_name = match vector.split_first() {
            Some((first, others)) => {
                others.iter().all(|other| other.labels.name() == first.labels.name())
            }
            None => true,
        };
        for element in vector.iter_mut().filter(|element| element.drops_name) {
            element.labels = element.labels.without_name();
            element.drops_name = false;
        }
        // Series of one name that differ still differ without it.
        if !one_name {
            unique(&vector)?;
        }
        Ok(vector)
    }

    /// The instant that a selector or subquery is about.
    fn moved(&self, at: i64, fixed: Option<At>, offset: i64) -> i64 {
        let base = match fixed {
            None => at,
            Some(At::Time(time)) => time,
            Some(At::Start) => self.span.0,
            Some(At::End) => self.span.1,
        };
        base.saturating_sub(offset)
    }

    /// The series of an instant selector, each with the time of its sample.
    fn select(&mut self, selector: &Selector, at: i64) -> Result<Vec<(Element, i64)>, EvalError> {
        let upto = self.moved(at, selector.fixed, selector.offset);
        let after = upto.saturating_sub(self.options.lookback_ms);
        let loaded = self.load(selector)?;
        let mut found = Vec::new();
        for (labels, points) in &loaded.series {
            let next = points.partition_point(|(time, _)| *time <= upto);
            let Some((time, value)) = next.checked_sub(1).and_then(|last| points.get(last)) else {
                continue;
            };
            if *time > after && !is_stale(*value) {
                let labels = labels.clone();
                found.push((Element { labels, drops_name: false, value: *value }, *time));
            }
        }
        Ok(found)
    }

    /// A range selector or subquery at an instant.
    fn ranges(&mut self, node: &Node, at: i64) -> Result<Ranges, EvalError> {
        match &node.tree {
            Tree::Paren(inner) => self.ranges(inner, at),
            Tree::Selector(selector) => {
                let upto = self.moved(at, selector.fixed, selector.offset);
                let after = upto.saturating_sub(selector.range.unwrap_or(0));
                let loaded = self.load(selector)?;
                let mut series = Vec::new();
                let mut touched = 0;
                for (labels, points) in &loaded.series {
                    let from = points.partition_point(|(time, _)| *time <= after);
                    let upto = points.partition_point(|(time, _)| *time <= upto);
                    if from < upto {
                        touched += upto - from;
                        let (labels, points) = (labels.clone(), Rc::clone(points));
                        series.push(Range { labels, drops_name: false, points, from, upto });
                    }
                }
                self.spend(touched)?;
                Ok(Ranges { series, after, upto })
            }
            Tree::Subquery(subquery) => self.subquery(subquery, at),
            Tree::Number(_)
            | Tree::Text(_)
            | Tree::Positive(_)
            | Tree::Negative(_)
            | Tree::Binary(_)
            | Tree::Aggregate(_)
            | Tree::Call(_) => Ok(Ranges { series: Vec::new(), after: at, upto: at }),
        }
    }

    fn subquery(&mut self, subquery: &Subquery, at: i64) -> Result<Ranges, EvalError> {
        let upto = self.moved(at, subquery.fixed, subquery.offset);
        let after = upto.saturating_sub(subquery.range);
        let step = subquery.step.unwrap_or(self.options.subquery_step_ms).max(1);
        let start = load::aligned_after(after, step);
        let mut series = Vec::new();
        if start <= upto {
            let steps = steps(start, upto, step, self.options)?;
            for ((labels, drops_name), points) in self.steps(&subquery.inner, &steps)? {
                let upto = points.len();
                let points = points.into();
                series.push(Range { labels, drops_name, points, from: 0, upto });
            }
        }
        Ok(Ranges { series, after, upto })
    }
}

/// Lets the names go that leave at the end.
fn finish_matrix(rows: Rows) -> Result<Vec<Series>, EvalError> {
    let mut finished: BTreeMap<Labels, Vec<(i64, f64)>> = BTreeMap::new();
    for ((labels, drops_name), points) in rows {
        let labels = if drops_name { labels.without_name() } else { labels };
        if finished.contains_key(&labels) {
            return Err(EvalError::SameLabels { labels });
        }
        finished.insert(labels, points);
    }
    Ok(finished.into_iter().collect())
}

/// Refuses a vector with two series of the same labels.
fn unique(vector: &[Element]) -> Result<(), EvalError> {
    let mut seen = BTreeSet::new();
    match vector.iter().find(|element| !seen.insert(&element.labels)) {
        Some(twice) => Err(EvalError::SameLabels { labels: twice.labels.clone() }),
        None => Ok(()),
    }
}
