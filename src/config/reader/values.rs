//! Single values: each typed in one way, with its bounds, from text in which `${env:...}` and `${file:...}` are filled in.
//!
//! A text key whose YAML value is a number or a boolean is a fault, never a conversion. No fault shows what a secret
//! or a file holds, only what was typed.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use config::ValueKind;

use super::Leaf;
use crate::base::secret::Secret;
use crate::config::endpoint::Endpoint;
use crate::config::leaf::{Address, duration_text, parse_duration, parse_size, size_text};
use crate::config::placeholder::{Piece, cut, fill};
use crate::config::template::Template;

/// How a secret shows where it must not: a configuration that was printed has lost it.
const HIDDEN: &str = "***";
/// Turns off what is on by a duration.
const OFF: &str = "off";

impl Leaf<'_> {
    pub(in crate::config) fn text(self) -> Option<String> {
        self.parsed("text", |text| Ok(text.to_owned()))
    }

    /// Text that `check` accepts; its error says what would be right.
    pub(in crate::config) fn parsed<T>(
        self,
        kind: &str,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let typed = self.typed_text(kind)?;
        let text = self.filled(&typed, None)?;
        check(&text).map_err(|what| self.fault(format!("`{typed}` {what}"))).ok()
    }

    /// As [`Leaf::parsed`], of text in which `${mark}` stays as it is: what it stands for is known later.
    pub(in crate::config) fn marked<T>(
        self,
        mark: &str,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let typed = self.typed_text("text")?;
        let text = self.filled(&typed, Some(mark))?;
        check(&text).map_err(|what| self.fault(format!("`{typed}` {what}"))).ok()
    }

    /// One value or a list of at least one; in one text, and so in an environment variable, commas separate them.
    pub(in crate::config) fn several<T>(
        self,
        kind: &str,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        self.separated(kind, |text| text.split(',').map(str::trim).collect(), check)
    }

    /// As [`Leaf::several`], of texts that may hold commas: what is no list is one.
    pub(in crate::config) fn one_or_more<T>(
        self,
        kind: &str,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        self.separated(kind, |text| vec![text], check)
    }

    /// As [`Leaf::several`], with separators that the caller knows.
    pub(in crate::config) fn separated<T>(
        self,
        kind: &str,
        separate: impl Fn(&str) -> Vec<&str>,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        if let Some(ValueKind::Array(items)) = self.value.as_ref().map(|value| &value.kind) {
            if items.is_empty() {
                self.fault(format!("is an empty list; write at least {kind}"));
                return None;
            }
            return Some(self.list().into_iter().filter_map(|leaf| leaf.parsed(kind, &check)).collect());
        }
        let each = |text: &str| separate(text).into_iter().map(&check).collect();
        self.parsed(&format!("{kind}, or a list of them"), each)
    }

    /// As [`Leaf::several`], and an empty list or text is none.
    pub(in crate::config) fn any_number<T>(
        self,
        kind: &str,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        if self.is_empty() { Some(Vec::new()) } else { self.several(kind, check) }
    }

    /// An empty list or text.
    pub(in crate::config) fn is_empty(&self) -> bool {
        match self.value.as_ref().map(|value| &value.kind) {
            Some(ValueKind::Array(items)) => items.is_empty(),
            Some(ValueKind::String(text)) => text.is_empty(),
            _ => false,
        }
    }

    pub(in crate::config) fn secret(self) -> Option<Secret> {
        let secret = self.secret_or_empty()?;
        if secret.expose().is_empty() {
            self.fault("is empty");
            return None;
        }
        Some(secret)
    }

    /// Text that may hold a secret: neither a fault nor `check` shows it.
    pub(in crate::config) fn parsed_secretly<T>(
        &self,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let secret = self.secret_or_empty()?;
        check(secret.expose()).map_err(|what| self.fault(what)).ok()
    }

    /// One secret or a list of any number; in one text, and so in an environment variable or a file, commas separate them.
    /// `check` says what is wrong with one, without showing it.
    pub(in crate::config) fn secrets(
        self,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Option<Vec<Secret>> {
        let one = |leaf: &Leaf<'_>, secret: &str| match check(secret) {
            Ok(()) => Some(Secret::new(secret.to_owned())),
            Err(what) => {
                leaf.fault(what);
                None
            }
        };
        // Each is looked at, also behind one that is faulty.
        let each: Vec<Option<Secret>> = if matches!(self.value.as_ref()?.kind, ValueKind::Array(_)) {
            let leaves = self.list().into_iter();
            leaves.map(|leaf| one(&leaf, leaf.secret_or_empty()?.expose())).collect()
        } else {
            let text = self.secret_or_empty()?;
            text.expose().split(',').map(|secret| one(&self, secret.trim())).collect()
        };
        each.into_iter().collect()
    }

    /// A secret of whose length the caller judges.
    pub(in crate::config) fn secret_or_empty(&self) -> Option<Secret> {
        let typed = self.typed_text("text")?;
        let text = self.filled(&typed, None)?;
        if text == HIDDEN {
            self.fault(
                "is *** as `check --print` hides it; write the secret itself, ${env:NAME} or ${file:/path}",
            );
            return None;
        }
        Some(Secret::new(text))
    }

    pub(in crate::config) fn template(self) -> Option<Template> {
        let typed = self.typed_text("text")?;
        let pieces = self.pieces(&typed)?;
        Template::from_pieces(pieces).map_err(|what| self.fault(format!("`{typed}` {what}"))).ok()
    }

    pub(in crate::config) fn address(self) -> Option<Address> {
        self.parsed("an address as host:port", Address::parse)
    }

    pub(in crate::config) fn endpoint(self) -> Option<Endpoint> {
        self.parsed("an endpoint as https://host", Endpoint::parse)
    }

    pub(in crate::config) fn size(self, range: RangeInclusive<u64>) -> Option<u64> {
        let bytes = match self.integer_value() {
            Some(number) => u64::try_from(number).map_err(|_| self.fault("is no size; write 64MiB")).ok()?,
            None => self.parsed_ref("a size such as 64MiB", parse_size)?,
        };
        self.within(bytes, range, |bytes| size_text(*bytes))
    }

    pub(in crate::config) fn duration(self, range: RangeInclusive<Duration>) -> Option<Duration> {
        if let Some(number) = self.integer_value() {
            self.fault(format!("`{number}` has no unit; write {number}s (units: ms, s, m, h)"));
            return None;
        }
        let duration = self.parsed_ref("a duration such as 60s", parse_duration)?;
        self.within(duration, range, |duration| duration_text(*duration))
    }

    /// A duration, or `off`.
    pub(in crate::config) fn duration_or_off(
        self,
        range: RangeInclusive<Duration>,
    ) -> Option<Option<Duration>> {
        if self.integer_value().is_some() {
            return self.duration(range).map(Some);
        }
        let typed = self.parsed_ref("a duration such as 60s, or off", |text| {
            if text == OFF {
                return Ok(None);
            }
            parse_duration(text).map(Some).map_err(|what| format!("{what}, or {OFF}"))
        })?;
        match typed {
            Some(duration) => self.within(duration, range, |duration| duration_text(*duration)).map(Some),
            None => Some(None),
        }
    }

    pub(in crate::config) fn integer(self, range: RangeInclusive<usize>) -> Option<usize> {
        let number = match self.integer_value() {
            Some(number) => usize::try_from(number).map_err(|_| self.fault("is out of bounds")).ok()?,
            None => self.parsed_ref("a whole number", |text| {
                text.parse().map_err(|_| "is not a whole number".to_owned())
            })?,
        };
        self.within(number, range, usize::to_string)
    }

    pub(in crate::config) fn boolean(self) -> Option<bool> {
        self.choice(&[("true", true), ("false", false)])
    }

    /// One of some words; `true` and `false` may be among them, as text or as YAML booleans.
    pub(in crate::config) fn choice<T: Copy>(self, words: &[(&str, T)]) -> Option<T> {
        let find = |text: &str| words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        let all = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        let wrong = || format!("is not one of {all}");
        match self.value.as_ref()?.kind {
            ValueKind::Boolean(value) => {
                let text = value.to_string();
                find(&text).or_else(|| {
                    self.fault(format!("`{text}` {}", wrong()));
                    None
                })
            }
            ValueKind::String(_) => self.parsed("", |text| find(text).ok_or_else(wrong)),
            ValueKind::Table(_) | ValueKind::Array(_) | ValueKind::Nil => {
                self.fault(format!("must be one of {all}"));
                None
            }
            _ => {
                self.fault(format!("is a number to YAML; put it in quotes, as one of {all}"));
                None
            }
        }
    }

    fn parsed_ref<T>(&self, kind: &str, check: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.clone().parsed(kind, check)
    }

    fn within<T: PartialOrd>(
        &self,
        value: T,
        range: RangeInclusive<T>,
        show: impl Fn(&T) -> String,
    ) -> Option<T> {
        if range.contains(&value) {
            return Some(value);
        }
        self.fault(format!(
            "is {}; it must lie between {} and {}",
            show(&value),
            show(range.start()),
            show(range.end())
        ));
        None
    }

    fn integer_value(&self) -> Option<i128> {
        match self.value.as_ref()?.kind {
            ValueKind::I64(number) => Some(number.into()),
            ValueKind::U64(number) => Some(number.into()),
            ValueKind::I128(number) => Some(number),
            ValueKind::U128(number) => i128::try_from(number).ok(),
            _ => None,
        }
    }

    /// The text as typed, before placeholders.
    fn typed_text(&self, kind: &str) -> Option<String> {
        match &self.value.as_ref()?.kind {
            ValueKind::String(text) => Some(text.clone()),
            ValueKind::Nil => {
                self.fault("has no value; give it one or leave the key out");
                None
            }
            ValueKind::Boolean(_) => {
                self.fault("is a boolean to YAML where text belongs; put it in quotes");
                None
            }
            ValueKind::Table(_) | ValueKind::Array(_) => self.wrong(kind),
            _ => {
                self.fault("is a number to YAML where text belongs; put it in quotes");
                None
            }
        }
    }

    /// Text of a key that takes no template; `${mark}` stays.
    fn filled(&self, typed: &str, mark: Option<&str>) -> Option<String> {
        let mut text = String::new();
        let mut marks = 0;
        for piece in self.pieces(typed)? {
            match piece {
                Piece::Literal(literal) => text.push_str(&literal),
                Piece::Placeholder(inner) if mark == Some(&inner) => {
                    marks += 1;
                    text.push_str(&written(&inner));
                }
                Piece::Placeholder(inner) => {
                    let mark = mark.map(|mark| written(mark) + ", ").unwrap_or_default();
                    self.fault(format!(
                        "has ${{{inner}}}, which this key does not take; here are {mark}${{env:NAME}} and ${{file:/path}}, \
                         and $${{ stands for ${{"
                    ));
                    return None;
                }
            }
        }
        // Where a mark is looked for later, text that only looks like one, or hides its $, would be misread.
        if let Some(mark) = mark.map(written)
            && (text.matches(&mark).count() != marks || text.contains(&format!("${mark}")))
        {
            self.fault(format!("has the text {mark} where no placeholder was written, or a $ before it"));
            return None;
        }
        Some(text)
    }

    fn pieces(&self, typed: &str) -> Option<Vec<Piece>> {
        let pieces = cut(typed).map_err(|what| self.fault(what)).ok()?;
        let files = pieces.iter().filter_map(|piece| match piece {
            Piece::Placeholder(inner) => inner.strip_prefix("file:").map(PathBuf::from),
            Piece::Literal(_) => None,
        });
        self.context.files.borrow_mut().extend(files);
        let report = |faults: Vec<String>| faults.iter().for_each(|what| self.fault(what));
        fill(pieces, &self.context.env).map_err(report).ok()
    }
}

/// A placeholder as it is typed.
fn written(inner: &str) -> String {
    format!("${{{inner}}}")
}
