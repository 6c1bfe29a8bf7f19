//! Expressions: what type they give, and their text for SQLite in the form that is wanted.
//!
//! Types meet as people expect of logs: a field without a type compared with a number is a number, with a text a text; a
//! number compared with a text that is one is equal to it; times compare with texts that are times.

use super::ast::{Expr, Node};
use super::error::{Fault, fault};
use super::names::{AliasUse, Found};
use super::translate::{Translator, form_of};
use super::types::{Type, Want};

impl<'a> Translator<'a> {
    /// The type of what an expression gives.
    pub(super) fn type_of(&self, expr: &'a Expr) -> Result<Type, Fault> {
        Ok(match &expr.node {
            Node::Column { relation, name } => match self.names.find(expr.at, relation.as_deref(), name)? {
                Found::Log { kind, .. } | Found::Derived { kind, .. } => kind,
                Found::Alias(aliased) => {
                    let uses = self.names.use_aliases.replace(AliasUse::Never);
                    let kind = self.type_of(aliased);
                    self.names.use_aliases.set(uses);
                    kind?
                }
            },
            Node::Number(text) if text.parse::<i64>().is_ok() => Type::Int,
            Node::Number(_) => Type::Double,
            Node::Text(_) => Type::Text,
            Node::Bool(_)
            | Node::Not(_)
            | Node::Logic(..)
            | Node::Compare(..)
            | Node::IsNull { .. }
            | Node::Between { .. }
            | Node::In { .. }
            | Node::InQuery { .. }
            | Node::Like { .. }
            | Node::Exists(_) => Type::Bool,
            Node::Null | Node::Interval { .. } => Type::Any,
            Node::Query(_) | Node::Element(..) => Type::Mixed,
            Node::Negative(inner) => self.number_type(inner)?,
            Node::Arithmetic("||", ..) => Type::Text,
            Node::Arithmetic(_, left, right) if is_interval(left) || is_interval(right) => Type::Time,
            Node::Arithmetic(_, left, right) => match (self.number_type(left)?, self.number_type(right)?) {
                (Type::Int, Type::Int) => Type::Int,
                (Type::Double, _) | (_, Type::Double) => Type::Double,
                _ => Type::Number,
            },
            Node::Case { branches, other, .. } => {
                let parts = branches.iter().map(|(_, then)| then).chain(other.as_deref());
                self.common(parts)?.0
            }
            Node::Cast { to, .. } => match to.as_str() {
                "bigint" => Type::Int,
                "double" => Type::Double,
                "boolean" => Type::Bool,
                "timestamp" => Type::Time,
                "date" => Type::Date,
                "json" => Type::Json,
                _ => Type::Text,
            },
            Node::Array(_) => Type::Json,
            Node::Call(call) => self.type_of_call(call)?,
        })
    }

    fn number_type(&self, expr: &'a Expr) -> Result<Type, Fault> {
        let kind = self.type_of(expr)?;
        Ok(if kind.is_number() { kind } else { Type::Number })
    }

    /// What branches have in common, and how each is wanted for it.
    pub(super) fn common(&self, parts: impl Iterator<Item = &'a Expr>) -> Result<(Type, Want), Fault> {
        let mut kinds = Vec::new();
        for part in parts.filter(|part| part.node != Node::Null) {
            kinds.push(self.type_of(part)?);
        }
        let joined = kinds.iter().copied().reduce(Type::or).unwrap_or(Type::Any);
        let all = |is: fn(Type) -> bool| kinds.iter().all(|kind| kind.is_open() || is(*kind));
        Ok(match joined {
            kind if kinds.iter().all(|kind| kind.is_open()) => (kind, Want::Any),
            kind if kind.is_open() && all(Type::is_number) => (Type::Number, Want::Number),
            kind if kind.is_open() && all(|kind| matches!(kind, Type::Text | Type::Json)) => {
                (Type::Text, Want::Text)
            }
            kind => (kind, Want::Any),
        })
    }

