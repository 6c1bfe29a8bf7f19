//! Reads operands that have words of their own: casts, intervals, calls and their windows.

use super::ast::{Call, Expr, Node, Window};
use super::error::{Fault, fault};
use super::expression::highest;
use super::lex::Token;
use super::parse::Parser;

/// Types a value can be made, as [`Node::Cast`] names them.
const TYPES: [(&str, &str); 22] = [
    ("bigint", "bigint"),
    ("integer", "bigint"),
    ("int", "bigint"),
    ("smallint", "bigint"),
    ("tinyint", "bigint"),
    ("long", "bigint"),
    ("double", "double"),
    ("real", "double"),
    ("float", "double"),
    ("decimal", "double"),
    ("numeric", "double"),
    ("varchar", "varchar"),
    ("char", "varchar"),
    ("text", "varchar"),
    ("string", "varchar"),
    ("boolean", "boolean"),
    ("timestamp", "timestamp"),
    ("date", "date"),
    ("json", "json"),
    ("array", "json"),
    ("map", "json"),
    ("row", "json"),
];

impl Parser {
    pub(super) fn cast(&mut self, at: usize, is_try: bool) -> Result<Expr, Fault> {
        self.next_after("(")?;
        let value = Box::new(self.expr()?);
        self.expect_word("as")?;
        let to = self.type_name()?;
        self.expect_symbol(")")?;
        self.over(at, value.height, Node::Cast { value, to, is_try })
    }

    /// A type with what may follow it in parentheses: `varchar(10)`, `map(varchar, array(bigint))`.
    fn type_name(&mut self) -> Result<String, Fault> {
        let at = self.at();
        let name = self.name("a type")?;
        let known = TYPES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
        let (_, to) = known.ok_or_else(|| {
            fault(at, format!("{name} is no known type; known are bigint, double, varchar, boolean, timestamp, date and json"))
        })?;
        if name.eq_ignore_ascii_case("double") {
            self.take_word("precision");
        }
        if self.take_symbol("(") {
            let mut open = 1;
            while open > 0 {
                match self.peek() {
                    Token::Symbol("(") => open += 1,
                    Token::Symbol(")") => open -= 1,
                    Token::Symbol(",") | Token::Name { .. } | Token::Number(_) => {}
                    _ => return Err(self.unexpected(")")),
                }
                self.advance();
            }
        }
        Ok((*to).to_owned())
    }

    /// `EXTRACT(unit FROM value)` is `unit(value)`.
    pub(super) fn extract(&mut self, at: usize) -> Result<Expr, Fault> {
        self.next_after("(")?;
        let unit = self.name("a part of a time")?.to_ascii_lowercase();
        self.expect_word("from")?;
        let value = self.expr()?;
        self.expect_symbol(")")?;
        let height = value.height;
        let call = Call {
            name: unit,
            arguments: vec![value],
            star: false,
            distinct: false,
            order: Vec::new(),
            filter: None,
            over: None,
        };
        self.over(at, height, Node::Call(Box::new(call)))
    }

    pub(super) fn interval(&mut self, at: usize) -> Result<Expr, Fault> {
        self.advance();
        let count_at = self.at();
        let (Token::Text(count) | Token::Number(count)) = self.peek().clone() else {
            return Err(self.unexpected("a number"));
        };
        self.advance();
        if count.trim().parse::<i32>().is_err() {
            return Err(fault(count_at, "an interval is a whole number and a unit: INTERVAL '1' DAY"));
        }
        let unit = self.name("a unit of time")?.to_ascii_lowercase();
        self.over(at, 0, Node::Interval { count: count.trim().to_owned(), unit })
    }

    pub(super) fn call(&mut self, at: usize) -> Result<Expr, Fault> {
        let name = self.name("a function")?.to_ascii_lowercase();
        self.expect_symbol("(")?;
        let mut call = Call {
            name,
            arguments: Vec::new(),
            star: false,
            distinct: false,
            order: Vec::new(),
            filter: None,
            over: None,
        };
        if self.is_symbol("*") && self.is_symbol_at(1, ")") {
            self.advance();
            call.star = true;
        } else if !self.is_symbol(")") {
            call.distinct = self.take_word("distinct");
            call.arguments.push(self.expr()?);
            while self.take_symbol(",") {
                call.arguments.push(self.expr()?);
                self.bounded(&call.arguments)?;
            }
            if self.take_words(&["order", "by"]) {
                call.order = self.order_list()?;
            }
        }
        if self.is_symbol("->") {
            return Err(fault(self.at(), "functions as arguments (x -> ...) are not supported"));
        }
        self.expect_symbol(")")?;
        let mut height = highest(&call.arguments);
        if self.is_word("filter") && self.is_symbol_at(1, "(") {
            self.next_after("(")?;
            self.expect_word("where")?;
            let filter = self.expr()?;
            self.expect_symbol(")")?;
            height = height.max(filter.height);
            call.filter = Some(filter);
        }
        if self.is_word("over") && self.is_symbol_at(1, "(") {
            self.next_after("(")?;
            let window = self.window()?;
            height = height.max(highest(&window.partition));
            height = window.order.iter().fold(height, |height, order| height.max(order.expr.height));
            call.over = Some(window);
        }
        height = call.order.iter().fold(height, |height, order| height.max(order.expr.height));
        self.over(at, height, Node::Call(Box::new(call)))
    }

    fn window(&mut self) -> Result<Window, Fault> {
        let mut window = Window { partition: Vec::new(), order: Vec::new(), frame: String::new() };
        if self.take_words(&["partition", "by"]) {
            window.partition.push(self.expr()?);
            while self.take_symbol(",") {
                window.partition.push(self.expr()?);
                self.bounded(&window.partition)?;
            }
        }
        if self.take_words(&["order", "by"]) {
            window.order = self.order_list()?;
        }
        while !self.take_symbol(")") {
            let known =
                ["rows", "range", "between", "and", "unbounded", "preceding", "following", "current", "row"];
            let word = match self.peek() {
                Token::Name { text, quoted: false } => {
                    known.iter().find(|word| text.eq_ignore_ascii_case(word)).map(|word| (*word).to_owned())
                }
                Token::Number(number) => number.parse::<u32>().ok().map(|number| number.to_string()),
                _ => None,
            };
            let word = word.ok_or_else(|| self.unexpected(")"))?;
            window.frame.push(' ');
            window.frame.push_str(&word);
            self.advance();
        }
        Ok(window)
    }
}
