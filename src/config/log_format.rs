//! The line that says how a server writes its access log, as literals and variables: `log_format` of Nginx, `LogFormat` of
//! Apache.
//!
//! ```text
//! log_format main '$remote_addr - $remote_user [$time_local] '  as it stands in nginx.conf, all of it or only its strings,
//!                 '"$request" $status';                         or the bare format
//! LogFormat "%h %l %u %t \"%r\" %>s %b" common                  as it stands in httpd.conf, or the bare format
//! combined                                                      a name that everybody knows
//! ```
//!
//! A variable of Nginx is its field's name; Apache's directives have the names Logtail gives them. A request (`$request`,
//! `%r`) becomes `request_method`, `request_uri` and `request_protocol`. What comes twice is `status` and `status_2`.
//!
//! It refuses a format without variables, and one where two stand side by side: nobody can tell where one ends.

mod apache;
mod nginx;

use super::plan::{Escape, LogFormat, LogPart, LogServer, LogVariable, ValueShape};

/// Variables of one format; more fields than that no record takes.
const VARIABLES: usize = 256;

/// Reads a format as it is typed. The error says what is wrong and what would be right.
pub fn parse(server: LogServer, text: &str) -> Result<LogFormat, String> {
    let typed = text.trim();
    let parts = Parts::default();
    let (parts, escape) = match server {
        LogServer::Nginx => nginx::read(typed, parts)?,
        LogServer::Apache => apache::read(typed, parts)?,
    };
    if parts.variables == 0 {
        let known = match server {
            LogServer::Nginx => format!("a line with variables, as $status, or {}", nginx::NAMES),
            LogServer::Apache => format!("a line with directives, as %>s, or {}", apache::NAMES),
        };
        return Err(format!("is not a log format; write {known}"));
    }
    Ok(LogFormat { server, text: text.to_owned(), escape, parts: parts.list })
}

/// Parts in the making; literals side by side are one.
#[derive(Default)]
struct Parts {
    list: Vec<LogPart>,
    variables: usize,
}

impl Parts {
    fn literal(&mut self, text: &str) {
        match self.list.last_mut() {
            _ if text.is_empty() => {}
            Some(LogPart::Literal(before)) => before.push_str(text),
            _ => self.list.push(LogPart::Literal(text.to_owned())),
        }
    }

    fn variable(&mut self, key: &str, shape: ValueShape) -> Result<(), String> {
        if let Some(LogPart::Variable(before)) = self.list.last() {
            return Err(format!(
                "has nothing between {} and {key}, so nobody can tell where one ends; parse such a line with a regex",
                before.key
            ));
        }
        if self.variables == VARIABLES {
            return Err(format!("has more than {VARIABLES} variables"));
        }
        self.variables += 1;
        let again = |n: usize| format!("{key}_{n}");
        let key = if self.has(key) {
            (2..).map(again).find(|key| !self.has(key)).unwrap_or_default()
        } else {
            key.to_owned()
        };
        self.list.push(LogPart::Variable(LogVariable { key, shape }));
        Ok(())
    }

    fn has(&self, key: &str) -> bool {
        self.list.iter().any(|part| matches!(part, LogPart::Variable(before) if before.key == key))
    }
}

#[cfg(test)]
mod tests;
