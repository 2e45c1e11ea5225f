//! From a template's text to its parts.

use super::function::{self, FUNCTIONS};
use super::{Command, Operand, Part, Pipeline, Template, TemplateError};

/// `if`s and parentheses within each other.
const DEPTH_MAX: usize = 32;

type Result<T> = std::result::Result<T, TemplateError>;

fn refuse<T>(reason: impl Into<String>) -> Result<T> {
    Err(TemplateError(reason.into()))
}

/// One stretch of the text.
enum Piece<'t> {
    Text(&'t str),
    /// What is between the braces, without them and their trim marks.
    Action(&'t str),
}

pub(super) fn template(text: &str) -> Result<Template> {
    let pieces = pieces(text)?;
    let mut pieces = pieces.into_iter();
    let (parts, end) = parts(&mut pieces, 0)?;
    match end {
        Stop::Text => Ok(Template { parts }),
        Stop::End => refuse("`end` without `if`"),
        Stop::Else(_) => refuse("`else` without `if`"),
    }
}

/// Cuts the text at its braces and trims where it is asked for.
fn pieces(mut text: &str) -> Result<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    let mut trim = false;
    loop {
        let (mut before, rest) = match text.split_once("{{") {
            Some((before, rest)) => (before, Some(rest)),
            None => (text, None),
        };
        if trim {
            before = before.trim_start_matches(is_space);
        }
        let Some(rest) = rest else {
            pieces.push(Piece::Text(before));
            return Ok(pieces);
        };
        let mut inner = rest;
        if let Some(trimmed) = rest.strip_prefix('-').filter(|rest| rest.starts_with(is_space)) {
            before = before.trim_end_matches(is_space);
            inner = trimmed;
        }
        pieces.push(Piece::Text(before));
        let end = closing(inner)?;
        let (mut action, after) = (&inner[..end], &inner[end + 2..]);
        trim = false;
        if let Some(trimmed) = action.strip_suffix('-').filter(|rest| rest.ends_with(is_space)) {
            (action, trim) = (trimmed, true);
        }
        let action = action.trim_matches(is_space);
        if !(action.starts_with("/*") && action.ends_with("*/")) {
            pieces.push(Piece::Action(action));
        }
        text = after;
    }
}

fn is_space(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\r' | '\n')
}

/// Where the `}}` is that closes an action: not one in quotes.
fn closing(text: &str) -> Result<usize> {
    let (mut quote, mut escaped) = (None, false);
    let in_comment = text.trim_start_matches(is_space).starts_with("/*");
    for (at, char) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some('"') if char == '\\' => escaped = true,
            Some(open) if char == open => quote = None,
            None if !in_comment || text[..at].ends_with("*/") || text[..at].ends_with("*/ -") => {
                if text[at..].starts_with("}}") {
                    return Ok(at);
                }
                quote = Some(char).filter(|char| matches!(char, '"' | '`'));
            }
            Some(_) | None => {}
        }
    }
    refuse(if quote.is_some() { "a quote is not closed" } else { "`{{` is not closed" })
}

/// What ended a row of parts.
enum Stop<'t> {
    /// The end of the text.
    Text,
    End,
    /// `else`, and the condition that followed it.
    Else(&'t str),
}

fn parts<'t>(
    pieces: &mut impl Iterator<Item = Piece<'t>>,
    depth: usize,
) -> Result<(Vec<Part>, Stop<'t>)> {
    if depth > DEPTH_MAX {
        return refuse(format!("nested deeper than {DEPTH_MAX}"));
    }
    let mut parts = Vec::new();
    while let Some(piece) = pieces.next() {
        let action = match piece {
            Piece::Text(text) => {
                if !text.is_empty() {
                    parts.push(Part::Text(text.to_owned()));
                }
                continue;
            }
            Piece::Action(action) => action,
        };
        let word = action.split(is_space).next().unwrap_or_default();
        match word {
            "if" => parts.push(branch(&action[2..], pieces, depth)?),
            "end" if action == "end" => return Ok((parts, Stop::End)),
            "else" => return Ok((parts, Stop::Else(action[4..].trim_matches(is_space)))),
            "range" | "with" | "define" | "template" | "block" | "break" | "continue" => {
                return refuse(format!("`{word}` is not supported"));
            }
            _ => parts.push(Part::Print(pipeline(action)?)),
        }
    }
    Ok((parts, Stop::Text))
}

