//! A statement as a tree. Every node knows the byte where it starts, so that any fault found later has its place, and an
//! expression knows its height, so that no walk over it can exhaust the stack.

/// `[WITH ...] body [ORDER BY ...] [LIMIT ...]`
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Query {
    pub(super) with: Vec<Named>,
    pub(super) body: Body,
    pub(super) order: Vec<Order>,
    pub(super) limit: Option<u64>,
    pub(super) offset: u64,
}

/// `name [(columns)] AS (query)`
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Named {
    pub(super) at: usize,
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    pub(super) query: Query,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    Select(Box<Select>),
    Nested(Box<Query>),
    /// `operator`: UNION, UNION ALL, INTERSECT or EXCEPT.
    Set {
        at: usize,
        left: Box<Body>,
        operator: &'static str,
        right: Box<Body>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Select {
    pub(super) at: usize,
    pub(super) distinct: bool,
    pub(super) items: Vec<Item>,
    /// The first relation has no join. Empty: the statement names no FROM, which is the log.
    pub(super) from: Vec<Join>,
    pub(super) filter: Option<Expr>,
    pub(super) group: Vec<Expr>,
    pub(super) having: Option<Expr>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    /// `*` or `relation.*`
    All {
        at: usize,
        relation: Option<String>,
    },
    Expr {
        expr: Expr,
        alias: Option<String>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Join {
    /// `JOIN`, `LEFT JOIN`, ... ; `,` is `CROSS JOIN`.
    pub(super) kind: &'static str,
    pub(super) relation: Relation,
    pub(super) on: Option<Expr>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Relation {
    pub(super) at: usize,
    pub(super) source: RelationSource,
    pub(super) alias: Option<String>,
    pub(super) columns: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum RelationSource {
    Table(String),
    Query(Box<Query>),
    Unnest { value: Expr, ordinality: bool },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Order {
    pub(super) expr: Expr,
    pub(super) descending: bool,
    pub(super) nulls_first: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expr {
    pub(super) at: usize,
    pub(super) height: usize,
    pub(super) node: Node,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Column {
        relation: Option<String>,
        name: String,
    },
    Number(String),
    Text(String),
    Bool(bool),
    Null,
    /// `INTERVAL '1' DAY`: negative ones carry their sign in the text.
    Interval {
        count: String,
        unit: String,
    },
    Negative(Box<Expr>),
    Not(Box<Expr>),
    /// Two or more parts; `true` is AND.
    Logic(bool, Vec<Expr>),
    /// `+ - * / % ||`
    Arithmetic(&'static str, Box<Expr>, Box<Expr>),
    /// `= <> < <= > >= IS DISTINCT FROM, IS NOT DISTINCT FROM`
    Compare(&'static str, Box<Expr>, Box<Expr>),
    IsNull {
        value: Box<Expr>,
        not: bool,
    },
    Between {
        value: Box<Expr>,
        low: Box<Expr>,
        high: Box<Expr>,
        not: bool,
    },
    In {
        value: Box<Expr>,
        list: Vec<Expr>,
        not: bool,
    },
    InQuery {
        value: Box<Expr>,
        query: Box<Query>,
        not: bool,
    },
    Like {
        value: Box<Expr>,
        pattern: Box<Expr>,
        escape: Option<Box<Expr>>,
        not: bool,
    },
    Case {
        operand: Option<Box<Expr>>,
        branches: Vec<(Expr, Expr)>,
        other: Option<Box<Expr>>,
    },
    Cast {
        value: Box<Expr>,
        to: String,
        is_try: bool,
    },
    Array(Vec<Expr>),
    Element(Box<Expr>, Box<Expr>),
    Exists(Box<Query>),
    Query(Box<Query>),
    Call(Box<Call>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    /// In lower case.
    pub(super) name: String,
    pub(super) arguments: Vec<Expr>,
    /// `count(*)`
    pub(super) star: bool,
    pub(super) distinct: bool,
    pub(super) order: Vec<Order>,
    pub(super) filter: Option<Expr>,
    pub(super) over: Option<Window>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Window {
    pub(super) partition: Vec<Expr>,
    pub(super) order: Vec<Order>,
    /// `ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW`, from checked words.
    pub(super) frame: String,
}

impl Expr {
    /// Calls `see` for this expression and, while it answers `true`, for those inside it; not for sub-selects.
    pub(super) fn walk<'a>(&'a self, see: &mut dyn FnMut(&'a Expr) -> bool) {
        if !see(self) {
            return;
        }
        match &self.node {
            Node::Column { .. }
            | Node::Number(_)
            | Node::Text(_)
            | Node::Bool(_)
            | Node::Null
            | Node::Interval { .. }
            | Node::Exists(_)
            | Node::Query(_) => {}
            Node::Negative(one)
            | Node::Not(one)
            | Node::IsNull { value: one, .. }
            | Node::InQuery { value: one, .. }
            | Node::Cast { value: one, .. } => one.walk(see),
            Node::Arithmetic(_, left, right) | Node::Compare(_, left, right) | Node::Element(left, right) => {
                left.walk(see);
                right.walk(see);
            }
            Node::Logic(_, parts) | Node::Array(parts) => parts.iter().for_each(|part| part.walk(see)),
            Node::Between { value, low, high, .. } => {
                for part in [value, low, high] {
                    part.walk(see);
                }
            }
            Node::In { value, list, .. } => {
                value.walk(see);
                list.iter().for_each(|part| part.walk(see));
            }
            Node::Like { value, pattern, escape, .. } => {
                for part in [Some(value), Some(pattern), escape.as_ref()].into_iter().flatten() {
                    part.walk(see);
                }
            }
            Node::Case { operand, branches, other } => {
                for part in [operand, other].into_iter().flatten() {
                    part.walk(see);
                }
                for (when, then) in branches {
                    when.walk(see);
                    then.walk(see);
                }
            }
            Node::Call(call) => {
                call.arguments.iter().chain(&call.filter).for_each(|part| part.walk(see));
                call.order.iter().for_each(|order| order.expr.walk(see));
                if let Some(window) = &call.over {
                    window.partition.iter().for_each(|part| part.walk(see));
                    window.order.iter().for_each(|order| order.expr.walk(see));
                }
            }
        }
    }
}
