//! The option `tag` of a container: as much of the engine's template language as tags are written in.
//!
//! ```text
//! template   text and {{ pipeline }}; {{- and -}} eat the blanks beside them
//! pipeline   call | call ...        the value so far is the last argument of the next call
//! call       .Field   "text"   index .ContainerLabels "name"
//!            lower x   upper x   title x   truncate x 12   pad x 1 2   (a call in brackets is an argument)
//! ```
//!
//! It is evaluated once, when the container starts, as the engine does for its own drivers. `.Name` has no slash before
//! it. What is not known here refuses the container with a text that says what is.

use std::collections::BTreeMap;

/// What a template can say.
pub struct Facts<'f> {
    pub id: &'f str,
    /// Without the slash.
    pub name: &'f str,
    pub image_id: &'f str,
    pub image_name: &'f str,
    pub daemon_name: &'f str,
    pub command: &'f str,
    pub created: &'f str,
    pub labels: &'f BTreeMap<String, String>,
}

/// Longest tag, as for other inputs.
const MAX: usize = crate::base::limits::TAG_BYTES;
const FIELDS: &str = ".ID, .FullID, .Name, .ImageID, .ImageFullID, .ImageName, .DaemonName, .Hostname, .Command, \
                      .ContainerCreated and index .ContainerLabels \"name\"";

/// The tag a template gives for a container.
pub fn render(template: &str, facts: &Facts<'_>) -> Result<String, String> {
    let mut tag = String::new();
    let mut rest = template;
    let mut trim = false;
    while let Some((before, from)) = rest.split_once("{{") {
        let (inside, behind) =
            from.split_once("}}").ok_or("has {{ without }}; write {{.Name}} or {{.ID}}")?;
        let (inside, trim_before) = match inside.strip_prefix("- ") {
            Some(inside) => (inside, true),
            None => (inside, false),
        };
        let before = if trim { before.trim_start() } else { before };
        tag.push_str(if trim_before { before.trim_end() } else { before });
        let (inside, trim_behind) = match inside.strip_suffix(" -") {
            Some(inside) => (inside, true),
            None => (inside, false),
        };
        let mut words = Words { rest: inside };
        tag.push_str(&pipeline(&mut words, facts, 0)?);
        if let Some(word) = words.next()? {
            return Err(format!("has {word:?} too many in {{{{{inside}}}}}"));
        }
        trim = trim_behind;
        rest = behind;
    }
    tag.push_str(if trim { rest.trim_start() } else { rest });
    match tag.len() {
        0 => Err("is empty for this container".to_owned()),
        1..=MAX => Ok(tag),
        len => Err(format!("is {len} bytes long for this container; at most {MAX} are possible")),
    }
}

#[derive(Debug, PartialEq)]
enum Word {
    Open,
    Close,
    Pipe,
    Text(String),
    Number(usize),
    Name(String),
}

struct Words<'t> {
    rest: &'t str,
}

impl Words<'_> {
    fn next(&mut self) -> Result<Option<Word>, String> {
        self.rest = self.rest.trim_start();
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        let symbol = match first {
            '(' => Some(Word::Open),
            ')' => Some(Word::Close),
            '|' => Some(Word::Pipe),
            _ => None,
        };
        if let Some(symbol) = symbol {
            self.take(1);
            return Ok(Some(symbol));
        }
        if first == '"' || first == '`' {
            return self.text(first).map(Some);
        }
        let end = self.rest.find([' ', '\t', '|', '(', ')', '"']).unwrap_or(self.rest.len());
        let word = self.take(end);
        Ok(Some(match word.parse() {
            Ok(number) => Word::Number(number),
            Err(_) => Word::Name(word),
        }))
    }

    fn text(&mut self, quote: char) -> Result<Word, String> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, char)) = chars.next() {
            match char {
                _ if char == quote => {
                    self.take(at + 1);
                    return Ok(Word::Text(text));
                }
                '\\' if quote == '"' => match chars.next() {
                    Some((_, char @ ('"' | '\\'))) => text.push(char),
                    Some((_, 't')) => text.push('\t'),
                    _ => return Err("has a backslash before something else than \\, \" or t".to_owned()),
                },
                char => text.push(char),
            }
        }
        Err("has a text without its closing quote".to_owned())
    }

    fn take(&mut self, len: usize) -> String {
        let (taken, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken.to_owned()
    }

    fn peek(&mut self) -> Result<Option<Word>, String> {
        let rest = self.rest;
        let word = self.next();
        self.rest = rest;
        word
    }
}

