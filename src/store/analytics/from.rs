//! What a FROM becomes: the temporary table, sub-selects, UNNEST and their joins. Each gets a name of ours, and its columns
//! come into sight for the select around it.

use super::ast::{Join, Relation as RelationNode, RelationSource};
use super::error::{Fault, fault, nearest};
use super::names::{Named, Output, Relation, Scope};
use super::translate::{Translator, no_aggregate};
use super::types::{Type, Want};

impl<'a> Translator<'a> {
    pub(super) fn from(&mut self, joins: &'a [Join]) -> Result<String, Fault> {
        if joins.is_empty() {
            return Ok(self.log("log"));
        }
        let mut sql = String::new();
        for Join { kind, relation, on } in joins {
            let relation = self.relation(relation)?;
            sql = if kind.is_empty() { relation } else { format!("{sql} {kind} {relation}") };
            if let Some(on) = on {
                no_aggregate(on, "ON")?;
                sql = format!("{sql} ON {}", self.condition(on)?);
            }
        }
        Ok(sql)
    }

    fn log(&mut self, name: &str) -> String {
        let alias = self.name('r');
        let weight = self.is_weighted.then(|| format!("{alias}.w"));
        self.add(name, alias.clone(), Relation::Log);
        if let Some(scope) = self.names.scopes.last_mut() {
            scope.weight = weight;
        }
        format!("log AS {alias}")
    }

    fn add(&mut self, name: &str, alias: String, relation: Relation) {
        if let Some(scope) = self.names.scopes.last_mut() {
            scope.relations.push(Named { name: name.to_owned(), alias, relation });
        }
    }

    fn relation(&mut self, node: &'a RelationNode) -> Result<String, Fault> {
        let RelationNode { at, source, alias, columns } = node;
        let called = alias.as_deref();
        match source {
            RelationSource::Table(name) => {
                let cte = self.ctes.iter().rev().find(|(cte, ..)| cte.eq_ignore_ascii_case(name));
                if let Some((_, cte, outputs)) = cte.cloned() {
                    let relation = self.name('r');
                    self.derived(called.unwrap_or(name), &relation, outputs, columns);
                    return Ok(format!("{cte} AS {relation}"));
                }
                if !name.eq_ignore_ascii_case("log") && *name != self.names.setting.logstore {
                    let known = self.ctes.iter().map(|(name, ..)| *name).chain(["log"]);
                    let hint = nearest(name, known).unwrap_or("log");
                    return Err(fault(
                        *at,
                        format!("there is no relation {name}: a statement reads its own logstore, as {hint}"),
                    ));
                }
                Ok(self.log(called.unwrap_or(name)))
            }
            RelationSource::Query(query) => {
                let scopes = std::mem::take(&mut self.names.scopes);
                // A scope of its own, so that the sub-select knows it is one.
                self.names.scopes.push(Scope::default());
                let made = self.query(query, columns);
                self.names.scopes = scopes;
                let (sql, outputs) = made?;
                let relation = self.name('r');
                self.derived(called.unwrap_or(""), &relation, outputs, &[]);
                Ok(format!("({sql}) AS {relation}"))
            }
            RelationSource::Unnest { value, ordinality } => {
                let value = self.emit(value, Want::Text)?;
                let relation = self.name('r');
                let element = format!(
                    "(CASE {relation}.type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE {relation}.value END)"
                );
                let ordinal = format!("({relation}.key + 1)");
                let values = columns.len().saturating_sub(usize::from(*ordinality));
                let mut outputs = Vec::new();
                for (index, name) in columns.iter().enumerate() {
                    let (sql, kind) = match index {
                        _ if index >= values => (ordinal.clone(), Type::Int),
                        0 if values == 2 => (format!("{relation}.key"), Type::Text),
                        0 | 1 => (element.clone(), Type::Mixed),
                        _ => return Err(fault(*at, "UNNEST of an array gives one column, of a map two")),
                    };
                    outputs.push(Output { name: name.clone(), kind, sql });
                }
                if outputs.is_empty() {
                    return Err(fault(*at, "name the column of UNNEST: UNNEST(...) AS t(x)"));
                }
                self.add(called.unwrap_or(""), relation.clone(), Relation::Derived(outputs));
                Ok(format!("json_each(p_unnest({value})) AS {relation}"))
            }
        }
    }

    fn derived(&mut self, name: &str, relation: &str, mut outputs: Vec<Output>, columns: &[String]) {
        for output in &mut outputs {
            output.sql = format!("{relation}.{}", output.sql);
        }
        for (output, name) in outputs.iter_mut().zip(columns) {
            output.name.clone_from(name);
        }
        self.add(name, relation.to_owned(), Relation::Derived(outputs));
    }
}
