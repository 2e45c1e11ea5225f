//! The functions of templates, and the values they work on.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use regex::Regex;

use super::Operand;
use super::format::{fixed, general, scientific, shortest, timestamp};
use crate::duration::parse_duration;

/// Name, fewest and most arguments (the value before a `|` counted), for all functions there are.
pub const FUNCTIONS: [(&str, usize, usize); 28] = [
    ("humanize", 1, 1),
    ("humanize1024", 1, 1),
    ("humanizeDuration", 1, 1),
    ("humanizePercentage", 1, 1),
    ("humanizeTimestamp", 1, 1),
    ("parseDuration", 1, 1),
    ("printf", 1, ARGUMENTS_MAX),
    ("print", 0, ARGUMENTS_MAX),
    ("println", 0, ARGUMENTS_MAX),
    ("toUpper", 1, 1),
    ("toLower", 1, 1),
    ("title", 1, 1),
    ("stripPort", 1, 1),
    ("stripDomain", 1, 1),
    ("match", 2, 2),
    ("reReplaceAll", 3, 3),
    ("safeHtml", 1, 1),
    ("not", 1, 1),
    ("index", 2, 2),
    ("len", 1, 1),
    ("eq", 2, ARGUMENTS_MAX),
    ("ne", 2, 2),
    ("lt", 2, 2),
    ("le", 2, 2),
    ("gt", 2, 2),
    ("ge", 2, 2),
    ("and", 1, ARGUMENTS_MAX),
    ("or", 1, ARGUMENTS_MAX),
];

const ARGUMENTS_MAX: usize = 16;
/// The widest field that `printf` fills.
const WIDTH_MAX: usize = 100;

/// What a pipeline carries.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Whole(i64),
    Float(f64),
    Bool(bool),
    Map(BTreeMap<String, String>),
}

impl Value {
    /// As text/template prints it.
    pub(super) fn print(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Whole(number) => number.to_string(),
            Self::Float(number) => shortest(*number),
            Self::Bool(truth) => truth.to_string(),
            Self::Map(map) => {
                let pairs: Vec<_> =
                    map.iter().map(|(name, value)| format!("{name}:{value}")).collect();
                format!("map[{}]", pairs.join(" "))
            }
        }
    }

    /// As `if` sees it: anything but zero, false and what is empty.
    pub(super) fn truth(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Whole(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Bool(truth) => *truth,
            Self::Map(map) => !map.is_empty(),
        }
    }

    fn number(&self) -> Result<f64, String> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "as Go converts it")]
            Self::Whole(number) => Ok(*number as f64),
            Self::Float(number) => Ok(*number),
            Self::Text(text) => text.parse().map_err(|_| format!("{text:?} is no number")),
            Self::Bool(_) | Self::Map(_) => Err(format!("{} is no number", self.print())),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::Whole(_) => "int",
            Self::Float(_) => "float64",
            Self::Bool(_) => "bool",
            Self::Map(_) => "map[string]string",
        }
    }
}

/// Refuses a call that could never work.
pub(super) fn check(function: usize, given: usize, arguments: &[Operand]) -> Result<(), String> {
    let (name, least, most) = FUNCTIONS[function];
    if given < least || given > most {
        let of = if least == most { format!("{least}") } else { format!("{least} to {most}") };
        return Err(format!("{name}: {given} arguments, must be {of}"));
    }
    match (name, arguments.first()) {
        ("printf", Some(Operand::Text(format))) => directives(format).map(|_| ()),
        ("match" | "reReplaceAll", Some(Operand::Text(pattern))) => {
            Regex::new(pattern).map(|_| ()).map_err(|error| format!("{name}: {error}"))
        }
        _ => Ok(()),
    }
}

