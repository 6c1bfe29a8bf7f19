//! Looking into JSON that somebody wrote: values by key and type, and complaints that name the key.

use serde_json::{Map, Value};

use crate::store::Refused;

/// A JSON object.
pub type Object = Map<String, Value>;

/// An object, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    /// Path of its key; empty for the whole.
    path: &'a str,
    object: &'a Object,
}

/// What a value is to be.
#[derive(Clone, Copy)]
pub(super) enum Type {
    Text,
    Flag,
    Number,
    Texts,
    Object,
    Objects,
}

impl<'a> Fields<'a> {
    pub(super) fn new(path: &'a str, object: &'a Object) -> Self {
        Fields { path, object }
    }

    /// A complaint about one of the keys.
    pub(super) fn wrong(&self, key: &str, reason: impl std::fmt::Display) -> Refused {
        let dot = if self.path.is_empty() { "" } else { "." };
        Refused::Parameter(format!("{}{dot}{key}: {reason}", self.path))
    }

    /// One that is null counts as absent.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn check(&self, key: &str, wanted: Type) -> Result<(), Refused> {
        match wanted {
            Type::Text => self.text(key).map(drop),
            Type::Flag => self.as_type(key, "true or false", Value::as_bool).map(drop),
            Type::Number => self.number(key).map(drop),
            Type::Texts => self.texts(key).map(drop),
            Type::Object => self.object(key).map(drop),
            Type::Objects => self.objects(key).map(drop),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, Refused> {
        self.as_type(key, "text", Value::as_str)
    }

    /// Text that has to be there, and not empty.
    pub(super) fn needed_text(&self, key: &str) -> Result<&'a str, Refused> {
        self.text(key)?.filter(|text| !text.is_empty()).ok_or_else(|| self.wrong(key, "is missing"))
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<i64>, Refused> {
        self.as_type(key, "a whole number", Value::as_i64)
    }

    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<&'a str>>, Refused> {
        self.as_type(key, "a list of texts", |value| value.as_array()?.iter().map(Value::as_str).collect())
    }

    pub(super) fn object(&self, key: &str) -> Result<Option<&'a Object>, Refused> {
        self.as_type(key, "an object", Value::as_object)
    }

    pub(super) fn objects(&self, key: &str) -> Result<Option<Vec<&'a Object>>, Refused> {
        self.as_type(key, "a list of objects", |value| {
            value.as_array()?.iter().map(Value::as_object).collect()
        })
    }

    pub(super) fn needed_object(&self, key: &str) -> Result<&'a Object, Refused> {
        self.object(key)?.ok_or_else(|| self.wrong(key, "is missing"))
    }

    /// Text that is one of these.
    pub(super) fn one_of(&self, key: &str, choices: &[&str]) -> Result<Option<&'a str>, Refused> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        if choices.contains(&text) {
            return Ok(Some(text));
        }
        let text: String = text.chars().take(100).collect();
        Err(self.wrong(key, format_args!("{text:?} is none of {}", choices.join(", "))))
    }

    fn as_type<T>(
        &self,
        key: &str,
        wanted: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Refused> {
        let Some(value) = self.get(key) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.wrong(key, format_args!("has to be {wanted}")))
    }
}
