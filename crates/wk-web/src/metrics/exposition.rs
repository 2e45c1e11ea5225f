//! Prometheus' text format 0.0.4: families in order, labels and help escaped.

use std::fmt::Write as _;

pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Gauge,
    Counter,
    Histogram,
    Summary,
}

/// A page being written. A family's samples follow its [`Page::family`] before the next one.
#[derive(Debug, Default)]
pub(crate) struct Page {
    text: String,
}

impl Page {
    /// Begins a family.
    pub(crate) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        };
        let _ = writeln!(self.text, "# HELP {name} {}", escaped(help, false));
        let _ = writeln!(self.text, "# TYPE {name} {kind}");
    }

    /// Adds a sample.
    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{open}{label}=\"{}\"", escaped(text, true));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {}", number(value));
    }

    /// The text.
    pub(crate) fn finish(self) -> String {
        self.text
    }
}

/// A count as a double: exact up to 2^53, which is what the format can hold.
#[expect(clippy::cast_precision_loss, reason = "the format knows doubles only")]
pub(crate) fn count(value: u64) -> f64 {
    value as f64
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        value.to_string()
    }
}

pub(crate) fn escaped(text: &str, quotes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_leave_its_quotes() {
        let mut page = Page::default();
        page.family("a", Kind::Gauge, "line\none \\ two");
        page.sample("a", &[("node", "x\"} 1\nb \\")], 0.5);
        page.sample("a", &[], f64::NAN);
        let want = "# HELP a line\\none \\\\ two\n# TYPE a gauge\n\
                    a{node=\"x\\\"} 1\\nb \\\\\"} 0.5\na NaN\n";
        assert_eq!(page.finish(), want);
    }
}