#[derive(Clone, Debug)]
enum Value {
    Text(String),
    Number(usize),
    Labels,
}

impl Value {
    fn text(self) -> Result<String, String> {
        match self {
            Value::Text(text) => Ok(text),
            Value::Number(number) => Ok(number.to_string()),
            Value::Labels => {
                Err("has .ContainerLabels without index; write index .ContainerLabels \"name\"".to_owned())
            }
        }
    }

    fn number(self) -> Result<usize, String> {
        match self {
            Value::Number(number) => Ok(number.min(MAX)),
            _ => Err("has a text where a number belongs".to_owned()),
        }
    }
}

/// Brackets within brackets.
const DEPTH: usize = 8;

fn pipeline(words: &mut Words<'_>, facts: &Facts<'_>, depth: usize) -> Result<String, String> {
    let mut value = call(words, None, facts, depth)?;
    while words.peek()? == Some(Word::Pipe) {
        words.next()?;
        value = call(words, Some(value), facts, depth)?;
    }
    value.text()
}

/// One call with its arguments; `piped` is the last of them.
fn call(
    words: &mut Words<'_>,
    piped: Option<Value>,
    facts: &Facts<'_>,
    depth: usize,
) -> Result<Value, String> {
    let function = match words.peek()? {
        Some(Word::Name(name)) if !name.starts_with('.') => {
            words.next()?;
            Some(name)
        }
        _ => None,
    };
    let mut arguments = Vec::new();
    loop {
        let value = match words.peek()? {
            None | Some(Word::Pipe | Word::Close) => break,
            Some(Word::Text(text)) => Value::Text(text),
            Some(Word::Number(number)) => Value::Number(number),
            Some(Word::Name(name)) => field(&name, facts)?,
            Some(Word::Open) if depth < DEPTH => {
                words.next()?;
                let value = pipeline(words, facts, depth + 1)?;
                if words.peek()? != Some(Word::Close) {
                    return Err("has ( without )".to_owned());
                }
                Value::Text(value)
            }
            Some(Word::Open) => return Err("has too many brackets within each other".to_owned()),
        };
        words.next()?;
        arguments.push(value);
    }
    arguments.extend(piped);
    apply(function.as_deref(), arguments, facts)
}

fn field(name: &str, facts: &Facts<'_>) -> Result<Value, String> {
    let text = match name {
        ".ID" => short(facts.id),
        ".FullID" | ".ContainerID" => facts.id,
        ".Name" | ".ContainerName" => facts.name,
        ".ImageID" => short(facts.image_id.strip_prefix("sha256:").unwrap_or(facts.image_id)),
        ".ImageFullID" | ".ContainerImageID" => facts.image_id,
        ".ImageName" | ".ContainerImageName" => facts.image_name,
        ".DaemonName" => facts.daemon_name,
        ".Command" => facts.command,
        ".ContainerCreated" => facts.created,
        ".Hostname" => return Ok(Value::Text(crate::base::host::name())),
        ".ContainerLabels" => return Ok(Value::Labels),
        _ => return Err(format!("has {name}, which is none of {FIELDS}")),
    };
    Ok(Value::Text(text.to_owned()))
}

