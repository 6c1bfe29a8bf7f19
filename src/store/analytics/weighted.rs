//! Which statements may count equal rows once.
//!
//! `SELECT level, count(*) ... GROUP BY level` over ten million logs needs not ten million rows but one for each level, with
//! a weight: how many logs it stands for. Rows of the named columns that are equal are then loaded once, and the
//! aggregates reckon with the weight (see [`super::call`]). It is the same answer whenever every select that reads the
//! log only aggregates, by functions that a weight can be told to. A row may come in several parts with their own
//! weights; the answer is still the same.

use super::ast::{Body, Call, Expr, Item, Node, Query, RelationSource, Select};
use super::functions::AGGREGATES;

/// Aggregates that want every log by itself.
const ONE_BY_ONE: [&str; 5] = ["array_agg", "string_agg", "listagg", "geometric_mean", "map_agg"];

/// The first aggregate of an expression that is not over a window, with its place.
pub(super) fn first_aggregate(expr: &Expr) -> Option<(usize, &str)> {
    let mut found = None;
    expr.walk(&mut |inner| {
        if let Node::Call(call) = &inner.node
            && call.over.is_none()
            && AGGREGATES.contains(&call.name.as_str())
            && found.is_none()
        {
            found = Some((inner.at, call.name.as_str()));
        }
        found.is_none()
    });
    found
}

/// May the log be loaded with weights for this statement?
pub(super) fn allows(query: &Query, logstore: &str) -> bool {
    query_allows(query, &mut Vec::new(), logstore)
}

fn query_allows<'a>(query: &'a Query, ctes: &mut Vec<&'a str>, logstore: &str) -> bool {
    let known = ctes.len();
    let mut allowed = true;
    for named in &query.with {
        allowed &= query_allows(&named.query, ctes, logstore);
        ctes.push(&named.name);
    }
    let ordered: Vec<&Expr> = query.order.iter().map(|order| &order.expr).collect();
    allowed &= body_allows(&query.body, &ordered, ctes, logstore);
    ctes.truncate(known);
    allowed
}

fn body_allows<'a>(body: &'a Body, ordered: &[&'a Expr], ctes: &mut Vec<&'a str>, logstore: &str) -> bool {
    match body {
        Body::Select(select) => select_allows(select, ordered, ctes, logstore),
        Body::Nested(query) => query_allows(query, ctes, logstore),
        Body::Set { left, right, .. } => {
            body_allows(left, &[], ctes, logstore) && body_allows(right, &[], ctes, logstore)
        }
    }
}

fn select_allows<'a>(
    select: &'a Select,
    ordered: &[&'a Expr],
    ctes: &mut Vec<&'a str>,
    logstore: &str,
) -> bool {
    let mut reads_log = select.from.is_empty();
    for join in &select.from {
        match &join.relation.source {
            RelationSource::Table(name) => {
                let is_cte = ctes.iter().any(|cte| cte.eq_ignore_ascii_case(name));
                reads_log |= !is_cte && (name.eq_ignore_ascii_case("log") || name == logstore);
            }
            RelationSource::Query(query) => {
                if !query_allows(query, ctes, logstore) {
                    return false;
                }
            }
            RelationSource::Unnest { .. } => {}
        }
    }
    if reads_log && select.from.len() > 1 {
        return false;
    }
    let mut expressions: Vec<&Expr> = ordered.to_vec();
    for item in &select.items {
        match item {
            Item::Expr { expr, .. } => expressions.push(expr),
            Item::All { .. } => {}
        }
    }
    let joined = select.from.iter().filter_map(|join| join.on.as_ref());
    expressions.extend(select.filter.iter().chain(&select.having).chain(&select.group).chain(joined));
    let mut aggregates = select.distinct || !select.group.is_empty();
    let mut allowed = true;
    for expr in expressions {
        aggregates |= first_aggregate(expr).is_some();
        expr.walk(&mut |inner| {
            allowed &= match &inner.node {
                Node::Call(call) => !reads_log || is_weightable(call),
                Node::Query(query) | Node::Exists(query) | Node::InQuery { query, .. } => {
                    query_allows(query, ctes, logstore)
                }
                _ => true,
            };
            allowed
        });
    }
    // DISTINCT comes after windows, which see every row.
    let has_window = select.distinct && select.group.is_empty() && has_window(select);
    allowed && (!reads_log || (aggregates && !has_window))
}

fn is_weightable(call: &Call) -> bool {
    let name = call.name.as_str();
    !ONE_BY_ONE.contains(&name) && name != "rand" && name != "random"
}

fn has_window(select: &Select) -> bool {
    let mut found = false;
    for item in &select.items {
        if let Item::Expr { expr, .. } = item {
            expr.walk(&mut |inner| {
                found |= matches!(&inner.node, Node::Call(call) if call.over.is_some());
                !found
            });
        }
    }
    found
}
