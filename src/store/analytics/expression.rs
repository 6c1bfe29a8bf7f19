//! Reads an expression. Binding, from loose to tight:
//!
//! ```text
//! OR < AND < NOT < = <> < <= > >= IS IN LIKE BETWEEN < || < + - < * / % < sign < [index]
//! ```

use super::ast::{Call, Expr, Node};
use super::error::{Fault, fault};
use super::lex::Token;
use super::parse::{Parser, is_clause};

/// Arguments of one call, elements of one list, parts of one AND.
const PARTS: usize = 2_000;
const COMPARISONS: [&str; 7] = ["=", "<>", "!=", "<=", ">=", "<", ">"];
/// Functions of time that SQL writes without parentheses.
const CLOCKS: [&str; 4] = ["current_timestamp", "current_date", "localtimestamp", "current_time"];
/// Words an expression cannot start with unless they are quoted.
const RESERVED: [&str; 10] = ["and", "or", "in", "is", "like", "between", "then", "else", "end", "when"];

impl Parser {
    pub(super) fn expr(&mut self) -> Result<Expr, Fault> {
        self.deeper(|parser| parser.logic(false))
    }

    /// ORs of ANDs, or with `of_and` ANDs of NOTs.
    fn logic(&mut self, of_and: bool) -> Result<Expr, Fault> {
        let (at, word) = (self.at(), if of_and { "and" } else { "or" });
        let part = |parser: &mut Parser| if of_and { parser.not() } else { parser.logic(true) };
        let first = part(self)?;
        if !self.is_word(word) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.take_word(word) {
            parts.push(part(self)?);
            self.bounded(&parts)?;
        }
        self.over(at, highest(&parts), Node::Logic(of_and, parts))
    }

    pub(super) fn bounded(&self, parts: &[Expr]) -> Result<(), Fault> {
        if parts.len() <= PARTS { Ok(()) } else { Err(fault(self.at(), format!("more than {PARTS} parts"))) }
    }

