//! A YAML file as a tree in which every node knows its line, so that a refusal can say where.
//!
//! The parser is saphyr's event parser; the tree is ours, because what is refused here (keys given
//! twice, more nodes or deeper nesting than any honest file has, aliases that multiply) must be
//! refused by name and line before anything is built from it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// A file longer than this is not read: a thousand rules fit twenty times.
pub const FILE_BYTES_MAX: usize = 4 << 20;
/// Values of all kinds in one file, each use of an alias counted as if it were written out.
pub(crate) const NODES_MAX: usize = 200_000;
/// Mappings and lists within each other.
pub(crate) const DEPTH_MAX: usize = 24;

/// One value, and the line (from 1) on which it begins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Nothing at all, `~` or `null`.
    Null,
    /// A scalar as text: what it means is for the reader of the key to say.
    Scalar(String),
    List(Vec<Node>),
    /// In the order of the file, each key once.
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) line: usize,
    pub(crate) name: String,
}

/// Why a text is no tree: the line, and the reason.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct YamlError {
    pub(crate) line: usize,
    pub(crate) reason: String,
}

fn refuse<T>(line: usize, reason: impl Into<String>) -> Result<T, YamlError> {
    Err(YamlError { line, reason: reason.into() })
}

/// Reads the one document of `text`; an empty text is [`Value::Null`].
pub(crate) fn read(text: &str) -> Result<Node, YamlError> {
    if text.len() > FILE_BYTES_MAX {
        return refuse(1, format!("{} bytes; at most {FILE_BYTES_MAX} are read", text.len()));
    }
    Reader { parser: Parser::new_from_str(text), anchors: BTreeMap::new(), nodes: 0 }.document()
}

struct Reader<'t> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    /// By the parser's number of the anchor: its value, and how many nodes that is.
    anchors: BTreeMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'t> Reader<'t> {
    fn document(mut self) -> Result<Node, YamlError> {
        let mut found = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => {
                    return Ok(found.unwrap_or(Node { line: 1, value: Value::Null }));
                }
                Event::StreamStart
                | Event::DocumentStart(_)
                | Event::DocumentEnd
                | Event::Nothing => {}
                Event::Alias(_)
                | Event::Scalar(..)
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingStart(..)
                | Event::MappingEnd => {
                    if found.is_some() {
                        return refuse(span.start.line(), "a second document in one file");
                    }
                    found = Some(self.node(event, span, 0)?);
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), YamlError> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => refuse(error.marker().line().max(1), error.info()),
            None => refuse(1, "the file ends too early"),
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, YamlError> {
        let line = span.start.line();
        if depth > DEPTH_MAX {
            return refuse(line, format!("nested deeper than {DEPTH_MAX}"));
        }
        let before = self.count(1, line)?;
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                if tag.is_some_and(|tag| !tag.is_yaml_core_schema()) {
                    return refuse(
                        line,
                        "a tag of its own, as in `!tag value`, means nothing here",
                    );
                }
                (anchor, scalar(text, style))
            }
            Event::SequenceStart(anchor, _) => (anchor, self.list(depth)?),
            Event::MappingStart(anchor, _) => (anchor, self.map(depth)?),
            Event::Alias(anchor) => {
                let Some((node, nodes)) = self.anchors.get(&anchor).cloned() else {
                    return refuse(line, "an alias inside of what it stands for");
                };
                self.count(nodes, line)?;
                return Ok(Node { line, value: node.value });
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => return refuse(line, "a value is missing"),
        };
        let node = Node { line, value };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    /// Counts `more` nodes; returns the count before.
    fn count(&mut self, more: usize, line: usize) -> Result<usize, YamlError> {
        let before = self.nodes;
        self.nodes += more;
        if self.nodes > NODES_MAX {
            return refuse(line, format!("more than {NODES_MAX} values, aliases counted"));
        }
        Ok(before)
    }

    fn list(&mut self, depth: usize) -> Result<Value, YamlError> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Value::List(items));
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, YamlError> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut lines: BTreeMap<String, usize> = BTreeMap::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let line = span.start.line();
            let Value::Scalar(name) = self.node(event, span, depth + 1)?.value else {
                return refuse(line, "a key that is not a word");
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            if let Some(first) = lines.insert(name.clone(), line) {
                return refuse(line, format!("{name}: given before, on line {first}"));
            }
            if name == "<<" {
                merged.push(value);
            } else {
                entries.push((Key { line, name }, value));
            }
        }
        for node in merged {
            merge(&mut entries, node)?;
        }
        Ok(Value::Map(entries))
    }
}

