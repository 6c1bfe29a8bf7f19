//! Makes one SQLite statement of a statement of the dialect: queries and their clauses here, FROM in
//! [`super::from`], expressions in
//! [`super::emit`], calls in [`super::call`].
//!
//! Nothing of the author's text reaches SQLite but numbers, quoted texts and words from our own lists: relations are called
//! `r1, r2, ...`, sub-selects of WITH `q1, ...`, outputs `o0, o1, ...` and columns of the log `c0, c1, ...`. A comment
//! `/*@17*/` says which byte of the statement the text behind it comes from, so a fault that SQLite finds has its place.

use std::cell::Cell;

use super::ast::{Body, Expr, Item, Node, Order, Query, Select};
use super::error::{Fault, fault};
use super::names::{AliasUse, Load, Named, Names, Output, Relation, Scope, Setting, aliases};
use super::types::{Column, Form, Type, Want};
use super::weighted;

/// Rows of an answer without LIMIT.
pub(super) const DEFAULT_ROWS: u64 = 100;
/// Columns of the log and outputs of one select.
const COLUMNS: usize = 500;

/// What is to be loaded, run and answered.
pub(super) struct Plan {
    pub(super) sql: String,
    pub(super) loads: Vec<Load>,
    pub(super) outputs: Vec<Output>,
    /// Equal rows may be loaded as one with their count, in column `w`.
    pub(super) is_weighted: bool,
    /// The answer's rows are bounded by [`DEFAULT_ROWS`]; the statement asks for one more, to know whether it is cut.
    pub(super) is_cut_by_default: bool,
}

/// `may_weigh`: load equal rows once where the statement allows it.
pub(super) fn translate<'a>(
    query: &'a Query,
    setting: &'a Setting<'a>,
    may_weigh: bool,
) -> Result<Plan, Fault> {
    let mut translator = Translator {
        names: Names { setting, scopes: Vec::new(), use_aliases: Cell::new(AliasUse::Never) },
        ctes: Vec::new(),
        loads: Vec::new(),
        made: 0,
        is_outermost: true,
        is_weighted: may_weigh && weighted::allows(query, setting.logstore),
        in_try: false,
    };
    let (sql, outputs) = translator.query(query, &[])?;
    Ok(Plan {
        sql,
        loads: translator.loads,
        outputs,
        is_weighted: translator.is_weighted,
        is_cut_by_default: query.limit.is_none(),
    })
}

pub(super) struct Translator<'a> {
    pub(super) names: Names<'a>,
    /// Sub-selects of WITH in sight: name, what SQLite calls it, outputs.
    pub(super) ctes: Vec<(&'a str, String, Vec<Output>)>,
    loads: Vec<Load>,
    /// Names made so far.
    made: usize,
    is_outermost: bool,
    pub(super) is_weighted: bool,
    /// Inside TRY, where a cast that fails gives NULL.
    pub(super) in_try: bool,
}

impl<'a> Translator<'a> {
    pub(super) fn name(&mut self, letter: char) -> String {
        self.made += 1;
        format!("{letter}{}", self.made)
    }

    /// The column of the temporary table that holds a field in a form.
    pub(super) fn load(&mut self, at: usize, column: Column, form: Form) -> Result<String, Fault> {
        let wanted = Load { column, form };
        let known = self.loads.iter().position(|load| *load == wanted);
        let index = known.unwrap_or(self.loads.len());
        if known.is_none() {
            if index >= COLUMNS {
                return Err(fault(at, format!("more than {COLUMNS} columns")));
            }
            self.loads.push(wanted);
        }
        Ok(format!("c{index}"))
    }

    /// A query with its outputs, which a query around it reads from a relation of the name it will give: their `sql` is
    /// the bare name. `names` replace those of the first outputs.
    pub(super) fn query(
        &mut self,
        query: &'a Query,
        names: &[String],
    ) -> Result<(String, Vec<Output>), Fault> {
        let visible = self.ctes.len();
        let is_outermost = std::mem::take(&mut self.is_outermost);
        let mut with = Vec::new();
        for named in &query.with {
            // What stands in WITH does not see the rows around it.
            let scopes = std::mem::take(&mut self.names.scopes);
            let made = self.query(&named.query, &named.columns);
            self.names.scopes = scopes;
            let (sql, outputs) = made?;
            let alias = self.name('q');
            with.push(format!("{alias} AS ({sql})"));
            self.ctes.push((&named.name, alias, outputs));
        }
        let made = match &query.body {
            Body::Select(select) => self.select(select, &query.order, names),
            body => self.body(body, names).and_then(|(sql, outputs)| {
                let order = order_of_set(&query.order, &outputs)?;
                Ok((sql + &order, outputs))
            }),
        };
        self.ctes.truncate(visible);
        let (mut sql, outputs) = made?;
        if !with.is_empty() {
            sql = format!("WITH {} {sql}", with.join(", "));
        }
        if let Some(limit) = query.limit {
            sql = format!("{sql} LIMIT {limit} OFFSET {}", query.offset);
        } else if is_outermost {
            sql = format!("{sql} LIMIT {} OFFSET {}", DEFAULT_ROWS + 1, query.offset);
        } else if query.offset > 0 {
            sql = format!("{sql} LIMIT -1 OFFSET {}", query.offset);
        }
        Ok((sql, outputs))
    }

