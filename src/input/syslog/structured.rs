//! Structured data of RFC 5424, read without copying.
//!
//! ```text
//! [exampleSDID@32473 iut="3" eventSource="App\"x\""][other]     in a value, \" \\ \] stand for the second character
//! ```
//!
//! Ids and names may be longer than the RFC's 32 characters and use any character that does not end them; a `]` inside
//! quotes needs no backslash, since many senders forget it.

use std::ops::Range;

/// One parameter; of an element without any, one with an empty name and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    pub id: Range<usize>,
    pub name: Range<usize>,
    pub value: Range<usize>,
    /// The value holds backslashes.
    pub has_escapes: bool,
}

/// Goes over the parameters of the elements that begin at a place of a text.
#[derive(Clone, Debug)]
pub struct Params<'t> {
    text: &'t [u8],
    at: usize,
    id: Option<Range<usize>>,
    had_params: bool,
    is_broken: bool,
}

/// Where the elements that begin at `at` end; `None` when there are none or one is not well-formed.
pub fn end_of(text: &[u8], at: usize) -> Option<usize> {
    let mut params = Params::new(text, at);
    while params.next().is_some() {}
    (!params.is_broken && params.at > at).then_some(params.at)
}

impl<'t> Params<'t> {
    pub fn new(text: &'t [u8], at: usize) -> Params<'t> {
        Params { text, at, id: None, had_params: false, is_broken: false }
    }

    /// The next parameter; `Ok(None)` behind the last element.
    fn step(&mut self) -> Result<Option<Param>, ()> {
        loop {
            let Some(id) = self.id.clone() else {
                if self.text.get(self.at) != Some(&b'[') {
                    return Ok(None);
                }
                let id = self.name(self.at + 1)?;
                self.at = id.end;
                self.id = Some(id);
                self.had_params = false;
                continue;
            };
            while self.text.get(self.at) == Some(&b' ') {
                self.at += 1;
            }
            if self.text.get(self.at) == Some(&b']') {
                let end = self.at;
                self.at += 1;
                self.id = None;
                if !self.had_params {
                    return Ok(Some(Param { id, name: end..end, value: end..end, has_escapes: false }));
                }
                continue;
            }
            self.had_params = true;
            let name = self.name(self.at)?;
            if !self.text[name.end..].starts_with(b"=\"") {
                return Err(());
            }
            let from = name.end + 2;
            let (mut to, mut has_escapes) = (from, false);
            loop {
                to += memchr::memchr2(b'"', b'\\', self.text.get(to..).ok_or(())?).ok_or(())?;
                if self.text[to] == b'"' {
                    break;
                }
                has_escapes = true;
                to += 2;
            }
            self.at = to + 1;
            return Ok(Some(Param { id, name, value: from..to, has_escapes }));
        }
    }

    /// An id or a parameter's name, which is not empty.
    fn name(&self, from: usize) -> Result<Range<usize>, ()> {
        let rest = self.text.get(from..).ok_or(())?;
        let len =
            rest.iter().position(|byte| matches!(byte, b' ' | b'=' | b']' | b'"' | 0..0x20)).ok_or(())?;
        if len == 0 { Err(()) } else { Ok(from..from + len) }
    }
}

impl Iterator for Params<'_> {
    type Item = Param;

    fn next(&mut self) -> Option<Param> {
        if self.is_broken {
            return None;
        }
        self.step().unwrap_or_else(|()| {
            self.is_broken = true;
            None
        })
    }
}

/// Appends a value without its backslashes; one before any other character than `"`, `\` and `]` stays, as RFC 5424 says.
pub fn append_unescaped(out: &mut Vec<u8>, value: &[u8]) {
    let mut clean = 0;
    while let Some(place) = memchr::memchr(b'\\', &value[clean..]) {
        let at = clean + place;
        match value.get(at + 1) {
            Some(b'"' | b'\\' | b']') => {
                out.extend_from_slice(&value[clean..at]);
                out.push(value[at + 1]);
                clean = at + 2;
            }
            _ => {
                out.extend_from_slice(&value[clean..=at]);
                clean = at + 1;
            }
        }
    }
    out.extend_from_slice(&value[clean..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(Vec<(String, String)>, &str)> {
        let end = end_of(text.as_bytes(), 0)?;
        let params = Params::new(text.as_bytes(), 0).map(|param| {
            let mut value = Vec::new();
            append_unescaped(&mut value, &text.as_bytes()[param.value.clone()]);
            assert_eq!(param.has_escapes, text[param.value].contains('\\'));
            (format!("{}.{}", &text[param.id], &text[param.name]), String::from_utf8(value).unwrap())
        });
        Some((params.collect(), &text[end..]))
    }

    #[test]
    fn elements_are_read_to_their_end() {
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(
            read(
                r#"[exampleSDID@32473 iut="3" eventSource="Application"][examplePriority@32473 class="high"] text"#
            ),
            Some((
                pairs(&[
                    ("exampleSDID@32473.iut", "3"),
                    ("exampleSDID@32473.eventSource", "Application"),
                    ("examplePriority@32473.class", "high")
                ]),
                " text"
            ))
        );
        assert_eq!(
            read(r#"[a x="q\"b\\s\]c\n" y="]" z=""]"#),
            Some((pairs(&[("a.x", r#"q"b\s]c\n"#), ("a.y", "]"), ("a.z", "")]), ""))
        );
        assert_eq!(read("[a][b  x=\"1\" ] [c]"), Some((pairs(&[("a.", ""), ("b.x", "1")]), " [c]")));
    }

    #[test]
    fn what_is_not_well_formed_is_none() {
        for broken in [
            "",
            "-",
            "text",
            "[",
            "[]",
            "[ a]",
            "[a",
            "[a ",
            "[a x",
            "[a x=1]",
            r#"[a x="1]"#,
            r#"[a x="1\"#,
            "[a][",
            r#"[a ="1"]"#,
            "[a\n]",
        ] {
            assert_eq!(read(broken), None, "{broken}");
        }
    }
}