    /// The expression's text for SQLite, in the form that is wanted.
    pub(super) fn emit(&mut self, expr: &'a Expr, want: Want) -> Result<String, Fault> {
        if let Node::Column { relation, name } = &expr.node {
            match self.names.find(expr.at, relation.as_deref(), name)? {
                Found::Alias(aliased) => {
                    let uses = self.names.use_aliases.replace(AliasUse::Never);
                    let sql = self.emit(aliased, want);
                    self.names.use_aliases.set(uses);
                    return sql;
                }
                Found::Log { alias, column, kind } => {
                    let form = form_of(kind, want);
                    let column = self.load(expr.at, column, form)?;
                    let sql = format!("/*@{}*/{alias}.{column}", expr.at);
                    return Ok(match form_of(kind, want) {
                        super::types::Form::Text => sql,
                        _ if want == Want::Text => coerced(sql, kind, want),
                        _ => sql,
                    });
                }
                Found::Derived { sql, kind } => return Ok(coerced(sql, kind, want)),
            }
        }
        let kind = self.type_of(expr)?;
        Ok(coerced(self.plain(expr)?, kind, want))
    }

    /// A condition: true, false or NULL.
    pub(super) fn condition(&mut self, expr: &'a Expr) -> Result<String, Fault> {
        match self.type_of(expr)? {
            Type::Bool => self.emit(expr, Want::Any),
            Type::Any | Type::Mixed | Type::Text if expr.node != Node::Null => {
                Ok(format!("({} = 'true')", self.emit(expr, Want::Text)?))
            }
            Type::Any => self.emit(expr, Want::Any),
            _ => Err(fault(expr.at, "a condition is expected here, which is true or false")),
        }
    }

    fn plain(&mut self, expr: &'a Expr) -> Result<String, Fault> {
        let at = expr.at;
        Ok(match &expr.node {
            // Columns are dealt with before.
            Node::Column { .. } | Node::Null => "NULL".to_owned(),
            Node::Number(text) => text.clone(),
            Node::Text(text) => quoted(text),
            Node::Bool(value) => i32::from(*value).to_string(),
            Node::Interval { .. } => {
                return Err(fault(
                    at,
                    "an interval is added to a time or taken from it: now() - INTERVAL '1' HOUR",
                ));
            }
            Node::Negative(inner) => format!("(- {})", self.emit(inner, Want::Number)?),
            Node::Not(inner) => format!("(NOT {})", self.condition(inner)?),
            Node::Logic(is_and, parts) => {
                let mut texts = Vec::new();
                for part in parts {
                    texts.push(self.condition(part)?);
                }
                format!("({})", balanced(&texts, if *is_and { " AND " } else { " OR " }))
            }
            Node::Arithmetic(operator, left, right) => self.arithmetic(at, operator, left, right)?,
            Node::Compare(operator, left, right) => {
                let texts =
                    self.compared(&[left, right], matches!(*operator, "=" | "<>" | "IS" | "IS NOT"))?;
                format!("({})", texts.join(&format!(" {operator} ")))
            }
            Node::IsNull { value, not } => {
                format!("({} IS {}NULL)", self.emit(value, Want::Any)?, if *not { "NOT " } else { "" })
            }
            Node::Between { value, low, high, not } => {
                let texts = self.compared(&[value, low, high], false)?;
                let [value, low, high] = texts.as_slice() else { return Err(fault(at, "BETWEEN")) };
                format!("({value} {}BETWEEN {low} AND {high})", negation(*not))
            }
            Node::In { value, list, not } => {
                let parts: Vec<&'a Expr> = std::iter::once(&**value).chain(list).collect();
                let texts = self.compared(&parts, true)?;
                let (value, list) = texts.split_first().ok_or_else(|| fault(at, "IN"))?;
                format!("({value} {}IN ({}))", negation(*not), list.join(", "))
            }
            Node::InQuery { value, query, not } => {
                let (sql, outputs) = self.query(query, &[])?;
                let [output] = outputs.as_slice() else {
                    return Err(fault(
                        at,
                        format!("the select of IN gives {} columns, not one", outputs.len()),
                    ));
                };
                let want = match self.type_of(value)? {
                    _ if output.kind.is_number() => Want::Number,
                    _ if output.kind == Type::Mixed => Want::Natural,
                    kind if kind.is_number() => Want::Text,
                    _ => Want::Any,
                };
                format!("({} {}IN ({sql}))", self.emit(value, want)?, negation(*not))
            }
            Node::Like { value, pattern, escape, not } => {
                let (value, pattern) = (self.emit(value, Want::Text)?, self.emit(pattern, Want::Text)?);
                let escape = match escape {
                    Some(escape) => format!(" ESCAPE {}", self.emit(escape, Want::Text)?),
                    None => String::new(),
                };
                format!("({value} {}LIKE {pattern}{escape})", negation(*not))
            }
            Node::Case { operand, branches, other } => {
                self.case(operand.as_deref(), branches, other.as_deref())?
            }
            Node::Cast { value, to, is_try } => self.cast(value, to, *is_try)?,
            Node::Array(parts) => {
                let mut texts = Vec::new();
                for part in parts {
                    texts.push(self.emit(part, Want::Any)?);
                }
                format!("p_array({})", texts.join(", "))
            }
            Node::Element(value, index) => {
                format!("p_element_at({}, {})", self.emit(value, Want::Text)?, self.emit(index, Want::Any)?)
            }
            Node::Exists(query) => format!("(EXISTS ({}))", self.query(query, &[])?.0),
            Node::Query(query) => {
                let (sql, outputs) = self.query(query, &[])?;
                if outputs.len() != 1 {
                    let count = outputs.len();
                    return Err(fault(
                        at,
                        format!("this sub-select stands for one value, but gives {count} columns"),
                    ));
                }
                format!("({sql})")
            }
            Node::Call(call) => format!("/*@{at}*/{}", self.call(at, call)?),
        })
    }