fn branch<'t>(
    condition: &str,
    pieces: &mut impl Iterator<Item = Piece<'t>>,
    depth: usize,
) -> Result<Part> {
    // Without this the compiler would need a type for each depth.
    let pieces: &mut dyn Iterator<Item = Piece<'t>> = pieces;
    let mut pieces = pieces;
    let condition = pipeline(condition)?;
    let (then, end) = parts(&mut pieces, depth + 1)?;
    let otherwise = match end {
        Stop::Text => return refuse("`if` without `end`"),
        Stop::End => Vec::new(),
        Stop::Else("") => match parts(&mut pieces, depth + 1)? {
            (otherwise, Stop::End) => otherwise,
            (_, Stop::Else(_)) => return refuse("two `else` in one `if`"),
            (_, Stop::Text) => return refuse("`else` without `end`"),
        },
        // `else if` shares the `end` of the first.
        Stop::Else(more) => match more.strip_prefix("if") {
            Some(condition) if condition.starts_with(is_space) => {
                vec![branch(condition, &mut pieces, depth + 1)?]
            }
            _ => return refuse(format!("`else {more}` is not supported")),
        },
    };
    Ok(Part::If { condition, then, otherwise })
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Open,
    Close,
    Pipe,
    Text(String),
    /// A number, a name, a variable or a field, as written.
    Word(String),
}

fn pipeline(text: &str) -> Result<Pipeline> {
    let tokens = tokens(text)?;
    let mut cursor = Cursor { tokens, at: 0 };
    let pipeline = cursor.pipeline(0)?;
    match cursor.next() {
        None => Ok(pipeline),
        Some(_) => refuse(format!("`{text}`: a parenthesis too many")),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        match char {
            '(' => tokens.push(Token::Open),
            ')' => tokens.push(Token::Close),
            '|' => tokens.push(Token::Pipe),
            '`' => {
                let Some(len) = text[at + 1..].find('`') else { return refuse("an open quote") };
                tokens.push(Token::Text(text[at + 1..at + 1 + len].to_owned()));
                while chars.next_if(|(next, _)| *next <= at + 1 + len).is_some() {}
            }
            '"' => {
                let (word, len) = quoted(&text[at + 1..])?;
                tokens.push(Token::Text(word));
                while chars.next_if(|(next, _)| *next < at + 1 + len).is_some() {}
            }
            char if is_space(char) => {}
            char if is_word(char) => {
                let len = text[at..].find(|char| !is_word(char)).unwrap_or(text.len() - at);
                tokens.push(Token::Word(text[at..at + len].to_owned()));
                while chars.next_if(|(next, _)| *next < at + len).is_some() {}
            }
            ':' | '=' => return refuse(format!("`{text}`: variables of one's own: not supported")),
            other => return refuse(format!("`{text}`: unexpected {other:?}")),
        }
    }
    Ok(tokens)
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '_' | '.' | '$' | '-' | '+')
}

/// A quoted text and how long it was, the closing quote included.
fn quoted(text: &str) -> Result<(String, usize)> {
    let mut word = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((word, at + 1)),
            '\\' => word.push(match chars.next().map(|(_, escaped)| escaped) {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(escaped @ ('"' | '\\' | '\'')) => escaped,
                Some(other) => return refuse(format!("`\\{other}` in quotes: not supported")),
                None => break,
            }),
            _ => word.push(char),
        }
    }
    refuse("a quote is not closed")
}

struct Cursor {
    tokens: Vec<Token>,
    at: usize,
}

impl Cursor {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn pipeline(&mut self, depth: usize) -> Result<Pipeline> {
        if depth > DEPTH_MAX {
            return refuse(format!("nested deeper than {DEPTH_MAX}"));
        }
        let mut commands = Vec::new();
        loop {
            commands.push(self.command(depth, commands.is_empty())?);
            match self.peek() {
                Some(Token::Pipe) => self.at += 1,
                _ => return Ok(Pipeline(commands)),
            }
        }
    }