/// `<<: *other`: the keys of the other that are not given here.
fn merge(entries: &mut Vec<(Key, Node)>, from: Node) -> Result<(), YamlError> {
    match from.value {
        Value::Map(others) => {
            for (key, value) in others {
                if !entries.iter().any(|(known, _)| known.name == key.name) {
                    entries.push((key, value));
                }
            }
            Ok(())
        }
        Value::List(_) | Value::Null | Value::Scalar(_) => {
            refuse(from.line, "<<: takes a mapping, as in `<<: *name`")
        }
    }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle) -> Value {
    let is_null =
        style == ScalarStyle::Plain && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
    if is_null { Value::Null } else { Value::Scalar(text.into_owned()) }
}

impl Value {
    /// What it is, for a message.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Scalar(_) => "a word",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn get<'n>(node: &'n Node, name: &str) -> &'n Node {
        let Value::Map(entries) = &node.value else { panic!("{node:?}") };
        &entries.iter().find(|(key, _)| key.name == name).expect(name).1
    }

    fn scalar_at(line: usize, text: &str) -> Node {
        Node { line, value: Value::Scalar(text.into()) }
    }

    #[test]
    fn nodes_know_their_lines_and_scalars_stay_text() {
        let tree = read("a: 1\nb:\n  - \"~\"\n  - ~\nc: |\n  x\n  y\n").unwrap();
        assert_eq!(get(&tree, "a"), &scalar_at(1, "1"));
        let list = vec![scalar_at(3, "~"), Node { line: 4, value: Value::Null }];
        assert_eq!(get(&tree, "b").value, Value::List(list));
        assert_eq!(get(&tree, "c").value, Value::Scalar("x\ny\n".into()));
    }

    #[test]
    fn an_alias_is_what_it_stands_for_and_merges() {
        let tree = read("a: &x {k: v, l: w}\nb: *x\nc: {<<: *x, k: own}\n").unwrap();
        assert_eq!(get(&tree, "b").value, get(&tree, "a").value);
        let merged = get(&tree, "c");
        assert_eq!(get(merged, "k"), &scalar_at(3, "own"));
        assert_eq!(get(merged, "l"), &scalar_at(1, "w"));
    }

    #[test]
    fn what_is_refused_says_line_and_reason() {
        for (text, line, part) in [
            ("a: 1\nb: 2\na: 3\n", 3, "a: given before, on line 1"),
            ("a: [1\n", 2, ""),
            ("a: 1\n---\nb: 2\n", 3, "second document"),
            ("[a]: 1\n", 1, "a key that is not a word"),
            ("x: 1\na: !own 1\n", 2, "tag"),
            ("a: *nowhere\n", 1, "unknown anchor"),
        ] {
            let error = read(text).expect_err(text);
            assert_eq!((error.line, error.reason.contains(part)), (line, true), "{error:?}");
        }
    }

    #[test]
    fn a_bomb_of_aliases_is_refused_and_so_is_deep_nesting() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for at in 1..9 {
            let before = format!("*a{}, ", at - 1).repeat(10);
            writeln!(bomb, "a{at}: &a{at} [{before}]").unwrap();
        }
        assert!(read(&bomb).expect_err("bomb").reason.contains("aliases"));
        let deep = |depth| read(&("[".repeat(depth) + &"]".repeat(depth)));
        assert!(deep(DEPTH_MAX + 2).expect_err("deep").reason.contains("nested deeper"));
        assert!(deep(DEPTH_MAX).is_ok() && deep(100_000).is_err());
        let long = "#".repeat(FILE_BYTES_MAX + 1);
        assert!(read(&long).expect_err("long").reason.contains("bytes"));
    }
}
