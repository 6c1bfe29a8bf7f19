//! Reads a statement: its clauses here, what FROM names in [`super::relations`], its expressions in
//! [`super::expression`].
//!
//! ```text
//! statement = { SET SESSION name = value ; } query
//! query     = [ WITH name [(columns)] AS (query), ... ] body [ ORDER BY ... ] [ OFFSET n ] [ LIMIT n | LIMIT offset, n ]
//! body      = part { UNION [ALL] | INTERSECT | EXCEPT  part }        part = SELECT ... | ( query )
//! select    = SELECT [DISTINCT] items [ FROM relations ] [ WHERE ] [ GROUP BY ] [ HAVING ]
//! relation  = name | ( query ) | UNNEST ( value ) [ WITH ORDINALITY ]   [ [AS] alias [ (columns) ] ]
//! ```
//!
//! Nothing but one SELECT is let through. Parentheses and sub-selects inside each other are counted, as is the height
//! of every expression, so the stack is bounded.

use super::ast::{Body, Expr, Item, Named, Node, Order, Query, Select};
use super::error::{Fault, fault};
use super::lex::{Lexeme, Token, lex};

/// Bytes of a statement.
pub(super) const SQL_BYTES: usize = 64 * 1024;
/// Parentheses, sub-selects and operators inside each other.
pub(super) const DEPTH: usize = 64;

/// Rows that LIMIT and OFFSET may name.
const LIMIT: u64 = 1_000_000;

/// Words that end an expression or a relation and are therefore no alias without AS.
const CLAUSES: [&str; 24] = [
    "from",
    "where",
    "group",
    "having",
    "order",
    "limit",
    "offset",
    "union",
    "intersect",
    "except",
    "on",
    "using",
    "join",
    "inner",
    "left",
    "right",
    "full",
    "cross",
    "natural",
    "as",
    "with",
    "window",
    "fetch",
    "for",
];

pub(super) fn parse(sql: &str) -> Result<Query, Fault> {
    if sql.len() > SQL_BYTES {
        return Err(fault(SQL_BYTES, format!("a statement has at most {SQL_BYTES} bytes")));
    }
    let mut parser = Parser { tokens: lex(sql)?, next: 0, depth: 0 };
    while parser.is_word("set") {
        parser.session_setting()?;
    }
    if !["select", "with"].iter().any(|word| parser.is_word(word)) && !parser.is_symbol("(") {
        return Err(parser.unexpected("SELECT or WITH"));
    }
    let query = parser.query()?;
    parser.take_symbol(";");
    match parser.peek() {
        Token::End => Ok(query),
        _ => Err(parser.unexpected("the end of the statement")),
    }
}

pub(super) struct Parser {
    tokens: Vec<Lexeme>,
    next: usize,
    pub(super) depth: usize,
}

