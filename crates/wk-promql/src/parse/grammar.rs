//! Tokens to a tree: precedence climbing over binary operators, one function a production.

use super::check;
use super::durations::seconds_ms;
use super::functions::{self, Features};
use super::lexer::{Token, tokens};
use super::{
    Aggregate, Aggregation, At, Binary, Call, Cardinality, EXPR_DEPTH_MAX, EXPR_LEN_MAX, Grouping,
    Node, Operator, ParseError, Selector, Subquery, Tree, Wrong, wrong,
};
use crate::matcher::{MatchOp, Matcher};

/// The most binary operators in one expression: chains are as deep as they are long.
const OPERATORS_MAX: usize = 512;

/// Words that no metric may be named after without braces.
const RESERVED: &[&str] = &["bool", "on", "ignoring", "group_left", "group_right", "atan2"];

/// Parses `text` and checks that its types fit.
pub(crate) fn parse(text: &str, features: Features) -> Result<Node, ParseError> {
    parse_at(text, features).map_err(|wrong| wrong.in_text(text))
}

fn parse_at(text: &str, features: Features) -> Result<Node, Wrong> {
    if text.len() > EXPR_LEN_MAX {
        return wrong(0, format!("an expression of {} bytes: at most {EXPR_LEN_MAX}", text.len()));
    }
    let tokens = tokens(text)?;
    if tokens.len() == 1 {
        return wrong(0, "no expression found in input");
    }
    let mut parser = Parser { tokens, next: 0, depth: 0, operators: 0, selectors: 0, features };
    let node = parser.expression(0)?;
    match parser.peek() {
        Token::End => check::check(&node).map(|()| node),
        _ => parser.unexpected("after the expression"),
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>, // ends with Token::End
    next: usize,                 // < tokens.len()
    depth: usize,
    operators: usize,
    selectors: usize,
    features: Features,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.next].1
    }

    fn peek_second(&self) -> &Token {
        &self.tokens[(self.next + 1).min(self.tokens.len() - 1)].1
    }

    fn at(&self) -> usize {
        self.tokens[self.next].0
    }

    fn advance(&mut self) -> Token {
        let token = self.tokens[self.next].1.clone();
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        token
    }

    fn unexpected<T>(&self, place: &str) -> Result<T, Wrong> {
        wrong(self.at(), format!("unexpected {} {place}", self.peek()))
    }

    fn accept(&mut self, sign: &'static str) -> bool {
        let is_there = *self.peek() == Token::Sign(sign);
        if is_there {
            self.advance();
        }
        is_there
    }

    fn expect(&mut self, sign: &'static str, place: &str) -> Result<(), Wrong> {
        if self.accept(sign) {
            Ok(())
        } else {
            self.unexpected(&format!("{place}, expected {sign:?}"))
        }
    }

    /// Whether the next token is that keyword, in any case.
    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Name(name) if name.eq_ignore_ascii_case(word))
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let is_there = self.is_word(word);
        if is_there {
            self.advance();
        }
        is_there
    }

    fn expression(&mut self, lowest: u8) -> Result<Node, Wrong> {
        if self.depth >= EXPR_DEPTH_MAX {
            return wrong(self.at(), format!("nested deeper than {EXPR_DEPTH_MAX}"));
        }
        self.depth += 1;
        let mut left = self.unary()?;
        while let Some((operator, strength)) = self.operator().filter(|(_, found)| *found >= lowest)
        {
            self.operators += 1;
            if self.operators > OPERATORS_MAX {
                return wrong(self.at(), format!("more than {OPERATORS_MAX} binary operators"));
            }
            let sign_at = self.at();
            self.advance();
            let mut binary = self.modifiers(operator, sign_at)?;
            // Only ^ binds to the right.
            let stronger = if operator == Operator::Pow { strength } else { strength + 1 };
            let right = self.expression(stronger)?;
            let at = left.at;
            binary.left = Box::new(left);
            binary.right = Box::new(right);
            left = Node { at, tree: Tree::Binary(binary) };
        }
        self.depth -= 1;
        Ok(left)
    }

    /// The binary operator that comes next, and how strongly it binds.
    fn operator(&self) -> Option<(Operator, u8)> {
        Some(match self.peek() {
            Token::Sign("+") => (Operator::Add, 4),
            Token::Sign("-") => (Operator::Sub, 4),
            Token::Sign("*") => (Operator::Mul, 5),
            Token::Sign("/") => (Operator::Div, 5),
            Token::Sign("%") => (Operator::Mod, 5),
            Token::Sign("^") => (Operator::Pow, 6),
            Token::Sign("==") => (Operator::Equal, 3),
            Token::Sign("!=") => (Operator::NotEqual, 3),
            Token::Sign(">") => (Operator::Greater, 3),
            Token::Sign("<") => (Operator::Less, 3),
            Token::Sign(">=") => (Operator::GreaterEqual, 3),
            Token::Sign("<=") => (Operator::LessEqual, 3),
            Token::Name(name) => match name.to_ascii_lowercase().as_str() {
                "atan2" => (Operator::Atan2, 5),
                "and" => (Operator::And, 2),
                "unless" => (Operator::Unless, 2),
                "or" => (Operator::Or, 1),
                _ => return None,
            },
            _ => return None,
        })
    }

    /// What stands between a binary operator and its right side.
    fn modifiers(&mut self, operator: Operator, at: usize) -> Result<Binary, Wrong> {
        let nothing = || Box::new(Node { at, tree: Tree::Number(0.0) });
        let mut binary = Binary {
            operator,
            left: nothing(),
            right: nothing(),
            is_bool: false,
            matching: Grouping::Except(Vec::new()),
            cardinality: Cardinality::OneToOne,
            include: Vec::new(),
        };
        if self.is_word("bool") {
            if !operator.is_comparison() {
                return wrong(self.at(), "bool modifier can only be used on comparison operators");
            }
            self.advance();
            binary.is_bool = true;
        }
        let is_matched = self.is_word("on") || self.is_word("ignoring");
        if self.accept_word("on") {
            binary.matching = Grouping::Only(self.labels("on")?);
        } else if self.accept_word("ignoring") {
            binary.matching = Grouping::Except(self.labels("ignoring")?);
        }
        for (word, cardinality) in
            [("group_left", Cardinality::ManyToOne), ("group_right", Cardinality::OneToMany)]
        {
            if !is_matched || !self.is_word(word) {
                continue;
            }
            if operator.is_set() {
                let reason = format!("no grouping allowed for {:?} operation", operator.sign());
                return wrong(self.at(), reason);
            }
            self.advance();
            binary.cardinality = cardinality;
            if *self.peek() == Token::Sign("(") {
                binary.include = self.labels(word)?;
            }
            break;
        }
        if let Grouping::Only(on) = &binary.matching
            && let Some(twice) = binary.include.iter().find(|label| on.contains(label))
        {
            let reason = format!("label {twice:?} must not occur in ON and GROUP clause at once");
            return wrong(at, reason);
        }
        Ok(binary)
    }

    /// `(a, b, "c")`
    fn labels(&mut self, place: &str) -> Result<Vec<String>, Wrong> {
        self.expect("(", place)?;
        let mut labels = Vec::new();
        while !self.accept(")") {
            match self.peek().clone() {
                Token::Name(name) if !name.contains(':') => labels.push(name),
                Token::Text(name) if !name.is_empty() => labels.push(name),
                _ => return self.unexpected(&format!("in {place}, expected a label")),
            }
            self.advance();
            if !self.accept(",") && *self.peek() != Token::Sign(")") {
                return self.unexpected(&format!("in {place}, expected \",\" or \")\""));
            }
        }
        Ok(labels)
    }

    fn unary(&mut self) -> Result<Node, Wrong> {
        let at = self.at();
        if !matches!(self.peek(), Token::Sign("+" | "-")) {
            let primary = self.primary()?;
            return self.postfix(primary);
        }
        let is_negative = self.advance() == Token::Sign("-");
        // Weaker than ^, stronger than *.
        let inner = self.expression(6)?;
        check::number_or_vector(&inner)?;
        let tree = match inner.tree {
            Tree::Number(number) if is_negative => Tree::Number(-number),
            Tree::Number(number) => Tree::Number(number),
            _ if is_negative => Tree::Negative(Box::new(inner)),
            _ => Tree::Positive(Box::new(inner)),
        };
        Ok(Node { at, tree })
    }

    fn primary(&mut self) -> Result<Node, Wrong> {
        let at = self.at();
        let tree = match self.peek().clone() {
            Token::Number(number) => {
                self.advance();
                Tree::Number(number)
            }
            Token::Duration(ms) => {
                self.advance();
                #[expect(clippy::cast_precision_loss, reason = "a century is below 2^53 ms")]
                Tree::Number(ms as f64 / 1000.0)
            }
            Token::Text(text) => {
                self.advance();
                Tree::Text(text)
            }
            Token::Sign("(") => {
                self.advance();
                let inner = self.expression(0)?;
                self.expect(")", "in parentheses")?;
                Tree::Paren(Box::new(inner))
            }
            Token::Sign("{") => self.selector(None)?,
            Token::Name(name) => self.named(&name)?,
            Token::Sign(_) | Token::End => return self.unexpected("where an expression begins"),
        };
        Ok(Node { at, tree })
    }

    /// What begins with a name: an aggregation, a call or a selector.
    fn named(&mut self, name: &str) -> Result<Tree, Wrong> {
        let at = self.at();
        let is_called = *self.peek_second() == Token::Sign("(");
        if let Some(what) = Aggregation::named(name) {
            let is_grouped = matches!(self.peek_second(), Token::Name(word)
                if word.eq_ignore_ascii_case("by") || word.eq_ignore_ascii_case("without"));
            if is_called || is_grouped {
                return self.aggregate(what);
            }
        }
        if is_called {
            return self.call(name);
        }
        if RESERVED.iter().any(|word| name.eq_ignore_ascii_case(word)) {
            return wrong(at, format!("unexpected keyword {name:?} where an expression begins"));
        }
        self.advance();
        self.selector(Some(name))
    }

    fn aggregate(&mut self, what: Aggregation) -> Result<Tree, Wrong> {
        let at = self.at();
        if what.is_experimental() && self.features == Features::Stable {
            return wrong(at, format!("{}() is experimental and not enabled", what.name()));
        }
        self.advance();
        let before = self.grouping()?;
        self.expect("(", "in aggregation")?;
        let mut arguments = self.arguments()?;
        let after = if before.is_none() { self.grouping()? } else { None };
        let want = if what.has_parameter() { 2 } else { 1 };
        let (Some(inner), true) = (arguments.pop(), arguments.len() + 1 == want) else {
            let reason =
                format!("wrong number of arguments for {}(), expected {want}", what.name());
            return wrong(at, reason);
        };
        let grouping = before.or(after).unwrap_or(Grouping::Only(Vec::new()));
        let parameter = arguments.pop().map(Box::new);
        Ok(Tree::Aggregate(Aggregate { what, parameter, inner: Box::new(inner), grouping }))
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, Wrong> {
        if self.accept_word("by") {
            return self.labels("by").map(|labels| Some(Grouping::Only(labels)));
        }
        if self.accept_word("without") {
            return self.labels("without").map(|labels| Some(Grouping::Except(labels)));
        }
        Ok(None)
    }

    /// Up to and with the closing parenthesis.
    fn arguments(&mut self) -> Result<Vec<Node>, Wrong> {
        let mut arguments = Vec::new();
        if self.accept(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression(0)?);
            if self.accept(")") {
                return Ok(arguments);
            }
            self.expect(",", "in arguments")?;
            if *self.peek() == Token::Sign(")") {
                return self.unexpected("after a comma: trailing commas are not allowed");
            }
        }
    }

    fn call(&mut self, name: &str) -> Result<Tree, Wrong> {
        let at = self.at();
        let signature =
            functions::find(name, self.features).map_err(|reason| Wrong { at, reason })?;
        self.advance();
        self.expect("(", "in a call")?;
        let arguments = self.arguments()?;
        let count = signature.count();
        if !count.contains(&arguments.len()) {
            let want = if count.start() == count.end() {
                count.start().to_string()
            } else {
                format!("{} to {}", count.start(), count.end())
            };
            let given = arguments.len();
            return wrong(at, format!("{name}() takes {want} argument(s), got {given}"));
        }
        Ok(Tree::Call(Call { signature, arguments }))
    }

    fn selector(&mut self, name: Option<&str>) -> Result<Tree, Wrong> {
        let at = self.at();
        let mut matchers: Vec<Matcher> = name.map(Matcher::metric).into_iter().collect();
        if self.accept("{") {
            while !self.accept("}") {
                let is_named = matchers.iter().any(|matcher| matcher.name() == crate::NAME);
                let matcher = self.matcher(is_named)?;
                if matcher.name() == crate::NAME && name.is_some() {
                    return wrong(at, "metric name must not be set twice");
                }
                matchers.push(matcher);
                if !self.accept(",") && *self.peek() != Token::Sign("}") {
                    return self.unexpected("in a selector, expected \",\" or \"}\"");
                }
            }
        }
        if matchers.iter().all(|matcher| matcher.is_match("")) {
            return wrong(at, "vector selector must contain at least one non-empty matcher");
        }
        let id = self.selectors;
        self.selectors += 1;
        Ok(Tree::Selector(Selector { id, matchers, range: None, offset: 0, fixed: None }))
    }

    fn matcher(&mut self, is_named: bool) -> Result<Matcher, Wrong> {
        let at = self.at();
        let (label, is_text) = match self.peek().clone() {
            Token::Name(label) if !label.contains(':') => (label, false),
            Token::Text(label) => (label, true),
            _ => return self.unexpected("in a selector, expected a label"),
        };
        self.advance();
        let op = match self.peek() {
            Token::Sign("=") => MatchOp::Equal,
            Token::Sign("!=") => MatchOp::NotEqual,
            Token::Sign("=~") => MatchOp::Matches,
            Token::Sign("!~") => MatchOp::NotMatches,
            Token::Sign("," | "}") if is_text => {
                if is_named {
                    return wrong(at, format!("metric name must not be set twice: {label:?}"));
                }
                return Ok(Matcher::metric(&label));
            }
            _ => return self.unexpected("in a selector, expected one of = != =~ !~"),
        };
        self.advance();
        let value_at = self.at();
        let Token::Text(value) = self.peek().clone() else {
            return self.unexpected("in a selector, expected a string");
        };
        self.advance();
        Matcher::new(&label, op, &value)
            .map_err(|err| Wrong { at: value_at, reason: err.to_string() })
    }

    /// Ranges, offsets and fixed instants.
    fn postfix(&mut self, mut node: Node) -> Result<Node, Wrong> {
        loop {
            let at = self.at();
            if self.accept("[") {
                node = self.range(node, at)?;
            } else if self.accept_word("offset") {
                let offset = self.offset()?;
                let slot = match &mut node.tree {
                    Tree::Selector(selector) => &mut selector.offset,
                    Tree::Subquery(subquery) => &mut subquery.offset,
                    _ => return wrong(at, "offset follows a selector or a subquery only"),
                };
                if *slot != 0 {
                    return wrong(at, "offset may not be set multiple times");
                }
                *slot = offset;
            } else if self.accept("@") {
                let fixed = self.instant()?;
                let slot = match &mut node.tree {
                    Tree::Selector(selector) => &mut selector.fixed,
                    Tree::Subquery(subquery) => &mut subquery.fixed,
                    _ => return wrong(at, "@ follows a selector or a subquery only"),
                };
                if slot.replace(fixed).is_some() {
                    return wrong(at, "@ <timestamp> may not be set multiple times");
                }
            } else {
                return Ok(node);
            }
        }
    }

    fn range(&mut self, node: Node, at: usize) -> Result<Node, Wrong> {
        let range = self.duration("in a range")?;
        if range <= 0 {
            return wrong(at, "duration must be greater than 0");
        }
        if self.accept(":") {
            let step = match self.peek() {
                Token::Sign("]") => None,
                _ => Some(self.duration("in a subquery")?),
            };
            if step.is_some_and(|step| step <= 0) {
                return wrong(at, "duration must be greater than 0");
            }
            self.expect("]", "in a subquery")?;
            let tree = Subquery { inner: Box::new(node), range, step, offset: 0, fixed: None };
            return Ok(Node { at: tree.inner.at, tree: Tree::Subquery(tree) });
        }
        self.expect("]", "in a range")?;
        let Tree::Selector(mut selector) = node.tree else {
            return wrong(at, "ranges only allowed for vector selectors");
        };
        if selector.offset != 0 || selector.fixed.is_some() || selector.range.is_some() {
            return wrong(at, "a range comes first, before offset and @, and once");
        }
        selector.range = Some(range);
        Ok(Node { at: node.at, tree: Tree::Selector(selector) })
    }

    /// -1 if a minus comes next; a plus is skipped as well.
    fn sign(&mut self) -> i64 {
        if self.accept("-") {
            return -1;
        }
        self.accept("+");
        1
    }

    /// A duration or a number of seconds, in milliseconds; an experimental expression of such.
    fn duration(&mut self, place: &str) -> Result<i64, Wrong> {
        let at = self.at();
        let seconds = match self.features {
            Features::Stable => self.duration_literal(place)?,
            Features::Experimental => self.durations(0, place)?,
        };
        seconds_ms(seconds).ok_or_else(|| Wrong { at, reason: "duration out of range".into() })
    }

    /// What follows `offset`: only parentheses make an expression of it.
    fn offset(&mut self) -> Result<i64, Wrong> {
        let at = self.at();
        let sign = self.sign();
        let seconds = match self.features {
            Features::Stable => self.duration_literal("in offset")?,
            Features::Experimental => self.duration_atom("in offset")?,
        };
        let ms = seconds_ms(seconds);
        ms.map(|ms| sign * ms).ok_or_else(|| Wrong { at, reason: "duration out of range".into() })
    }

    fn duration_literal(&mut self, place: &str) -> Result<f64, Wrong> {
        let seconds = match self.peek() {
            #[expect(clippy::cast_precision_loss, reason = "a century is below 2^53 ms")]
            Token::Duration(ms) => *ms as f64 / 1000.0,
            Token::Number(seconds) => *seconds,
            _ => return self.unexpected(&format!("{place}, expected a duration")),
        };
        self.advance();
        Ok(seconds)
    }

    fn duration_atom(&mut self, place: &str) -> Result<f64, Wrong> {
        if !self.accept("(") {
            return self.duration_literal(place);
        }
        let inner = self.durations(0, place)?;
        self.expect(")", place)?;
        Ok(inner)
    }

    /// Durations joined by arithmetic, in seconds.
    fn durations(&mut self, lowest: u8, place: &str) -> Result<f64, Wrong> {
        if self.depth >= EXPR_DEPTH_MAX {
            return wrong(self.at(), format!("nested deeper than {EXPR_DEPTH_MAX}"));
        }
        self.depth += 1;
        let mut left = match self.peek() {
            Token::Sign("+" | "-") => {
                let is_negative = self.advance() == Token::Sign("-");
                let inner = self.durations(6, place)?;
                if is_negative { -inner } else { inner }
            }
            _ => self.duration_atom(place)?,
        };
        while let Some((operator, strength)) = self.operator().filter(|(_, found)| *found >= lowest)
        {
            let at = self.at();
            self.advance();
            let stronger = if operator == Operator::Pow { strength } else { strength + 1 };
            let right = self.durations(stronger, place)?;
            left = match operator {
                Operator::Add => left + right,
                Operator::Sub => left - right,
                Operator::Mul => left * right,
                Operator::Div | Operator::Mod if right == 0.0 => {
                    return wrong(at, "division by zero in a duration");
                }
                Operator::Div => left / right,
                Operator::Mod => left % right,
                Operator::Pow => left.powf(right),
                _ => return wrong(at, "only arithmetic joins durations"),
            };
        }
        self.depth -= 1;
        Ok(left)
    }

    fn instant(&mut self) -> Result<At, Wrong> {
        let at = self.at();
        for (word, fixed) in [("start", At::Start), ("end", At::End)] {
            if self.accept_word(word) {
                self.expect("(", "after @")?;
                self.expect(")", "after @")?;
                return Ok(fixed);
            }
        }
        let sign = self.sign();
        let ms = match self.peek() {
            Token::Duration(ms) => Some(*ms),
            Token::Number(seconds) => seconds_ms(*seconds),
            _ => return self.unexpected("after @, expected a time"),
        };
        self.advance();
        match ms {
            Some(ms) => Ok(At::Time(sign * ms)),
            None => wrong(at, "timestamp out of bounds for @ modifier"),
        }
    }
}
