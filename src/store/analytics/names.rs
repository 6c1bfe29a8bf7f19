//! What a name of a statement means: a column of a relation in sight, an output's alias, or a field of the log.

use std::cell::Cell;

use super::ast::{Expr, Node, Select};
use super::error::{Fault, fault, nearest};
use super::types::{Column, Fields, Form, Kind, Type};

/// What a statement is read with.
pub(super) struct Setting<'a> {
    pub(super) fields: Option<&'a Fields>,
    /// A second name of the log, for FROM.
    pub(super) logstore: &'a str,
    /// Milliseconds since 1970.
    pub(super) now: i64,
    /// What `*` stands for.
    pub(super) all: Vec<String>,
}

/// A column of the temporary table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Load {
    pub(super) column: Column,
    pub(super) form: Form,
}

/// A column of a (sub-)select.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Output {
    pub(super) name: String,
    pub(super) kind: Type,
    /// How a statement around it reads it.
    pub(super) sql: String,
}

pub(super) enum Relation {
    Log,
    Derived(Vec<Output>),
}

pub(super) struct Named {
    /// What the statement calls it; empty without a name.
    pub(super) name: String,
    /// What SQLite calls it.
    pub(super) alias: String,
    pub(super) relation: Relation,
}

/// The relations of one FROM, and the aliases of the outputs above it.
#[derive(Default)]
pub(super) struct Scope<'a> {
    pub(super) relations: Vec<Named>,
    pub(super) aliases: Vec<(&'a str, &'a Expr)>,
    /// The column that says how many logs a row stands for.
    pub(super) weight: Option<String>,
}

/// Where aliases of outputs count.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum AliasUse {
    Never,
    /// GROUP BY and HAVING: unless a column has that name.
    AfterColumns,
    /// ORDER BY.
    First,
}

/// What a name turned out to be.
pub(super) enum Found<'a> {
    Log { alias: String, column: Column, kind: Type },
    Derived { sql: String, kind: Type },
    Alias(&'a Expr),
}

pub(super) struct Names<'a> {
    pub(super) setting: &'a Setting<'a>,
    pub(super) scopes: Vec<Scope<'a>>,
    pub(super) use_aliases: Cell<AliasUse>,
}