pub(super) fn call(function: usize, arguments: &[Value]) -> Result<Value, String> {
    let (name, least, _) = FUNCTIONS[function];
    if arguments.len() < least {
        return Err(format!("{name}: too few arguments"));
    }
    let first = arguments.first();
    let number = || first.map_or(Err(String::new()), Value::number);
    let text = || first.map(Value::print).unwrap_or_default();
    Ok(match name {
        "humanize" => Value::Text(humanize(number()?)),
        "humanize1024" => Value::Text(humanize_1024(number()?)),
        "humanizeDuration" => Value::Text(humanize_duration(number()?)),
        "humanizePercentage" => Value::Text(format!("{}%", general(number()? * 100.0, Some(4)))),
        "humanizeTimestamp" => {
            let seconds = number()?;
            let known = timestamp(seconds);
            let odd = !seconds.is_finite();
            Value::Text(known.filter(|_| !odd).unwrap_or_else(|| general(seconds, Some(4))))
        }
        "parseDuration" => Value::Float(parse_duration(&text())?.as_secs_f64()),
        "printf" => Value::Text(printf(&text(), &arguments[1..])?),
        "print" => Value::Text(print(arguments)),
        "println" => {
            let words: Vec<_> = arguments.iter().map(Value::print).collect();
            Value::Text(words.join(" ") + "\n")
        }
        "toUpper" => Value::Text(text().to_uppercase()),
        "toLower" => Value::Text(text().to_lowercase()),
        "title" => Value::Text(title(&text())),
        "stripPort" => Value::Text(host_port(&text()).map_or_else(text, |(host, _)| host)),
        "stripDomain" => Value::Text(strip_domain(&text())),
        "match" => Value::Bool(pattern(&text())?.is_match(&arguments[1].print())),
        "reReplaceAll" => {
            let replaced = pattern(&text())?
                .replace_all(&arguments[2].print(), arguments[1].print())
                .into_owned();
            Value::Text(replaced)
        }
        "safeHtml" => Value::Text(text()),
        "index" => index(&arguments[0], &arguments[1])?,
        "len" => match &arguments[0] {
            Value::Text(text) => Value::Whole(i64::try_from(text.len()).unwrap_or(i64::MAX)),
            Value::Map(map) => Value::Whole(i64::try_from(map.len()).unwrap_or(i64::MAX)),
            other @ (Value::Whole(_) | Value::Float(_) | Value::Bool(_)) => {
                return Err(format!("len of {}", other.kind()));
            }
        },
        "and" | "or" => {
            let stop = name == "or";
            let found = arguments.iter().find(|value| value.truth() == stop);
            found.or(arguments.last()).cloned().unwrap_or(Value::Bool(false))
        }
        "not" => Value::Bool(!first.is_some_and(Value::truth)),
        _ => compare(name, arguments)?,
    })
}

fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| error.to_string())
}

fn index(from: &Value, key: &Value) -> Result<Value, String> {
    match (from, key) {
        (Value::Map(map), Value::Text(key)) => {
            Ok(Value::Text(map.get(key).cloned().unwrap_or_default()))
        }
        _ => Err(format!("index of {} by {}", from.kind(), key.kind())),
    }
}

/// Go compares only what has one type: a whole number is no float.
fn compare(name: &str, arguments: &[Value]) -> Result<Value, String> {
    use std::cmp::Ordering;
    let order = |left: &Value, right: &Value| match (left, right) {
        (Value::Text(left), Value::Text(right)) => Ok(Some(left.cmp(right))),
        (Value::Whole(left), Value::Whole(right)) => Ok(Some(left.cmp(right))),
        (Value::Float(left), Value::Float(right)) => Ok(left.partial_cmp(right)),
        (Value::Bool(left), Value::Bool(right)) if matches!(name, "eq" | "ne") => {
            Ok(Some(left.cmp(right)))
        }
        _ => Err(format!(
            "{name}: {} and {} cannot be compared (write 2.0 beside $value)",
            left.kind(),
            right.kind()
        )),
    };
    let first = order(&arguments[0], &arguments[1])?;
    let truth = match name {
        "eq" => {
            let mut any = false;
            for other in &arguments[1..] {
                any |= order(&arguments[0], other)? == Some(Ordering::Equal);
            }
            any
        }
        "ne" => first != Some(Ordering::Equal),
        "lt" => first == Some(Ordering::Less),
        "le" => matches!(first, Some(Ordering::Less | Ordering::Equal)),
        "gt" => first == Some(Ordering::Greater),
        "ge" => matches!(first, Some(Ordering::Greater | Ordering::Equal)),
        other => return Err(format!("{other}: not known")),
    };
    Ok(Value::Bool(truth))
}