    fn arithmetic(
        &mut self,
        at: usize,
        operator: &str,
        left: &'a Expr,
        right: &'a Expr,
    ) -> Result<String, Fault> {
        if operator == "||" {
            return Ok(format!("({} || {})", self.emit(left, Want::Text)?, self.emit(right, Want::Text)?));
        }
        if is_interval(left) || is_interval(right) {
            return self.moved(at, operator, left, right);
        }
        let kinds = (self.type_of(left)?, self.type_of(right)?);
        for (kind, part) in [(kinds.0, left), (kinds.1, right)] {
            if matches!(kind, Type::Time | Type::Date) {
                return Err(fault(
                    part.at,
                    "a time is computed with by INTERVAL, date_add and date_diff; to_unixtime makes a number of it",
                ));
            }
            if kind == Type::Bool {
                return Err(fault(part.at, "true and false cannot be computed with"));
            }
        }
        let (one, other) = (self.emit(left, Want::Number)?, self.emit(right, Want::Number)?);
        // SQLite's remainder is one of whole numbers.
        if operator == "%" && kinds != (Type::Int, Type::Int) {
            return Ok(format!("p_mod({one}, {other})"));
        }
        Ok(format!("({one} {operator} {other})"))
    }

    /// A time and an interval.
    fn moved(&mut self, at: usize, operator: &str, left: &'a Expr, right: &'a Expr) -> Result<String, Fault> {
        let (time, interval) = match operator {
            "+" if is_interval(left) => (right, left),
            "+" | "-" if !is_interval(left) => (left, right),
            _ => return Err(fault(at, "an interval is added to a time or taken from it")),
        };
        let Node::Interval { count, unit } = &interval.node else { return Err(fault(at, "an interval")) };
        let known = ["second", "minute", "hour", "day", "week", "month", "year"];
        let singular = unit.strip_suffix('s').unwrap_or(unit);
        let Some(unit) = known.iter().find(|known| **known == singular) else {
            return Err(fault(
                interval.at,
                format!("{unit} is no unit of time; known are {}", known.join(", ")),
            ));
        };
        let count: i64 = count.parse().map_err(|_| fault(interval.at, "an interval is a whole number"))?;
        let count = if operator == "-" { -count } else { count };
        Ok(format!("p_date_add('{unit}', {count}, {})", self.emit(time, Want::Natural)?))
    }

