//! Templates: text with placeholders that every record fills in, for topics, logstores and added fields.
//!
//! ```text
//! ${tag}          the whole tag              ${record.key}      a field; the key may contain dots
//! ${tag[1]}       one of its dotted parts,   ${record.key:-x}   x when the field is absent or empty
//! ${tag[-1]}      counted from the end       $${                the two characters ${
//! ```
//!
//! What is absent and has no default renders as nothing. A template is parsed once; rendering appends to a buffer of
//! the caller and allocates nothing itself. What it renders comes from the network: whoever needs a name or a bound
//! checks the result (see [`super::names::clean_logstore_name`]).

use super::placeholder::{Piece, cut, escape};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Tag { default: Option<String> },
    TagAt { index: i32, default: Option<String> },
    Record { key: String, default: Option<String> },
}

impl Template {
    /// Parses a template; the error says what is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Template, String> {
        Template::from_pieces(cut(text)?)
    }

    /// A template that renders as this text, whatever it contains.
    pub fn constant(text: &str) -> Template {
        let literal = (!text.is_empty()).then(|| Part::Literal(text.to_owned()));
        Template { parts: literal.into_iter().collect() }
    }

    /// `${tag}`.
    pub fn tag() -> Template {
        Template { parts: vec![Part::Tag { default: None }] }
    }

    pub(super) fn from_pieces(pieces: Vec<Piece>) -> Result<Template, String> {
        let mut parts: Vec<Part> = Vec::with_capacity(pieces.len());
        for piece in pieces {
            match (piece, parts.last_mut()) {
                (Piece::Literal(text), Some(Part::Literal(before))) => before.push_str(&text),
                (Piece::Literal(text), _) => parts.push(Part::Literal(text)),
                (Piece::Placeholder(inner), _) => parts.push(Part::parse(&inner)?),
            }
        }
        Ok(Template { parts })
    }

    /// Appends what this template says for one record. `field` looks a key up in the record.
    pub fn render<'r>(&self, tag: &[u8], field: impl Fn(&[u8]) -> Option<&'r [u8]>, out: &mut Vec<u8>) {
        for part in &self.parts {
            let (found, default) = match part {
                Part::Literal(text) => (Some(text.as_bytes()), &None),
                Part::Tag { default } => (Some(tag), default),
                Part::TagAt { index, default } => (tag_part(tag, *index), default),
                Part::Record { key, default } => (field(key.as_bytes()), default),
            };
            match (found, default) {
                (Some(value), _) if !value.is_empty() => out.extend_from_slice(value),
                (_, Some(text)) => out.extend_from_slice(text.as_bytes()),
                _ => {}
            }
        }
    }

    /// Whether it renders the same for every record.
    pub fn is_constant(&self) -> bool {
        self.as_constant().is_some()
    }

    /// What it renders for every record, if that is the same.
    pub fn as_constant(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether it must be rendered for each record; otherwise once for each tag is enough.
    pub fn needs_record(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Record { .. }))
    }

    /// The template as it would be typed.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for part in &self.parts {
            let (inner, default) = match part {
                Part::Literal(literal) => {
                    text.push_str(&escape(literal));
                    continue;
                }
                Part::Tag { default } => ("tag".to_owned(), default),
                Part::TagAt { index, default } => (format!("tag[{index}]"), default),
                Part::Record { key, default } => (format!("record.{key}"), default),
            };
            text.push_str("${");
            text.push_str(&inner);
            if let Some(default) = default {
                text.push_str(":-");
                text.push_str(default);
            }
            text.push('}');
        }
        text
    }
}

impl Part {
    fn parse(inner: &str) -> Result<Part, String> {
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default.to_owned())),
            None => (inner, None),
        };
        if name == "tag" {
            return Ok(Part::Tag { default });
        }
        if let Some(index) = name.strip_prefix("tag[").and_then(|rest| rest.strip_suffix(']')) {
            let index = index
                .parse()
                .map_err(|_| format!("has ${{{inner}}}; a part of the tag is ${{tag[0]}} or ${{tag[-1]}}"))?;
            return Ok(Part::TagAt { index, default });
        }
        match name.strip_prefix("record.") {
            Some(key) if !key.is_empty() => Ok(Part::Record { key: key.to_owned(), default }),
            _ => Err(format!(
                "has ${{{inner}}}, which is no placeholder; there are ${{tag}}, ${{tag[1]}}, ${{record.key}}, \
                 ${{record.key:-default}}, ${{env:NAME}} and ${{file:/path}}"
            )),
        }
    }
}

fn tag_part(tag: &[u8], index: i32) -> Option<&[u8]> {
    let skip = index.unsigned_abs() as usize;
    if index >= 0 {
        tag.split(|byte| *byte == b'.').nth(skip)
    } else {
        tag.rsplit(|byte| *byte == b'.').nth(skip - 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rendered(template: &str, tag: &str) -> String {
        let template = Template::parse(template).unwrap();
        let mut out = b">".to_vec();
        let field = |key: &[u8]| match key {
            b"name" => Some(&b"web"[..]),
            b"a.b" => Some(&b"dotted"[..]),
            b"empty" => Some(&b""[..]),
            _ => None,
        };
        template.render(tag.as_bytes(), field, &mut out);
        String::from_utf8(out).unwrap()[1..].to_owned()
    }

    #[test]
    fn rendering() {
        for (template, result) in [
            ("", ""),
            ("plain", "plain"),
            ("${tag}", "docker.web.1"),
            ("${tag[0]}-${tag[2]}", "docker-1"),
            ("${tag[-1]}${tag[-3]}", "1docker"),
            ("[${tag[3]}${tag[-4]}]", "[]"),
            ("${tag[9]:-none}", "none"),
            ("app-${record.name}", "app-web"),
            ("${record.a.b}", "dotted"),
            ("${record.missing}", ""),
            ("${record.missing:-un known:-x}", "un known:-x"),
            ("${record.empty:-unknown}", "unknown"),
            ("${record.missing:-}", ""),
            ("$${tag} costs 5$", "${tag} costs 5$"),
        ] {
            assert_eq!(rendered(template, "docker.web.1"), result, "{template}");
        }
        assert_eq!(rendered("${tag:-none}|${tag[0]:-first}", ""), "none|first");
    }

    #[test]
    fn what_a_template_needs() {
        let of = |text: &str| Template::parse(text).unwrap();
        assert_eq!(of("abc").as_constant(), Some("abc"));
        assert_eq!(of("").as_constant(), Some(""));
        assert!(of("$${tag}").is_constant());
        assert!(!of("${tag}").is_constant() && !of("${tag}").needs_record());
        assert!(of("${tag}${record.a}").needs_record());
        assert_eq!(Template::constant("${tag}").as_constant(), Some("${tag}"));
    }

    #[test]
    fn what_is_no_template() {
        for wrong in [
            "${",
            "${}",
            "${tagg}",
            "${tag[}",
            "${tag[x]}",
            "${tag[99999999999]}",
            "${record.}",
            "${record}",
            "${env:A}",
        ] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused_and_prints_as_typed(text in "[a-z.$ {}\\[\\]:-]{0,30}|(\\$\\{(tag|record\\.a\\.b|tag\\[-?[0-9]\\])(:-x?)?\\}|\\$|a){0,6}") {
            if let Ok(template) = Template::parse(&text) {
                prop_assert_eq!(Template::parse(&template.text()).unwrap(), template);
            }
        }
    }
}