/// As fmt.Sprint: a space between two that are both no text.
fn print(arguments: &[Value]) -> String {
    let mut out = String::new();
    for (at, value) in arguments.iter().enumerate() {
        let is_text = |value: &Value| matches!(value, Value::Text(_));
        if at > 0 && !is_text(value) && !is_text(&arguments[at - 1]) {
            out.push(' ');
        }
        out.push_str(&value.print());
    }
    out
}

/// One `%` of a format: the text before it, then what it asks for.
struct Directive<'f> {
    before: &'f str,
    left: bool,
    zero: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
    /// `%` where the format ends without one.
    verb: Option<char>,
}

fn directives(format: &str) -> Result<Vec<Directive<'_>>, String> {
    let mut found = Vec::new();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        let flags = after.len() - after.trim_start_matches(['-', '0', '+']).len();
        let (flags, after) = after.split_at(flags);
        let (width, mut after) = digits(after);
        let mut precision = None;
        if let Some(more) = after.strip_prefix('.') {
            let (digits, more) = digits(more);
            (precision, after) = (Some(digits.unwrap_or(0)), more);
        }
        let Some(verb) = after.chars().next() else {
            return Err(format!("printf: {format:?} ends in the middle of a %"));
        };
        if !"vsdfFgeqtxX%".contains(verb) {
            return Err(format!("printf: %{verb} is not supported"));
        }
        if width.is_some_and(|width| width > WIDTH_MAX)
            || precision.is_some_and(|precision| precision > WIDTH_MAX)
        {
            return Err(format!("printf: {format:?}: wider than {WIDTH_MAX}"));
        }
        found.push(Directive {
            before,
            left: flags.contains('-'),
            zero: flags.contains('0') && !flags.contains('-'),
            plus: flags.contains('+'),
            width: width.unwrap_or(0),
            precision,
            verb: Some(verb),
        });
        rest = &after[verb.len_utf8()..];
    }
    found.push(Directive {
        before: rest,
        left: false,
        zero: false,
        plus: false,
        width: 0,
        precision: None,
        verb: None,
    });
    Ok(found)
}

fn digits(text: &str) -> (Option<usize>, &str) {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(count);
    ((count > 0).then(|| digits.parse().unwrap_or(usize::MAX)), rest)
}

fn printf(format: &str, arguments: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut values = arguments.iter();
    for directive in directives(format)? {
        out.push_str(directive.before);
        match directive.verb {
            None => {}
            Some('%') => out.push('%'),
            Some(verb) => match values.next() {
                Some(value) => out.push_str(&padded(&directive, verb, value)),
                None => {
                    let _ = write!(out, "%!{verb}(MISSING)");
                }
            },
        }
    }
    let extra: Vec<_> = values.map(|value| format!("{}={}", value.kind(), value.print())).collect();
    if !extra.is_empty() {
        let _ = write!(out, "%!(EXTRA {})", extra.join(", "));
    }
    Ok(out)
}

fn padded(directive: &Directive<'_>, verb: char, value: &Value) -> String {
    let mut text = one(directive.precision, verb, value);
    let is_number = matches!(value, Value::Whole(_) | Value::Float(_));
    if directive.plus && is_number && !text.starts_with(['-', '+', '%']) {
        text.insert(0, '+');
    }
    let missing = directive.width.saturating_sub(text.chars().count());
    if directive.left {
        return text + &" ".repeat(missing);
    }
    if directive.zero && is_number {
        let sign = usize::from(text.starts_with(['-', '+']));
        let (sign, digits) = text.split_at(sign);
        return format!("{sign}{}{digits}", "0".repeat(missing));
    }
    " ".repeat(missing) + &text
}

