//! The tree of an expression.

use crate::matcher::Matcher;

/// A node and the byte of the text where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) at: usize,
    pub(crate) tree: Tree,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    Number(f64),
    Text(String),
    /// An instant selector; a range selector where its range is there.
    Selector(Selector),
    Subquery(Subquery),
    Paren(Box<Node>),
    /// `+x`: the same values, yet no selector any more (`timestamp` tells the difference).
    Positive(Box<Node>),
    Negative(Box<Node>),
    Binary(Binary),
    Aggregate(Aggregate),
    Call(Call),
}

/// A fixed instant of a selector or subquery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Time(i64),
    Start,
    End,
}

/// Which series, and which of their samples.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Selector {
    /// Its number in the expression, from 0 in the order of the text.
    pub(crate) id: usize,
    pub(crate) matchers: Vec<Matcher>,
    /// None for an instant selector.
    pub(crate) range: Option<i64>,
    pub(crate) offset: i64,
    pub(crate) fixed: Option<At>,
}

/// An expression evaluated at steps into the past.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Subquery {
    pub(crate) inner: Box<Node>,
    pub(crate) range: i64,
    /// None: the default step.
    pub(crate) step: Option<i64>,
    pub(crate) offset: i64,
    pub(crate) fixed: Option<At>,
}

/// Binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterEqual,
    LessEqual,
    And,
    Or,
    Unless,
}

impl Operator {
    pub(crate) fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal
                | Self::NotEqual
                | Self::Greater
                | Self::Less
                | Self::GreaterEqual
                | Self::LessEqual
        )
    }

    pub(crate) fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::Less => "<",
            Self::GreaterEqual => ">=",
            Self::LessEqual => "<=",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        }
    }
}

/// How many series of one side may meet one of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cardinality {
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
}

/// The labels that decide: `by` and `on` name them, `without` and `ignoring` the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grouping {
    Only(Vec<String>),
    Except(Vec<String>),
}

/// Two operands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Binary {
    pub(crate) operator: Operator,
    pub(crate) left: Box<Node>,
    pub(crate) right: Box<Node>,
    /// `bool`
    pub(crate) is_bool: bool,
    pub(crate) matching: Grouping,
    pub(crate) cardinality: Cardinality,
    /// The labels of group_left or group_right.
    pub(crate) include: Vec<String>,
}

/// Aggregations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aggregation {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    Quantile,
    CountValues,
    Limitk,
    LimitRatio,
}

impl Aggregation {
    pub(crate) const ALL: &[(&str, Self)] = &[
        ("sum", Self::Sum),
        ("avg", Self::Avg),
        ("count", Self::Count),
        ("min", Self::Min),
        ("max", Self::Max),
        ("group", Self::Group),
        ("stddev", Self::Stddev),
        ("stdvar", Self::Stdvar),
        ("topk", Self::Topk),
        ("bottomk", Self::Bottomk),
        ("quantile", Self::Quantile),
        ("count_values", Self::CountValues),
        ("limitk", Self::Limitk),
        ("limit_ratio", Self::LimitRatio),
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, found)| *found)
    }

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }

    pub(crate) fn has_parameter(self) -> bool {
        matches!(
            self,
            Self::Topk
                | Self::Bottomk
                | Self::Quantile
                | Self::CountValues
                | Self::Limitk
                | Self::LimitRatio
        )
    }

    pub(crate) fn is_experimental(self) -> bool {
        matches!(self, Self::Limitk | Self::LimitRatio)
    }
}

/// Series made fewer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Aggregate {
    pub(crate) what: Aggregation,
    pub(crate) parameter: Option<Box<Node>>,
    pub(crate) inner: Box<Node>,
    pub(crate) grouping: Grouping,
}

/// A function applied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) signature: &'static super::Signature,
    pub(crate) arguments: Vec<Node>,
}