    fn body(&mut self, body: &'a Body, names: &[String]) -> Result<(String, Vec<Output>), Fault> {
        match body {
            Body::Select(select) => self.select(select, &[], names),
            Body::Nested(query) => {
                let (sql, outputs) = self.query(query, names)?;
                Ok((format!("SELECT * FROM ({sql})"), outputs))
            }
            Body::Set { at, left, operator, right } => {
                let (left, mut outputs) = self.body(left, names)?;
                let is_set = matches!(**right, Body::Set { .. });
                let (mut right, others) = self.body(right, &[])?;
                if outputs.len() != others.len() {
                    let (one, other) = (outputs.len(), others.len());
                    return Err(fault(*at, format!("{operator} joins {one} columns with {other}")));
                }
                for (output, other) in outputs.iter_mut().zip(&others) {
                    output.kind = output.kind.or(other.kind);
                }
                if is_set {
                    right = format!("SELECT * FROM ({right})");
                }
                Ok((format!("{left} {operator} {right}"), outputs))
            }
        }
    }

    fn select(
        &mut self,
        select: &'a Select,
        order: &'a [Order],
        names: &[String],
    ) -> Result<(String, Vec<Output>), Fault> {
        let uses = self.names.use_aliases.replace(AliasUse::Never);
        self.names.scopes.push(Scope { aliases: aliases(select), ..Scope::default() });
        let made = self.select_in_scope(select, order, names);
        self.names.scopes.pop();
        self.names.use_aliases.set(uses);
        made
    }

    fn select_in_scope(
        &mut self,
        select: &'a Select,
        order: &'a [Order],
        names: &[String],
    ) -> Result<(String, Vec<Output>), Fault> {
        let from = self.from(&select.from)?;
        let filter = match &select.filter {
            Some(filter) => {
                no_aggregate(filter, "WHERE")?;
                format!(" WHERE {}", self.condition(filter)?)
            }
            None => String::new(),
        };
        let (items, outputs) = self.items(select, names)?;
        let (mut group, mut positions) = (Vec::new(), Vec::new());
        for expr in &select.group {
            no_aggregate(expr, "GROUP BY")?;
            positions.extend(position(expr, outputs.len())?);
            group.push(self.grouping(select, expr, outputs.len())?);
        }
        self.check_grouping(select, &group, &positions)?;
        let group = if group.is_empty() { String::new() } else { format!(" GROUP BY {}", group.join(", ")) };
        let having = match &select.having {
            Some(having) => {
                self.names.use_aliases.set(AliasUse::AfterColumns);
                format!(" HAVING {}", self.condition(having)?)
            }
            None => String::new(),
        };
        let order = self.ordering(select, order, &outputs)?;
        let distinct = if select.distinct { "DISTINCT " } else { "" };
        let sql = format!("SELECT {distinct}{} FROM {from}{filter}{group}{having}{order}", items.join(", "));
        Ok((sql, outputs))
    }

    fn items(&mut self, select: &'a Select, names: &[String]) -> Result<(Vec<String>, Vec<Output>), Fault> {
        let (mut items, mut outputs) = (Vec::new(), Vec::new());
        let mut add = |sql: String, name: String, kind: Type| {
            let index = items.len();
            let name = names.get(index).cloned().unwrap_or(name);
            items.push(format!("{sql} AS o{index}"));
            outputs.push(Output { name, kind, sql: format!("o{index}") });
        };
        for (index, item) in select.items.iter().enumerate() {
            match item {
                Item::Expr { expr, alias } => {
                    let name = match (alias, &expr.node) {
                        (Some(alias), _) => alias.clone(),
                        (None, Node::Column { relation: Some(relation), name })
                            if !self.is_relation(relation) =>
                        {
                            format!("{relation}.{name}")
                        }
                        (None, Node::Column { name, .. }) => name.clone(),
                        _ => format!("_col{index}"),
                    };
                    let kind = self.type_of(expr)?;
                    add(self.emit(expr, Want::Any)?, name, kind);
                }
                Item::All { at, relation } => {
                    for (sql, name, kind) in self.all(*at, relation.as_deref())? {
                        add(sql, name, kind);
                    }
                }
            }
        }
        if outputs.len() > COLUMNS {
            return Err(fault(select.at, format!("more than {COLUMNS} columns")));
        }
        Ok((items, outputs))
    }

    fn is_relation(&self, name: &str) -> bool {
        let mut relations = self.names.scopes.iter().flat_map(|scope| &scope.relations);
        relations.any(|named| named.name.eq_ignore_ascii_case(name))
    }