fn one(precision: Option<usize>, verb: char, value: &Value) -> String {
    match (verb, value) {
        ('f' | 'F', Value::Float(number)) => fixed(*number, precision.unwrap_or(6)),
        ('e', Value::Float(number)) => scientific(*number, precision.unwrap_or(6)),
        ('g' | 'v', Value::Float(number)) => general(*number, precision),
        ('d' | 'v', Value::Whole(number)) => number.to_string(),
        ('x', Value::Whole(number)) => format!("{number:x}"),
        ('X', Value::Whole(number)) => format!("{number:X}"),
        ('s' | 'v', Value::Text(text)) => match precision {
            Some(precision) => text.chars().take(precision).collect(),
            None => text.clone(),
        },
        ('q', Value::Text(text)) => format!("{text:?}"),
        ('t' | 'v', Value::Bool(truth)) => truth.to_string(),
        ('s' | 'v', Value::Map(_)) => value.print(),
        // As Go says that verb and value do not fit.
        _ => format!("%!{verb}({}={})", value.kind(), value.print()),
    }
}

/// Thousands as k, M, G ..., thousandths as m, u, n ...; four digits.
fn humanize(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return general(value, Some(4));
    }
    let (value, prefix) = scaled(value, 1000.0, &["k", "M", "G", "T", "P", "E", "Z", "Y"]);
    format!("{}{prefix}", general(value, Some(4)))
}

fn humanize_1024(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return general(value, Some(4));
    }
    let prefixes = ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];
    let (value, prefix) = scaled(value, 1024.0, &prefixes);
    format!("{}{prefix}", general(value, Some(4)))
}

fn scaled(mut value: f64, step: f64, prefixes: &[&'static str]) -> (f64, &'static str) {
    let mut prefix = "";
    if value.abs() >= 1.0 {
        for next in prefixes {
            if value.abs() < step {
                break;
            }
            (value, prefix) = (value / step, *next);
        }
    } else {
        for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
            if value.abs() >= 1.0 {
                break;
            }
            (value, prefix) = (value * 1000.0, next);
        }
    }
    (value, prefix)
}

fn humanize_duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return general(seconds, Some(4));
    }
    if seconds.abs() < 1.0 {
        let (value, prefix) = if seconds == 0.0 { (0.0, "") } else { scaled(seconds, 1000.0, &[]) };
        return format!("{}{prefix}s", general(value, Some(4)));
    }
    let sign = if seconds < 0.0 { "-" } else { "" };
    let seconds = seconds.abs();
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds; saturates beyond i64")]
    let whole = seconds as i64;
    let (second, minute) = (whole % 60, whole / 60 % 60);
    let (hour, day) = (whole / 3600 % 24, whole / 86_400);
    if day != 0 {
        format!("{sign}{day}d {hour}h {minute}m {second}s")
    } else if hour != 0 {
        format!("{sign}{hour}h {minute}m {second}s")
    } else if minute != 0 {
        format!("{sign}{minute}m {second}s")
    } else {
        format!("{sign}{}s", general(seconds, Some(4)))
    }
}

/// Each word's first letter in upper case.
fn title(text: &str) -> String {
    let mut at_start = true;
    let mut out = String::new();
    for char in text.chars() {
        if at_start {
            out.extend(char.to_uppercase());
        } else {
            out.push(char);
        }
        at_start = !(char.is_alphanumeric() || matches!(char, '\'' | '_'));
    }
    out
}

/// `host:port` or `[v6]:port`, taken apart.
fn host_port(text: &str) -> Option<(String, String)> {
    let (host, port) = text.rsplit_once(':')?;
    if let Some(host) = host.strip_prefix('[') {
        return Some((host.strip_suffix(']')?.to_owned(), port.to_owned()));
    }
    (!host.contains([':', '[', ']'])).then(|| (host.to_owned(), port.to_owned()))
}

fn strip_domain(text: &str) -> String {
    let (host, port) = host_port(text).unwrap_or_else(|| (text.to_owned(), String::new()));
    if host.parse::<std::net::IpAddr>().is_ok() {
        return text.to_owned();
    }
    let host = host.split('.').next().unwrap_or_default();
    if port.is_empty() { host.to_owned() } else { format!("{host}:{port}") }
}