    fn not(&mut self) -> Result<Expr, Fault> {
        let at = self.at();
        if self.is_word("not") {
            self.advance();
            let inner = self.deeper(|parser| parser.not())?;
            return self.over(at, inner.height, Node::Not(Box::new(inner)));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Expr, Fault> {
        let mut left = self.concatenation()?;
        loop {
            let at = self.at();
            if let Some(operator) = COMPARISONS.iter().find(|operator| self.is_symbol(operator)) {
                self.advance();
                let right = self.concatenation()?;
                let height = left.height.max(right.height);
                let operator = if *operator == "!=" { "<>" } else { operator };
                left = self.over(at, height, Node::Compare(operator, Box::new(left), Box::new(right)))?;
            } else if self.take_word("is") {
                left = self.is(left)?;
            } else {
                let not = self.is_word("not")
                    && ["in", "like", "between"].iter().any(|word| self.is_word_at(1, word));
                if not {
                    self.advance();
                }
                if self.take_word("between") {
                    let low = self.concatenation()?;
                    self.expect_word("and")?;
                    let high = self.concatenation()?;
                    let height = left.height.max(low.height).max(high.height);
                    let (value, low, high) = (Box::new(left), Box::new(low), Box::new(high));
                    left = self.over(at, height, Node::Between { value, low, high, not })?;
                } else if self.take_word("in") {
                    left = self.inside(left, not)?;
                } else if self.take_word("like") {
                    left = self.like(left, not)?;
                } else {
                    return Ok(left);
                }
            }
        }
    }

    fn is(&mut self, left: Expr) -> Result<Expr, Fault> {
        let (at, height) = (left.at, left.height);
        let not = self.take_word("not");
        let value = Box::new(left);
        if self.take_word("null") {
            return self.over(at, height, Node::IsNull { value, not });
        }
        if self.take_words(&["distinct", "from"]) {
            let right = self.concatenation()?;
            let height = height.max(right.height);
            let operator = if not { "IS" } else { "IS NOT" };
            return self.over(at, height, Node::Compare(operator, value, Box::new(right)));
        }
        for (word, truth) in [("true", true), ("false", false)] {
            if self.take_word(word) {
                let truth = self.over(at, 0, Node::Bool(truth))?;
                let operator = if not { "IS NOT" } else { "IS" };
                return self.over(at, height, Node::Compare(operator, value, Box::new(truth)));
            }
        }
        Err(self.unexpected("NULL or DISTINCT FROM"))
    }

    fn inside(&mut self, left: Expr, not: bool) -> Result<Expr, Fault> {
        let (at, value) = (left.at, Box::new(left));
        self.expect_symbol("(")?;
        if self.is_word("select") || self.is_word("with") {
            let query = Box::new(self.query()?);
            self.expect_symbol(")")?;
            return self.over(at, value.height, Node::InQuery { value, query, not });
        }
        let list = self.list(")")?;
        let height = value.height.max(highest(&list));
        self.over(at, height, Node::In { value, list, not })
    }

    fn like(&mut self, left: Expr, not: bool) -> Result<Expr, Fault> {
        let at = left.at;
        let pattern = Box::new(self.concatenation()?);
        let escape = if self.take_word("escape") { Some(Box::new(self.concatenation()?)) } else { None };
        let height = left.height.max(pattern.height).max(escape.as_ref().map_or(0, |escape| escape.height));
        self.over(at, height, Node::Like { value: Box::new(left), pattern, escape, not })
    }

    fn concatenation(&mut self) -> Result<Expr, Fault> {
        self.chain(&["||"], |parser| {
            parser.chain(&["+", "-"], |parser| parser.chain(&["*", "/", "%"], Parser::sign))
        })
    }

    /// `part { operator part }`, from the left.
    fn chain(
        &mut self,
        operators: &[&'static str],
        part: impl Fn(&mut Parser) -> Result<Expr, Fault>,
    ) -> Result<Expr, Fault> {
        let mut left = part(self)?;
        while let Some(operator) = operators.iter().find(|operator| self.is_symbol(operator)) {
            let at = self.at();
            self.advance();
            let right = part(self)?;
            let height = left.height.max(right.height);
            left = self.over(at, height, Node::Arithmetic(operator, Box::new(left), Box::new(right)))?;
        }
        Ok(left)
    }

    fn sign(&mut self) -> Result<Expr, Fault> {
        let at = self.at();
        if self.take_symbol("-") {
            let inner = self.deeper(|parser| parser.sign())?;
            return self.over(at, inner.height, Node::Negative(Box::new(inner)));
        }
        if self.take_symbol("+") {
            return self.deeper(|parser| parser.sign());
        }
        let mut value = self.primary()?;
        loop {
            let at = self.at();
            if self.take_symbol("[") {
                let index = self.expr()?;
                self.expect_symbol("]")?;
                let height = value.height.max(index.height);
                value = self.over(at, height, Node::Element(Box::new(value), Box::new(index)))?;
            } else if self.is_word("at") && self.is_word_at(1, "time") {
                return Err(fault(at, "AT TIME ZONE is not supported; all times are UTC"));
            } else {
                return Ok(value);
            }
        }
    }

    fn primary(&mut self) -> Result<Expr, Fault> {
        let at = self.at();
        match self.peek().clone() {
            Token::Number(text) => {
                self.advance();
                self.over(at, 0, Node::Number(text))
            }
            Token::Text(text) => {
                self.advance();
                self.over(at, 0, Node::Text(text))
            }
            Token::Symbol("(") => {
                self.advance();
                if self.is_word("select") || self.is_word("with") {
                    let query = Box::new(self.query()?);
                    self.expect_symbol(")")?;
                    return self.over(at, 0, Node::Query(query));
                }
                let inner = self.expr()?;
                if self.is_symbol(",") {
                    return Err(fault(self.at(), "rows of several values are not supported"));
                }
                self.expect_symbol(")")?;
                Ok(inner)
            }
            Token::Name { text, quoted: false } => self.word(at, &text.to_ascii_lowercase()),
            Token::Name { .. } => self.column(at),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn word(&mut self, at: usize, word: &str) -> Result<Expr, Fault> {
        let calls = self.is_symbol_at(1, "(");
        let text_follows = matches!(self.peek_at(1), Token::Text(_));
        match word {
            "true" | "false" if !calls => {
                self.advance();
                self.over(at, 0, Node::Bool(word == "true"))
            }
            "null" => {
                self.advance();
                self.over(at, 0, Node::Null)
            }
            "case" => self.case(at),
            "cast" | "try_cast" if calls => self.cast(at, word == "try_cast"),
            "exists" if calls => {
                self.next_after("(")?;
                let query = Box::new(self.query()?);
                self.expect_symbol(")")?;
                self.over(at, 0, Node::Exists(query))
            }
            "extract" if calls => self.extract(at),
            "array" if self.is_symbol_at(1, "[") => {
                self.advance();
                self.advance();
                let list = if self.take_symbol("]") { Vec::new() } else { self.list("]")? };
                self.over(at, highest(&list), Node::Array(list))
            }
            "interval" if text_follows || matches!(self.peek_at(1), Token::Number(_)) => self.interval(at),
            "date" | "timestamp" if text_follows => {
                self.advance();
                let value = Box::new(self.primary()?);
                self.over(at, value.height, Node::Cast { value, to: word.to_owned(), is_try: false })
            }
            _ if CLOCKS.contains(&word) && !calls => {
                self.advance();
                let call = Call {
                    name: word.to_owned(),
                    arguments: Vec::new(),
                    star: false,
                    distinct: false,
                    order: Vec::new(),
                    filter: None,
                    over: None,
                };
                self.over(at, 0, Node::Call(Box::new(call)))
            }
            _ if calls => self.call(at),
            _ if is_clause(word) || RESERVED.contains(&word) => Err(self.unexpected("a value")),
            "select" => Err(fault(at, "a sub-select stands in parentheses")),
            _ => self.column(at),
        }
    }

    pub(super) fn next_after(&mut self, symbol: &str) -> Result<(), Fault> {
        self.advance();
        self.expect_symbol(symbol)
    }

    /// `name`, `relation.name`; more dots belong to the name, which is a path into JSON.
    fn column(&mut self, at: usize) -> Result<Expr, Fault> {
        let mut name = self.name("a column")?;
        let mut relation = None;
        while self.is_symbol(".") {
            self.advance();
            let next = self.name("a column")?;
            match relation {
                None => relation = Some(std::mem::replace(&mut name, next)),
                Some(_) => name = format!("{name}.{next}"),
            }
        }
        self.over(at, 0, Node::Column { relation, name })
    }

    fn list(&mut self, end: &str) -> Result<Vec<Expr>, Fault> {
        let mut list = vec![self.expr()?];
        while self.take_symbol(",") {
            list.push(self.expr()?);
            self.bounded(&list)?;
        }
        self.expect_symbol(end)?;
        Ok(list)
    }

    fn case(&mut self, at: usize) -> Result<Expr, Fault> {
        self.advance();
        let operand = if self.is_word("when") { None } else { Some(Box::new(self.expr()?)) };
        let mut branches = Vec::new();
        let mut height = operand.as_ref().map_or(0, |operand| operand.height);
        while self.take_word("when") {
            let when = self.expr()?;
            self.expect_word("then")?;
            let then = self.expr()?;
            height = height.max(when.height).max(then.height);
            branches.push((when, then));
        }
        if branches.is_empty() {
            return Err(self.unexpected("WHEN"));
        }
        let other = if self.take_word("else") { Some(Box::new(self.expr()?)) } else { None };
        height = height.max(other.as_ref().map_or(0, |other| other.height));
        self.expect_word("end")?;
        self.over(at, height, Node::Case { operand, branches, other })
    }
}

pub(super) fn highest(parts: &[Expr]) -> usize {
    parts.iter().map(|part| part.height).max().unwrap_or(0)
}