fn apply(function: Option<&str>, arguments: Vec<Value>, facts: &Facts<'_>) -> Result<Value, String> {
    let count = arguments.len();
    let mut arguments = arguments.into_iter();
    let mut next = || arguments.next().ok_or_else(|| "misses an argument".to_owned());
    let wrong = |name: &str, wants: usize| Err(format!("gives {name} {count} arguments; it has {wants}"));
    let text = match (function, count) {
        (None, 1) => return next(),
        (None, 0) => return Err("has {{}} with nothing in it".to_owned()),
        (None, _) => return Err("has several values beside each other; use a function or |".to_owned()),
        (Some("index"), 2) => match (next()?, next()?) {
            (Value::Labels, name) => facts.labels.get(&name.text()?).cloned().unwrap_or_default(),
            _ => return Err("can use index only as index .ContainerLabels \"name\"".to_owned()),
        },
        (Some("lower"), 1) => next()?.text()?.to_lowercase(),
        (Some("upper"), 1) => next()?.text()?.to_uppercase(),
        (Some("title"), 1) => title(&next()?.text()?),
        (Some("truncate"), 2) => {
            let (text, len) = (next()?.text()?, next()?.number()?);
            text.chars().take(len).collect()
        }
        (Some("pad"), 3) => {
            let (text, before, behind) = (next()?.text()?, next()?.number()?, next()?.number()?);
            if text.is_empty() { text } else { format!("{:before$}{text}{:behind$}", "", "") }
        }
        (Some("index"), _) => return wrong("index", 2),
        (Some("truncate"), _) => return wrong("truncate", 2),
        (Some("pad"), _) => return wrong("pad", 3),
        (Some(name @ ("lower" | "upper" | "title")), _) => return wrong(name, 1),
        (Some(name), _) => {
            return Err(format!("calls {name}; known are index, lower, upper, title, truncate and pad"));
        }
    };
    Ok(Value::Text(text))
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn title(text: &str) -> String {
    let mut begins = true;
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if begins {
            out.extend(char.to_uppercase());
        } else {
            out.push(char);
        }
        begins = !char.is_alphanumeric();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(template: &str) -> Result<String, String> {
        let labels = BTreeMap::from([("com.x/team".to_owned(), "Core".to_owned())]);
        let facts = Facts {
            id: "5525e4dd680f02ef223d612c",
            name: "web-1",
            image_id: "sha256:c58eb1f3dad4e4415deb",
            image_name: "busybox:local",
            daemon_name: "docker",
            command: "sh -c true",
            created: "2026-11-22T23:05:37Z",
            labels: &labels,
        };
        render(template, &facts)
    }

    #[test]
    fn templates_give_what_the_engine_would() {
        for (template, tag) in [
            ("docker.{{.Name}}.{{.ID}}", "docker.web-1.5525e4dd680f"),
            ("{{.ImageName}}/{{ .ImageID }}", "busybox:local/c58eb1f3dad4"),
            (r#"{{index .ContainerLabels "com.x/team"}}"#, "Core"),
            (r#"t.{{index .ContainerLabels "com.x/team" | lower}}"#, "t.core"),
            (r#"t.{{ lower (index .ContainerLabels "none") }}"#, "t."),
            ("{{upper .Name}}-{{truncate .FullID 4}}-{{title \"a b\"}}", "WEB-1-5525-A B"),
            ("a {{- .DaemonName -}} b", "adockerb"),
            ("{{pad .Name 1 1}}|", " web-1 |"),
            ("{{`raw\\`}}", "raw\\"),
            ("plain", "plain"),
        ] {
            assert_eq!(rendered(template).as_deref(), Ok(tag), "{template}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (template, what) in [
            ("{{.Nmae}}", "none of .ID"),
            ("{{.ID", "without }}"),
            ("{{json .Name}}", "calls json"),
            ("{{.ContainerLabels}}", "without index"),
            ("{{lower}}", "0 arguments"),
            ("{{.ID .Name}}", "several values"),
            ("{{(.ID}}", "( without )"),
            ("{{.ID)}}", "too many"),
            ("{{\"a}}", "closing quote"),
            ("{{}}", "nothing in it"),
            ("", "is empty"),
            ("{{index .ContainerLabels \"none\"}}", "is empty"),
            ("{{pad .ID 4000 4000}}", "at most 4096"),
            ("{{((((((((((.ID))))))))))}}", "brackets"),
        ] {
            let error = rendered(template).unwrap_err();
            assert!(error.contains(what), "{template}: {error}");
        }
    }
}
