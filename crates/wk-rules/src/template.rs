//! The templates of labels and annotations: the part of Go's text/template that alerts use.
//!
//! Known: text, `{{ }}` with trim marks and comments, `if`/`else if`/`else`/`end`, pipelines and
//! parentheses, `$labels`, `$value`, `$externalLabels`, `$externalURL` (and `.Labels` and so on),
//! words, numbers, and the functions of [`FUNCTIONS`]. All else is refused when the file is loaded,
//! by name: a template that fails only when the alert fires is found too late.

mod format;
mod function;
mod parse;

use std::collections::BTreeMap;

use wk_promql::Labels;

pub use function::FUNCTIONS;
use function::Value;

/// A label's or annotation's template, parsed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Print(Pipeline),
    If { condition: Pipeline, then: Vec<Part>, otherwise: Vec<Part> },
}

/// Commands, each of which gets the result of the one before as its last argument.
#[derive(Clone, Debug, PartialEq)]
struct Pipeline(Vec<Command>);

#[derive(Clone, Debug, PartialEq)]
enum Command {
    Call { function: usize, arguments: Vec<Operand> },
    Value(Operand),
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Labels,
    Label(String),
    ExternalLabels,
    ExternalLabel(String),
    ExternalUrl,
    Value,
    Text(String),
    Whole(i64),
    Float(f64),
    Bool(bool),
    Pipeline(Pipeline),
}

/// Why a text is no template of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template: {0}")]
pub(crate) struct TemplateError(String);

/// What a template can speak of.
pub(crate) struct Facts<'f> {
    /// Of the series that the expression gave.
    pub(crate) labels: &'f Labels,
    pub(crate) value: f64,
    pub(crate) external_labels: &'f BTreeMap<String, String>,
    pub(crate) external_url: &'f str,
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        parse::template(text)
    }

    /// The text for these facts; where it fails, Prometheus' words in its place.
    pub(crate) fn expand(&self, facts: &Facts<'_>) -> String {
        let mut out = String::new();
        match write(&self.parts, facts, &mut out) {
            Ok(()) => out,
            Err(reason) => format!("<error expanding template: {reason}>"),
        }
    }
}

fn write(parts: &[Part], facts: &Facts<'_>, out: &mut String) -> Result<(), String> {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Print(pipeline) => out.push_str(&pipeline.value(facts)?.print()),
            Part::If { condition, then, otherwise } => {
                let chosen = if condition.value(facts)?.truth() { then } else { otherwise };
                write(chosen, facts, out)?;
            }
        }
    }
    Ok(())
}

impl Pipeline {
    fn value(&self, facts: &Facts<'_>) -> Result<Value, String> {
        let mut last = None;
        for command in &self.0 {
            last = Some(match command {
                Command::Value(operand) => operand.value(facts)?,
                Command::Call { function, arguments } => {
                    let mut values = Vec::with_capacity(arguments.len() + 1);
                    for argument in arguments {
                        values.push(argument.value(facts)?);
                    }
                    values.extend(last);
                    function::call(*function, &values)?
                }
            });
        }
        last.ok_or_else(|| "an empty pipeline".to_owned())
    }
}