    /// What `*` or `relation.*` stands for.
    fn all(&mut self, at: usize, wanted: Option<&str>) -> Result<Vec<(String, String, Type)>, Fault> {
        let mut found = Vec::new();
        let mut logs = Vec::new();
        let scope = self.names.scopes.last().map(|scope| scope.relations.as_slice()).unwrap_or_default();
        let is_wanted = |named: &&Named| wanted.is_none_or(|wanted| named.name.eq_ignore_ascii_case(wanted));
        let mut is_known = false;
        for named in scope.iter().filter(is_wanted) {
            is_known = true;
            match &named.relation {
                Relation::Log => logs.push(named.alias.clone()),
                Relation::Derived(outputs) => found.extend(
                    outputs.iter().map(|output| (output.sql.clone(), output.name.clone(), output.kind)),
                ),
            }
        }
        if !is_known {
            return Err(fault(at, format!("there is no relation {}", wanted.unwrap_or("here"))));
        }
        for alias in logs {
            for name in self.names.setting.all.clone() {
                let kind = match self.names.find(at, None, &name) {
                    Ok(super::names::Found::Log { kind, .. }) => kind,
                    _ => Type::Any,
                };
                let column = self.load(at, Column::named(&name), form_of(kind, Want::Any))?;
                found.push((format!("{alias}.{column}"), name, kind));
            }
        }
        Ok(found)
    }

    /// One expression of GROUP BY: a position, an alias or an expression.
    fn grouping(&mut self, select: &'a Select, expr: &'a Expr, outputs: usize) -> Result<String, Fault> {
        if let Some(position) = position(expr, outputs)? {
            if let Some(Item::Expr { expr, .. }) = select.items.get(position - 1) {
                no_aggregate(expr, "GROUP BY")?;
            }
            return Ok(position.to_string());
        }
        self.names.use_aliases.set(AliasUse::AfterColumns);
        let sql = self.emit(expr, Want::Any);
        self.names.use_aliases.set(AliasUse::Never);
        // A bare number would be a position.
        Ok(format!("({})", sql?))
    }

    fn ordering(
        &mut self,
        select: &'a Select,
        order: &'a [Order],
        outputs: &[Output],
    ) -> Result<String, Fault> {
        let mut parts = Vec::new();
        for Order { expr, descending, nulls_first } in order {
            let mut by = expr;
            if let Some(position) = position(expr, outputs.len())? {
                match select.items.get(position - 1) {
                    Some(Item::Expr { expr, .. }) if select.items.len() == outputs.len() => by = expr,
                    _ => {
                        parts.push(position.to_string() + direction(*descending, *nulls_first));
                        continue;
                    }
                }
                self.names.use_aliases.set(AliasUse::Never);
            } else {
                self.names.use_aliases.set(AliasUse::First);
            }
            let sql = self.emit(by, Want::Natural);
            self.names.use_aliases.set(AliasUse::Never);
            parts.push(format!("({}){}", sql?, direction(*descending, *nulls_first)));
        }
        Ok(if parts.is_empty() { String::new() } else { format!(" ORDER BY {}", parts.join(", ")) })
    }
}

/// The form in which a field of this type is loaded for a use.
pub(super) fn form_of(kind: Type, want: Want) -> Form {
    match (kind, want) {
        (Type::Int | Type::Double, _) | (_, Want::Number) => Form::Number,
        (Type::Any, Want::Natural) => Form::Natural,
        _ => Form::Text,
    }
}

/// A whole number that stands alone is a position among the outputs, from 1.
fn position(expr: &Expr, outputs: usize) -> Result<Option<usize>, Fault> {
    let Node::Number(text) = &expr.node else { return Ok(None) };
    let position = text.parse().ok().filter(|position| (1..=outputs).contains(position));
    let known = format!("position {text} is not among the {outputs} columns of the select");
    position.map(Some).ok_or_else(|| fault(expr.at, known))
}

fn order_of_set(order: &[Order], outputs: &[Output]) -> Result<String, Fault> {
    let mut parts = Vec::new();
    for Order { expr, descending, nulls_first } in order {
        let found = match (position(expr, outputs.len())?, &expr.node) {
            (Some(position), _) => Some(position),
            (None, Node::Column { relation: None, name }) => outputs
                .iter()
                .position(|output| output.name.eq_ignore_ascii_case(name))
                .map(|index| index + 1),
            _ => None,
        };
        let found = found.ok_or_else(|| {
            fault(
                expr.at,
                "the result of UNION, INTERSECT or EXCEPT is ordered by names or positions of its columns",
            )
        })?;
        parts.push(found.to_string() + direction(*descending, *nulls_first));
    }
    Ok(if parts.is_empty() { String::new() } else { format!(" ORDER BY {}", parts.join(", ")) })
}

/// The service puts NULL last in both directions.
pub(super) fn direction(descending: bool, nulls_first: bool) -> &'static str {
    match (descending, nulls_first) {
        (false, false) => " ASC NULLS LAST",
        (false, true) => " ASC NULLS FIRST",
        (true, false) => " DESC NULLS LAST",
        (true, true) => " DESC NULLS FIRST",
    }
}

pub(super) fn no_aggregate(expr: &Expr, clause: &str) -> Result<(), Fault> {
    match weighted::first_aggregate(expr) {
        None => Ok(()),
        Some((at, name)) => Err(fault(
            at,
            format!("{name} is over many rows and cannot stand in {clause}; HAVING can use it"),
        )),
    }
}