impl<'a> Names<'a> {
    pub(super) fn find(&self, at: usize, relation: Option<&str>, name: &str) -> Result<Found<'a>, Fault> {
        let Some(qualifier) = relation else { return self.find_bare(at, name) };
        let mut in_sight = self.scopes.iter().rev().flat_map(|scope| &scope.relations);
        if let Some(named) = in_sight.find(|named| named.name.eq_ignore_ascii_case(qualifier)) {
            return match &named.relation {
                Relation::Log => self.field(at, &named.alias, name),
                Relation::Derived(outputs) => match outputs.iter().find(|output| is(output, name)) {
                    Some(output) => Ok(Found::Derived { sql: output.sql.clone(), kind: output.kind }),
                    None => Err(self.unknown(at, name)),
                },
            };
        }
        // No relation: a path into JSON.
        self.find_bare(at, &format!("{qualifier}.{name}"))
    }

    fn find_bare(&self, at: usize, name: &str) -> Result<Found<'a>, Fault> {
        let aliased = self.scopes.last().and_then(|scope| {
            scope.aliases.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name)).map(|(_, expr)| *expr)
        });
        match (self.use_aliases.get(), aliased) {
            (AliasUse::First, Some(expr)) => return Ok(Found::Alias(expr)),
            (AliasUse::AfterColumns, Some(expr)) if !self.is_column(name) && !mentions(expr, name) => {
                return Ok(Found::Alias(expr));
            }
            _ => {}
        }
        for scope in self.scopes.iter().rev() {
            for named in &scope.relations {
                if let Relation::Derived(outputs) = &named.relation
                    && let Some(output) = outputs.iter().find(|output| is(output, name))
                {
                    return Ok(Found::Derived { sql: output.sql.clone(), kind: output.kind });
                }
            }
            let log = scope.relations.iter().find(|named| matches!(named.relation, Relation::Log));
            if let Some(log) = log.filter(|_| self.kind_of_field(name).is_some()) {
                return self.field(at, &log.alias, name);
            }
        }
        Err(self.unknown(at, name))
    }

    /// Is it surely a column? Without an index any name could be one.
    fn is_column(&self, name: &str) -> bool {
        let Some(scope) = self.scopes.last() else { return false };
        scope.relations.iter().any(|named| match &named.relation {
            Relation::Log => self.setting.fields.is_some() && self.kind_of_field(name).is_some(),
            Relation::Derived(outputs) => outputs.iter().any(|output| is(output, name)),
        })
    }

    fn field(&self, at: usize, alias: &str, name: &str) -> Result<Found<'a>, Fault> {
        let kind = self.kind_of_field(name).ok_or_else(|| self.unknown(at, name))?;
        let spelled = self.setting.fields.map_or(name, |fields| fields.spelled(name));
        Ok(Found::Log { alias: alias.to_owned(), column: Column::named(spelled), kind })
    }

    /// `None` for a field that the index does not know.
    fn kind_of_field(&self, name: &str) -> Option<Type> {
        match Column::named(name) {
            Column::Time | Column::TimeNs => return Some(Type::Int),
            Column::Source | Column::Topic => return Some(Type::Text),
            Column::Tag(_) => return Some(Type::Any),
            Column::Field(_) | Column::JsonPath(_) => {}
        }
        let Some(fields) = self.setting.fields else { return Some(Type::Any) };
        if let Some(kind) = fields.kind(name) {
            return Some(match kind {
                Kind::Text => Type::Text,
                Kind::Long => Type::Int,
                Kind::Double => Type::Double,
                Kind::Json => Type::Json,
            });
        }
        // A path below a JSON field.
        let dots = name.match_indices('.').map(|(at, _)| at);
        let mut above = dots.filter_map(|at| name.get(..at));
        above.any(|above| fields.kind(above) == Some(Kind::Json)).then_some(Type::Any)
    }

    fn unknown(&self, at: usize, name: &str) -> Fault {
        let fields = self.setting.fields.iter().flat_map(|fields| &fields.0).map(|(name, _)| name.as_str());
        let relations = || self.scopes.iter().flat_map(|scope| &scope.relations);
        let outputs = relations().filter_map(|named| match &named.relation {
            Relation::Derived(outputs) => Some(outputs),
            Relation::Log => None,
        });
        let outputs = outputs.flatten().map(|output| output.name.as_str());
        let reserved = ["__time__", "__source__", "__topic__", "__time_ns_part__"].into_iter();
        let known = nearest(name, fields.chain(outputs).chain(reserved));
        let shown: String = name.chars().take(64).collect();
        let of_log = relations().any(|named| matches!(named.relation, Relation::Log));
        fault(
            at,
            match known {
                Some(known) => format!("there is no column {shown}; perhaps {known} is meant"),
                None if of_log => {
                    format!("there is no column {shown}: the index of the logstore has no such field")
                }
                None => format!("there is no column {shown} here"),
            },
        )
    }
}

fn is(output: &Output, name: &str) -> bool {
    output.name.eq_ignore_ascii_case(name)
}

/// Does the expression use a column of this name?
fn mentions(expr: &Expr, wanted: &str) -> bool {
    let mut found = false;
    expr.walk(&mut |inner| {
        if let Node::Column { name, .. } = &inner.node {
            found |= name.eq_ignore_ascii_case(wanted);
        }
        !found
    });
    found
}

/// The aliases of a select's outputs.
pub(super) fn aliases(select: &Select) -> Vec<(&str, &Expr)> {
    let mut aliases = Vec::new();
    for item in &select.items {
        if let super::ast::Item::Expr { expr, alias: Some(alias) } = item {
            aliases.push((alias.as_str(), expr));
        }
    }
    aliases
}