    fn command(&mut self, depth: usize, is_first: bool) -> Result<Command> {
        let Some(first) = self.peek().cloned() else { return refuse("an empty command") };
        let function = match &first {
            Token::Word(word) if word.starts_with(char::is_alphabetic) => match word.as_str() {
                "true" | "false" | "nil" => None,
                _ => Some(named(word)?),
            },
            Token::Word(_) | Token::Open | Token::Close | Token::Pipe | Token::Text(_) => None,
        };
        let Some(function) = function else {
            let operand = self.operand(depth)?;
            if matches!(self.peek(), Some(Token::Text(_) | Token::Word(_) | Token::Open)) {
                return refuse("a value with arguments: no function");
            }
            if !is_first {
                return refuse("a value after `|`: no function");
            }
            return Ok(Command::Value(operand));
        };
        self.at += 1;
        let mut arguments = Vec::new();
        while !matches!(self.peek(), None | Some(Token::Pipe | Token::Close)) {
            arguments.push(self.operand(depth)?);
        }
        let given = arguments.len() + usize::from(!is_first);
        function::check(function, given, &arguments).map_err(TemplateError)?;
        Ok(Command::Call { function, arguments })
    }

    fn operand(&mut self, depth: usize) -> Result<Operand> {
        match self.next() {
            Some(Token::Text(text)) => Ok(Operand::Text(text)),
            Some(Token::Word(word)) => operand(&word),
            Some(Token::Open) => {
                let pipeline = self.pipeline(depth + 1)?;
                match self.next() {
                    Some(Token::Close) => Ok(Operand::Pipeline(pipeline)),
                    _ => refuse("a parenthesis is not closed"),
                }
            }
            Some(Token::Close) => refuse("a parenthesis too many"),
            Some(Token::Pipe) | None => refuse("an empty command"),
        }
    }
}

fn named(word: &str) -> Result<usize> {
    let at = FUNCTIONS.iter().position(|(name, ..)| *name == word);
    at.map_or_else(|| refuse(format!("`{word}`: no function known here")), Ok)
}

fn operand(word: &str) -> Result<Operand> {
    let field = |prefixes: [&str; 2]| {
        prefixes.iter().find_map(|prefix| word.strip_prefix(*prefix)).map(str::to_owned)
    };
    let is_plain = |name: &str| !name.is_empty() && !name.contains(['.', '$', '-', '+']);
    match word {
        "$value" | ".Value" => return Ok(Operand::Value),
        "$labels" | ".Labels" => return Ok(Operand::Labels),
        "$externalLabels" | ".ExternalLabels" => return Ok(Operand::ExternalLabels),
        "$externalURL" | ".ExternalURL" => return Ok(Operand::ExternalUrl),
        "true" => return Ok(Operand::Bool(true)),
        "false" => return Ok(Operand::Bool(false)),
        _ => {}
    }
    if let Some(name) = field(["$labels.", ".Labels."]).filter(|name| is_plain(name)) {
        return Ok(Operand::Label(name));
    }
    if let Some(name) =
        field(["$externalLabels.", ".ExternalLabels."]).filter(|name| is_plain(name))
    {
        return Ok(Operand::ExternalLabel(name));
    }
    if word.starts_with(|char: char| char.is_ascii_digit() || matches!(char, '-' | '+' | '.')) {
        if let Ok(number) = word.parse() {
            return Ok(Operand::Whole(number));
        }
        if let Ok(number) = word.parse() {
            return Ok(Operand::Float(number));
        }
    }
    if word.starts_with(char::is_alphabetic) {
        let function = named(word)?;
        function::check(function, 0, &[]).map_err(TemplateError)?;
        let call = Command::Call { function, arguments: Vec::new() };
        return Ok(Operand::Pipeline(Pipeline(vec![call])));
    }
    refuse(format!("`{word}`: not known here"))
}