    /// Expressions as texts that compare with each other.
    pub(super) fn compared(&mut self, parts: &[&'a Expr], is_equality: bool) -> Result<Vec<String>, Fault> {
        let mut kinds = Vec::new();
        for part in parts {
            kinds.push(if part.node == Node::Null { None } else { Some(self.type_of(part)?) });
        }
        let any = |is: fn(Type) -> bool| kinds.iter().flatten().any(|kind| is(*kind));
        let has_time = any(|kind| kind == Type::Time);
        let has_date = any(|kind| kind == Type::Date);
        let all_bool = kinds.iter().flatten().all(|kind| *kind == Type::Bool);
        let want = if any(Type::is_number) && !has_time && !has_date {
            Want::Number
        } else if all_bool && any(|kind| kind == Type::Bool) {
            Want::Any
        } else if any(|kind| matches!(kind, Type::Text | Type::Bool | Type::Json)) {
            Want::Text
        } else if is_equality && !any(|kind| kind == Type::Mixed) {
            Want::Any
        } else {
            Want::Natural
        };
        let mut texts = Vec::new();
        for (part, kind) in parts.iter().zip(&kinds) {
            texts.push(match kind {
                Some(Type::Time) | None => self.emit(part, Want::Any)?,
                Some(_) if has_time => format!("p_timestamp({})", self.emit(part, Want::Natural)?),
                Some(Type::Date) => self.emit(part, Want::Any)?,
                Some(_) if has_date => format!("p_date({})", self.emit(part, Want::Natural)?),
                Some(_) => self.emit(part, want)?,
            });
        }
        Ok(texts)
    }

    fn case(
        &mut self,
        operand: Option<&'a Expr>,
        branches: &'a [(Expr, Expr)],
        other: Option<&'a Expr>,
    ) -> Result<String, Fault> {
        let want = self.common(branches.iter().map(|(_, then)| then).chain(other))?.1;
        let mut sql = "(CASE".to_owned();
        for (when, then) in branches {
            let when = match operand {
                Some(operand) => self.compared(&[operand, when], true)?.join(" = "),
                None => self.condition(when)?,
            };
            sql.push_str(&format!(" WHEN {when} THEN {}", self.emit(then, want)?));
        }
        if let Some(other) = other {
            sql.push_str(&format!(" ELSE {}", self.emit(other, want)?));
        }
        Ok(sql + " END)")
    }

    fn cast(&mut self, value: &'a Expr, to: &str, is_try: bool) -> Result<String, Fault> {
        let kind = self.type_of(value)?;
        Ok(match to {
            "bigint" if kind == Type::Int => self.emit(value, Want::Any)?,
            "boolean" if kind == Type::Bool => self.emit(value, Want::Any)?,
            "bigint" if matches!(kind, Type::Time | Type::Date) => {
                format!("CAST(p_to_unixtime({}) AS INTEGER)", self.emit(value, Want::Any)?)
            }
            "bigint" | "double" | "boolean" => {
                let is_try = i32::from(is_try || self.in_try);
                format!("p_cast({}, '{to}', {is_try})", self.emit(value, Want::Any)?)
            }
            "timestamp" => format!("p_timestamp({})", self.emit(value, Want::Natural)?),
            "date" => format!("p_date({})", self.emit(value, Want::Natural)?),
            _ => self.emit(value, Want::Text)?,
        })
    }
}

fn is_interval(expr: &Expr) -> bool {
    matches!(expr.node, Node::Interval { .. })
}

fn negation(not: bool) -> &'static str {
    if not { "NOT " } else { "" }
}

/// A value of a type as it is wanted.
fn coerced(sql: String, kind: Type, want: Want) -> String {
    match (want, kind) {
        (Want::Number, Type::Any | Type::Mixed | Type::Text | Type::Json) => format!("p_num({sql})"),
        (Want::Natural, Type::Any) => format!("p_nat({sql})"),
        (Want::Text, Type::Int) => format!("CAST({sql} AS TEXT)"),
        (Want::Text, Type::Any | Type::Mixed | Type::Number | Type::Double) => format!("p_text({sql})"),
        (Want::Text, Type::Bool) => format!("(CASE {sql} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END)"),
        _ => sql,
    }
}

/// Parts joined as a balanced tree, which SQLite bounds by its height.
fn balanced(parts: &[String], between: &str) -> String {
    if parts.len() <= 2 {
        return parts.join(between);
    }
    let (left, right) = parts.split_at(parts.len() / 2);
    format!("({}){between}({})", balanced(left, between), balanced(right, between))
}

pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
