//! Reads what a FROM names: relations, their joins and aliases.

use super::ast::{Expr, Join, Node, Relation, RelationSource};
use super::error::{Fault, fault};
use super::lex::Token;
use super::parse::{Parser, is_clause};

/// Relations of one FROM.
const RELATIONS: usize = 16;

impl Parser {
    pub(super) fn alias(&mut self) -> Result<Option<String>, Fault> {
        if self.take_word("as") {
            // 'text' as an alias is not SQL, but people write it.
            if let Token::Text(text) = self.peek().clone()
                && !text.is_empty()
            {
                self.advance();
                return Ok(Some(text));
            }
            return self.name("a name").map(Some);
        }
        match self.peek() {
            Token::Name { text, quoted } if *quoted || !is_clause(text) => {
                let text = text.clone();
                self.advance();
                Ok(Some(text))
            }
            _ => Ok(None),
        }
    }

    pub(super) fn relations(&mut self) -> Result<Vec<Join>, Fault> {
        let first = self.relation()?;
        let mut joins = vec![Join { kind: "", relation: first, on: None }];
        loop {
            let at = self.at();
            let kind = if self.take_symbol(",") || self.take_words(&["cross", "join"]) {
                "CROSS JOIN"
            } else if self.take_word("join") || self.take_words(&["inner", "join"]) {
                "JOIN"
            } else if self.take_words(&["left", "join"]) || self.take_words(&["left", "outer", "join"]) {
                "LEFT JOIN"
            } else if self.take_words(&["right", "join"]) || self.take_words(&["right", "outer", "join"]) {
                "RIGHT JOIN"
            } else if self.take_words(&["full", "join"]) || self.take_words(&["full", "outer", "join"]) {
                "FULL JOIN"
            } else if self.is_word("natural") {
                return Err(fault(at, "NATURAL JOIN is not supported; name the columns with USING"));
            } else {
                return Ok(joins);
            };
            if joins.len() >= RELATIONS {
                return Err(fault(at, format!("a FROM joins at most {RELATIONS} relations")));
            }
            let relation = self.relation()?;
            let on = if self.take_word("on") {
                Some(self.expr()?)
            } else if self.is_word("using") {
                Some(self.using(&joins, &relation)?)
            } else if kind == "CROSS JOIN" {
                None
            } else {
                return Err(self.unexpected("ON or USING"));
            };
            joins.push(Join { kind, relation, on });
        }
    }

    /// `USING (a, b)` is `ON first.a = this.a AND first.b = this.b`.
    fn using(&mut self, joins: &[Join], relation: &Relation) -> Result<Expr, Fault> {
        let at = self.at();
        self.advance();
        let names = self.names_in_parentheses()?;
        let called = |relation: &Relation| match (&relation.alias, &relation.source) {
            (Some(alias), _) => Some(alias.clone()),
            (None, RelationSource::Table(name)) => Some(name.clone()),
            _ => None,
        };
        let sides = joins.first().and_then(|first| called(&first.relation)).zip(called(relation));
        let Some((left, right)) = sides.filter(|_| !names.is_empty()) else {
            return Err(fault(at, "USING needs relations with names, and columns in parentheses"));
        };
        let mut parts = Vec::new();
        for name in names {
            let column = |relation: &String| {
                let node = Node::Column { relation: Some(relation.clone()), name: name.clone() };
                self.over(at, 0, node).map(Box::new)
            };
            parts.push(self.over(at, 1, Node::Compare("=", column(&left)?, column(&right)?))?);
        }
        self.over(at, 2, Node::Logic(true, parts))
    }

    fn relation(&mut self) -> Result<Relation, Fault> {
        let at = self.at();
        let source = if self.take_symbol("(") {
            let query = self.query()?;
            self.expect_symbol(")")?;
            RelationSource::Query(Box::new(query))
        } else if self.is_word("unnest") && self.is_symbol_at(1, "(") {
            self.advance();
            self.advance();
            let value = self.expr()?;
            if self.is_symbol(",") {
                return Err(fault(self.at(), "UNNEST takes one array or map here"));
            }
            self.expect_symbol(")")?;
            RelationSource::Unnest { value, ordinality: self.take_words(&["with", "ordinality"]) }
        } else {
            RelationSource::Table(self.name("a relation")?)
        };
        let alias = self.alias()?;
        let columns = if alias.is_some() { self.names_in_parentheses()? } else { Vec::new() };
        Ok(Relation { at, source, alias, columns })
    }
}
