//! What may stand beside aggregates: expressions of GROUP BY and what is made of them. SQLite would take any row's value
//! for the rest, which is no answer to anything.

use super::ast::{Expr, Item, Node, Select};
use super::error::{Fault, fault};
use super::functions::AGGREGATES;
use super::names::Found;
use super::translate::Translator;
use super::types::Want;
use super::weighted::first_aggregate;

impl<'a> Translator<'a> {
    /// Refuses columns of an aggregating select that are not grouped by. `group`: its expressions as emitted; `positions`:
    /// outputs that GROUP BY names by number, from 1.
    pub(super) fn check_grouping(
        &mut self,
        select: &'a Select,
        group: &[String],
        positions: &[usize],
    ) -> Result<(), Fault> {
        let expressions = || {
            select.items.iter().enumerate().filter_map(|(index, item)| match item {
                Item::Expr { expr, .. } => Some((index + 1, expr)),
                Item::All { .. } => None,
            })
        };
        if group.is_empty()
            && select.having.is_none()
            && !expressions().any(|(_, expr)| first_aggregate(expr).is_some())
        {
            return Ok(());
        }
        let mut group: Vec<String> = group.iter().map(|sql| unmarked(sql)).collect();
        for (_, expr) in expressions().filter(|(position, _)| positions.contains(position)) {
            let sql = self.emit(expr, Want::Any)?;
            group.push(format!("({})", unmarked(&sql)));
        }
        for (_, expr) in expressions() {
            self.grouped(expr, &group)?;
        }
        Ok(())
    }

    fn grouped(&mut self, expr: &'a Expr, group: &[String]) -> Result<(), Fault> {
        match &expr.node {
            Node::Number(_) | Node::Text(_) | Node::Bool(_) | Node::Null | Node::Interval { .. } => {
                return Ok(());
            }
            Node::Call(call) if call.over.is_none() && AGGREGATES.contains(&call.name.as_str()) => {
                return Ok(());
            }
            _ => {}
        }
        let sql = format!("({})", unmarked(&self.emit(expr, Want::Any)?));
        if group.contains(&sql) {
            return Ok(());
        }
        if let Node::Column { relation, name } = &expr.node {
            let owner = match self.names.find(expr.at, relation.as_deref(), name)? {
                Found::Log { alias, .. } => alias,
                Found::Derived { sql, .. } => sql,
                Found::Alias(_) => return Ok(()),
            };
            let relations =
                self.names.scopes.last().map(|scope| scope.relations.as_slice()).unwrap_or_default();
            let is_ours = |alias: &str| owner == alias || owner.contains(&format!("{alias}."));
            // A column of a select around this one is the same for all its rows.
            if relations.iter().any(|named| is_ours(&named.alias)) {
                let shown: String = name.chars().take(64).collect();
                return Err(fault(
                    expr.at,
                    format!(
                        "{shown} must stand in GROUP BY or inside an aggregate, such as arbitrary({shown})"
                    ),
                ));
            }
        }
        let (mut parts, mut is_self) = (Vec::new(), true);
        expr.walk(&mut |part| {
            if !std::mem::take(&mut is_self) {
                parts.push(part);
                return false;
            }
            true
        });
        parts.into_iter().try_for_each(|part| self.grouped(part, group))
    }
}

/// Without the comments that say places, which differ where the same is written twice.
fn unmarked(sql: &str) -> String {
    let mut parts = sql.split("/*@");
    let mut out = parts.next().unwrap_or("").to_owned();
    for part in parts {
        out.push_str(part.split_once("*/").map_or(part, |(_, behind)| behind));
    }
    out
}