impl Operand {
    fn value(&self, facts: &Facts<'_>) -> Result<Value, String> {
        let external = || facts.external_labels.iter();
        Ok(match self {
            Self::Labels => Value::Map(
                facts.labels.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            ),
            // A label that is not there is the empty text, as in Prometheus.
            Self::Label(name) => Value::Text(facts.labels.get(name).to_owned()),
            Self::ExternalLabels => {
                Value::Map(external().map(|(name, value)| (name.clone(), value.clone())).collect())
            }
            Self::ExternalLabel(name) => {
                Value::Text(facts.external_labels.get(name).cloned().unwrap_or_default())
            }
            Self::ExternalUrl => Value::Text(facts.external_url.to_owned()),
            Self::Value => Value::Float(facts.value),
            Self::Text(text) => Value::Text(text.clone()),
            Self::Whole(number) => Value::Whole(*number),
            Self::Float(number) => Value::Float(*number),
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Pipeline(pipeline) => pipeline.value(facts)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str, value: f64) -> String {
        let labels = Labels::metric("up", [("instance", "zk1.example:2181"), ("job", "zookeeper")]);
        let external = BTreeMap::from([("site".to_owned(), "north".to_owned())]);
        let facts = Facts {
            labels: &labels,
            value,
            external_labels: &external,
            external_url: "http://prometheus:9090",
        };
        Template::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).expand(&facts)
    }

    #[test]
    fn what_alerts_use_gives_what_prometheus_gives() {
        for (text, value, want) in [
            ("plain }} text", 0.0, "plain }} text"),
            ("{{ $labels.instance }} is down", 0.0, "zk1.example:2181 is down"),
            ("{{.Labels.job}}/{{$labels.none}}/", 0.0, "zookeeper//"),
            ("{{ $value }}", 1.0, "1"),
            ("{{ $value }}", 1_000_000.0, "1e+06"),
            ("{{ $value }}", 0.25, "0.25"),
            ("{{ .Value | humanize }}", 123_456.0, "123.5k"),
            ("{{ humanize1024 $value }}", 1_048_576.0, "1Mi"),
            ("{{ $value | humanizeDuration }}", 93_784.0, "1d 2h 3m 4s"),
            ("{{ $value | humanizeDuration }}", 0.0123, "12.3ms"),
            ("{{ $value | humanizePercentage }}", 0.1234, "12.34%"),
            (
                "{{ $value | humanizeTimestamp }}",
                1_435_065_584.128,
                "2015-06-23 13:19:44.128 +0000 UTC",
            ),
            ("{{ printf \"%.2f of %s\" $value $labels.job }}", 2.0 / 3.0, "0.67 of zookeeper"),
            ("{{ $value | printf \"%.1f%%\" }}", 12.34, "12.3%"),
            ("a {{- $value -}} b", 5.0, "a5b"),
            ("a{{/* nothing */}}b", 0.0, "ab"),
            (
                "{{ if gt $value 2.0 }}high{{ else if eq $value 2.0 }}two{{ else }}low{{ end }}",
                2.0,
                "two",
            ),
            ("{{ if and $labels.job (not $labels.none) }}yes{{ end }}", 0.0, "yes"),
            ("{{ if or (eq $labels.job \"a\" \"zookeeper\") false }}in{{end}}", 0.0, "in"),
            ("{{ toUpper $labels.job | title }}", 0.0, "ZOOKEEPER"),
            ("{{ $labels.instance | stripPort | stripDomain }}", 0.0, "zk1"),
            ("{{ index $labels \"job\" }} {{ len $labels.job }}", 0.0, "zookeeper 9"),
            ("{{ $externalLabels.site }} {{ $externalURL }}", 0.0, "north http://prometheus:9090"),
            ("{{ `raw \\n` }}{{ \"\\t\" }}", 0.0, "raw \\n\t"),
        ] {
            assert_eq!(expand(text, value), want, "{text}");
        }
    }

    #[test]
    fn a_failure_at_run_time_is_said_in_the_text_as_prometheus_does() {
        let text = expand("x {{ if gt $value 2 }}y{{ end }}", 3.0);
        assert!(text.starts_with("<error expanding template: "), "{text}");
        let text = expand("{{ humanize $labels.job }}", 3.0);
        assert!(text.starts_with("<error expanding template: "), "{text}");
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (text, part) in [
            ("{{ query \"up\" }}", "query"),
            ("{{ range $x := query \"up\" }}{{ end }}", "range"),
            ("{{ with $labels.job }}{{ end }}", "with"),
            ("{{ define \"a\" }}{{ end }}", "define"),
            ("{{ template \"a\" }}", "template"),
            ("{{ $x := $value }}", "$x"),
            ("{{ $unknown }}", "$unknown"),
            ("{{ .Unknown }}", ".Unknown"),
            ("{{ nothing $value }}", "nothing"),
            ("{{ $value", "not closed"),
            ("{{ if $value }}x", "`end`"),
            ("{{ end }}", "`end`"),
            ("{{ else }}", "`else`"),
            ("{{ }}", "empty"),
            ("{{ printf }}", "printf"),
            ("{{ humanize }}", "humanize"),
            ("{{ humanize 1 2 }}", "humanize"),
            ("{{ printf \"%y\" $value }}", "%y"),
            ("{{ \"open }}", "quote"),
            ("{{ ($value }}", "parenthesis"),
            ("{{ $value | }}", "empty"),
            ("{{ $value $value }}", "no function"),
            ("{{ $labels.a.b }}", "$labels.a.b"),
        ] {
            let error = Template::parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000));
        assert!(Template::parse(&deep).is_err());
        let deep = "{{ if $value }}".repeat(5000) + &"{{ end }}".repeat(5000);
        assert!(Template::parse(&deep).is_err());
    }
}