impl Parser {
    pub(super) fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(0, |lexeme| lexeme.at)
    }

    pub(super) fn peek(&self) -> &Token {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> &Token {
        self.tokens.get(self.next + ahead).map_or(&Token::End, |lexeme| &lexeme.token)
    }

    pub(super) fn advance(&mut self) {
        self.next += 1;
    }

    /// Is the next token this keyword, given in lower case?
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.is_word_at(0, word)
    }

    pub(super) fn is_word_at(&self, ahead: usize, word: &str) -> bool {
        matches!(self.peek_at(ahead), Token::Name { text, quoted: false } if text.eq_ignore_ascii_case(word))
    }

    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        self.is_symbol_at(0, symbol)
    }

    pub(super) fn is_symbol_at(&self, ahead: usize, symbol: &str) -> bool {
        matches!(self.peek_at(ahead), Token::Symbol(found) if *found == symbol)
    }

    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.next += usize::from(found);
        found
    }

    /// All of these keywords, or none.
    pub(super) fn take_words(&mut self, words: &[&str]) -> bool {
        let found = words.iter().enumerate().all(|(ahead, word)| self.is_word_at(ahead, word));
        self.next += if found { words.len() } else { 0 };
        found
    }

    pub(super) fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(symbol);
        self.next += usize::from(found);
        found
    }

    pub(super) fn expect_word(&mut self, word: &str) -> Result<(), Fault> {
        if self.take_word(word) { Ok(()) } else { Err(self.unexpected(&word.to_ascii_uppercase())) }
    }

    pub(super) fn expect_symbol(&mut self, symbol: &str) -> Result<(), Fault> {
        if self.take_symbol(symbol) { Ok(()) } else { Err(self.unexpected(symbol)) }
    }

    pub(super) fn unexpected(&self, wanted: &str) -> Fault {
        let found = match self.peek() {
            Token::Name { text, .. } | Token::Number(text) => text.clone(),
            Token::Text(text) => format!("'{text}'"),
            Token::Symbol(symbol) => (*symbol).to_owned(),
            Token::End => return fault(self.at(), format!("the statement ends where {wanted} is expected")),
        };
        let found: String = found.chars().take(64).collect();
        fault(self.at(), format!("{wanted} is expected here, not {found}"))
    }

    /// Runs `read` one level deeper.
    pub(super) fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Parser) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if self.depth >= DEPTH {
            return Err(too_deep(self.at()));
        }
        self.depth += 1;
        let done = read(self);
        self.depth -= 1;
        done
    }

    pub(super) fn name(&mut self, what: &str) -> Result<String, Fault> {
        match self.peek() {
            Token::Name { text, .. } => {
                let text = text.clone();
                self.advance();
                Ok(text)
            }
            _ => Err(self.unexpected(what)),
        }
    }

    pub(super) fn names_in_parentheses(&mut self) -> Result<Vec<String>, Fault> {
        let mut names = Vec::new();
        if self.take_symbol("(") {
            names.push(self.name("a column name")?);
            while self.take_symbol(",") {
                names.push(self.name("a column name")?);
            }
            self.expect_symbol(")")?;
        }
        Ok(names)
    }

    /// `SET SESSION name = value;` means something to the cloud only.
    fn session_setting(&mut self) -> Result<(), Fault> {
        self.expect_word("set")?;
        self.expect_word("session")?;
        while !self.take_symbol(";") {
            if *self.peek() == Token::End {
                return Err(self.unexpected("; and SELECT"));
            }
            self.advance();
        }
        Ok(())
    }

    pub(super) fn query(&mut self) -> Result<Query, Fault> {
        self.deeper(|parser| parser.query_here())
    }

    fn query_here(&mut self) -> Result<Query, Fault> {
        let mut with = Vec::new();
        if self.take_word("with") {
            if self.is_word("recursive") {
                return Err(fault(self.at(), "WITH RECURSIVE is not supported"));
            }
            loop {
                let at = self.at();
                let name = self.name("a name for the sub-select")?;
                let columns = self.names_in_parentheses()?;
                self.expect_word("as")?;
                self.expect_symbol("(")?;
                let query = self.query()?;
                self.expect_symbol(")")?;
                with.push(Named { at, name, columns, query });
                if !self.take_symbol(",") {
                    break;
                }
            }
        }
        let body = self.body()?;
        let order = if self.take_words(&["order", "by"]) { self.order_list()? } else { Vec::new() };
        let (mut limit, mut offset) = (None, 0);
        loop {
            if self.take_word("offset") {
                offset = self.count()?;
                let _ = self.take_word("rows") || self.take_word("row");
            } else if limit.is_none() && self.take_word("limit") {
                if self.take_word("all") {
                    continue;
                }
                let first = self.count()?;
                if self.take_symbol(",") {
                    offset = first;
                    limit = Some(self.count()?);
                } else {
                    limit = Some(first);
                }
            } else {
                break;
            }
        }
        Ok(Query { with, body, order, limit, offset })
    }

    fn count(&mut self) -> Result<u64, Fault> {
        let Token::Number(text) = self.peek() else { return Err(self.unexpected("a number of rows")) };
        let count = text.parse().ok().filter(|count: &u64| *count <= i64::MAX as u64);
        let count = count.ok_or_else(|| fault(self.at(), "this is no number of rows"))?;
        if count > LIMIT {
            return Err(fault(self.at(), format!("LIMIT and OFFSET are at most {LIMIT}")));
        }
        self.advance();
        Ok(count)
    }

    pub(super) fn order_list(&mut self) -> Result<Vec<Order>, Fault> {
        let mut list = Vec::new();
        loop {
            let expr = self.expr()?;
            let descending = self.take_word("desc");
            if !descending {
                self.take_word("asc");
            }
            let mut nulls_first = false;
            if self.take_word("nulls") {
                nulls_first = self.take_word("first");
                if !nulls_first {
                    self.expect_word("last")?;
                }
            }
            list.push(Order { expr, descending, nulls_first });
            if !self.take_symbol(",") {
                return Ok(list);
            }
        }
    }

    fn body(&mut self) -> Result<Body, Fault> {
        let mut left = self.body_of_intersections()?;
        for count in 0.. {
            let at = self.at();
            let operator = if self.take_word("union") {
                if self.take_word("all") { "UNION ALL" } else { "UNION" }
            } else if self.take_word("except") {
                "EXCEPT"
            } else {
                break;
            };
            left = self.set(left, at, operator, count)?;
        }
        Ok(left)
    }

    fn body_of_intersections(&mut self) -> Result<Body, Fault> {
        let mut left = self.part()?;
        for count in 0.. {
            let at = self.at();
            if !self.take_word("intersect") {
                break;
            }
            let _ = self.take_word("distinct");
            let right = self.part()?;
            left = joined(left, at, "INTERSECT", right, count)?;
        }
        Ok(left)
    }

    fn set(&mut self, left: Body, at: usize, operator: &'static str, count: usize) -> Result<Body, Fault> {
        let _ = self.take_word("distinct");
        let right = self.body_of_intersections()?;
        joined(left, at, operator, right, count)
    }

    fn part(&mut self) -> Result<Body, Fault> {
        if self.take_symbol("(") {
            let query = self.query()?;
            self.expect_symbol(")")?;
            return Ok(Body::Nested(Box::new(query)));
        }
        Ok(Body::Select(Box::new(self.select()?)))
    }

    fn select(&mut self) -> Result<Select, Fault> {
        let at = self.at();
        self.expect_word("select")?;
        let distinct = self.take_word("distinct");
        if !distinct {
            self.take_word("all");
        }
        let mut items = vec![self.item()?];
        while self.take_symbol(",") {
            items.push(self.item()?);
        }
        let from = if self.take_word("from") { self.relations()? } else { Vec::new() };
        let filter = if self.take_word("where") { Some(self.expr()?) } else { None };
        let mut group = Vec::new();
        if self.take_words(&["group", "by"]) {
            loop {
                let at = self.at();
                if ["grouping", "rollup", "cube"].iter().any(|word| self.is_word(word))
                    && (self.is_symbol_at(1, "(") || self.is_word_at(1, "sets"))
                {
                    return Err(fault(at, "GROUPING SETS, ROLLUP and CUBE are not supported"));
                }
                group.push(self.expr()?);
                if !self.take_symbol(",") {
                    break;
                }
            }
        }
        let having = if self.take_word("having") { Some(self.expr()?) } else { None };
        Ok(Select { at, distinct, items, from, filter, group, having })
    }

    fn item(&mut self) -> Result<Item, Fault> {
        let at = self.at();
        if self.take_symbol("*") {
            return Ok(Item::All { at, relation: None });
        }
        if self.is_symbol_at(1, ".") && self.is_symbol_at(2, "*") {
            let relation = self.name("a name")?;
            self.next += 2;
            return Ok(Item::All { at, relation: Some(relation) });
        }
        let expr = self.expr()?;
        let alias = self.alias()?;
        Ok(Item::Expr { expr, alias })
    }

    /// An expression over others of this height at most.
    pub(super) fn over(&self, at: usize, height: usize, node: Node) -> Result<Expr, Fault> {
        if height >= DEPTH { Err(too_deep(at)) } else { Ok(Expr { at, height: height + 1, node }) }
    }
}

pub(super) fn is_clause(word: &str) -> bool {
    CLAUSES.iter().any(|clause| clause.eq_ignore_ascii_case(word))
}

fn too_deep(at: usize) -> Fault {
    fault(at, format!("more than {DEPTH} levels of parentheses, sub-selects or operators"))
}

fn joined(left: Body, at: usize, operator: &'static str, right: Body, count: usize) -> Result<Body, Fault> {
    if count >= DEPTH / 2 {
        return Err(too_deep(at));
    }
    Ok(Body::Set { at, left: Box::new(left), operator, right: Box::new(right) })
}
