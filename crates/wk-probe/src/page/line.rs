//! One line of a page: a sample, a declaration, a comment.

use super::{Kind, PageLimits, Series};

/// How much of an unsound text a reason quotes.
const QUOTED_MAX: usize = 40;

pub(super) enum Line<'l> {
    Nothing,
    /// OpenMetrics' `# EOF`.
    End,
    Kind(&'l str, Kind),
    Series(Series),
}

pub(super) fn read<'l>(line: &'l str, limits: &PageLimits) -> Result<Line<'l>, String> {
    let line = line.trim_matches([' ', '\t']);
    if line.is_empty() {
        return Ok(Line::Nothing);
    }
    match line.strip_prefix('#') {
        Some(rest) => declaration(rest),
        None => sample(line, limits).map(Line::Series),
    }
}

fn declaration(rest: &str) -> Result<Line<'_>, String> {
    if rest == " EOF" {
        return Ok(Line::End);
    }
    let mut words = rest.split_ascii_whitespace();
    if words.next() != Some("TYPE") {
        return Ok(Line::Nothing);
    }
    let (Some(name), Some(kind), None) = (words.next(), words.next(), words.next()) else {
        return Err("# TYPE wants a name and a type".to_owned());
    };
    let kind = match kind {
        "counter" => Kind::Counter,
        "gauge" => Kind::Gauge,
        "summary" => Kind::Summary,
        "histogram" | "gaugehistogram" => Kind::Histogram,
        "untyped" | "unknown" | "info" | "stateset" => Kind::Untyped,
        _ => return Err(format!("# TYPE {}: no such type", quoted(kind))),
    };
    Ok(Line::Kind(name, kind))
}

fn sample(line: &str, limits: &PageLimits) -> Result<Series, String> {
    let end = line.find(|c: char| !is_name(c)).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    check_name(name, "metric", limits)?;
    let mut labels = Vec::new();
    let rest = match rest.trim_start_matches([' ', '\t']).strip_prefix('{') {
        Some(inside) => read_labels(inside, limits, &mut labels)?,
        None if rest.starts_with([' ', '\t']) => rest,
        None => return Err(format!("no blank between name and value: {}", quoted(line))),
    };
    // OpenMetrics may add an exemplar; both may add a timestamp.
    let rest = rest.split_once(" #").map_or(rest, |(before, _)| before);
    let mut words = rest.split_ascii_whitespace();
    let value = words.next().ok_or_else(|| format!("{}: no value", quoted(name)))?;
    let value = read_value(value).ok_or_else(|| format!("{}: not a number", quoted(value)))?;
    if let Some(time) = words.next()
        && time.parse::<f64>().is_err()
    {
        return Err(format!("{}: not a timestamp", quoted(time)));
    }
    match words.next() {
        None => Ok(Series { name: name.to_owned(), labels, value }),
        Some(word) => Err(format!("{} after the timestamp", quoted(word))),
    }
}

/// Reads `name="value",...}` and gives back what follows.
fn read_labels<'l>(
    mut rest: &'l str,
    limits: &PageLimits,
    labels: &mut Vec<(String, String)>,
) -> Result<&'l str, String> {
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        // Apache's provider prints a comma after the last label.
        if let Some(after) = rest.strip_prefix('}') {
            return Ok(after);
        }
        if labels.len() == limits.labels_max {
            return Err(format!("more than {} labels", limits.labels_max));
        }
        let (name, after) =
            rest.split_once('=').ok_or_else(|| format!("label without =: {}", quoted(rest)))?;
        let name = name.trim_end_matches([' ', '\t']);
        check_name(name, "label", limits)?;
        if name.contains(':') {
            return Err(format!("{}: no name of a label", quoted(name)));
        }
        if labels.iter().any(|(known, _)| known == name) {
            return Err(format!("label {name} twice"));
        }
        let inside = after
            .trim_start_matches([' ', '\t'])
            .strip_prefix('"')
            .ok_or_else(|| format!("label {name}: value without quotes"))?;
        let (value, after) =
            read_quoted(inside).ok_or_else(|| format!("label {name}: value without end"))?;
        if value.len() > limits.text_max {
            return Err(format!("label {name}: value longer than {} bytes", limits.text_max));
        }
        labels.push((name.to_owned(), value));
        rest = after.trim_start_matches([' ', '\t']);
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None if rest.starts_with('}') => (),
            None => return Err(format!("neither , nor }} after label {name}")),
        }
    }
}

/// Reads up to the closing quote; `\\`, `\"` and `\n` are escapes, any other backslash is itself.
fn read_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                escaped @ ('\\' | '"') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            _ => value.push(c),
        }
    }
    None
}

/// Prometheus reads Go's floats; of these we take the decimal ones, infinities and NaN.
pub(super) fn read_value(text: &str) -> Option<f64> {
    text.parse().ok()
}

fn check_name(name: &str, what: &str, limits: &PageLimits) -> Result<(), String> {
    if name.len() > limits.text_max {
        return Err(format!("name of a {what} longer than {} bytes", limits.text_max));
    }
    let begins_well = name.starts_with(|c: char| is_name(c) && !c.is_ascii_digit());
    if begins_well && name.chars().all(is_name) {
        return Ok(());
    }
    Err(format!("{}: no name of a {what}", quoted(name)))
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// A little of `text` for a reason, without what would upset a terminal.
fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTED_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(QUOTED_MAX).is_some() {
        shown.push_str("...");
    }
    format!("\"{shown}\"")
}
