//! Types of columns and expressions, and what a field of a log is in SQLite.
//!
//! A log's values are text. A field whose index says `long` or `double` is a number, NULL where its text is none. A field
//! without an index is whatever it is used as: a number where it is computed with or compared with a number, text where it
//! is compared with a text, grouped or shown; where it is ordered, or its least or greatest is sought, a number if its text
//! is the usual form of one, else text. Each use has its own column in the temporary table.

/// What an expression gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// Known by its values only; a field of the log as text.
    Any,
    /// Known by its values only; numbers are numbers.
    Mixed,
    /// Whole or not, known by its values.
    Number,
    Int,
    Double,
    Text,
    Bool,
    /// Text `2026-01-31 12:00:00.000`, UTC.
    Time,
    /// Text `2026-01-31`.
    Date,
    /// Text.
    Json,
}

impl Type {
    pub(super) fn is_number(self) -> bool {
        matches!(self, Type::Number | Type::Int | Type::Double)
    }

    /// Known by its values only.
    pub(super) fn is_open(self) -> bool {
        matches!(self, Type::Any | Type::Mixed)
    }

    /// What two branches have in common.
    pub(super) fn or(self, other: Type) -> Type {
        match (self, other) {
            _ if self == other => self,
            _ if self.is_number() && other.is_number() => Type::Number,
            (Type::Mixed, _) | (_, Type::Mixed) => Type::Mixed,
            _ => Type::Any,
        }
    }
}

/// How a value is to be given by an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// As it is; a field without a type as text.
    Any,
    /// A number or NULL.
    Number,
    Text,
    /// A field without a type as number where it is the usual form of one, else as text.
    Natural,
}

/// A field that a statement names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Column {
    /// `__time__`: seconds since 1970.
    Time,
    /// `__time_ns_part__`
    TimeNs,
    Source,
    Topic,
    Tag(String),
    Field(String),
    /// A field of this very name or, where a log has none, the value at this path (`payload.user.id`, the parts behind a
    /// dot) in the JSON of the field that its first part names.
    JsonPath(String),
}

impl Column {
    /// What a name of a statement means.
    pub(super) fn named(name: &str) -> Column {
        match name {
            "__time__" => Column::Time,
            "__time_ns_part__" => Column::TimeNs,
            "__source__" => Column::Source,
            "__topic__" => Column::Topic,
            _ => match name.strip_prefix("__tag__:") {
                Some(tag) => Column::Tag(tag.to_owned()),
                None if name.contains('.') => Column::JsonPath(name.to_owned()),
                None => Column::Field(name.to_owned()),
            },
        }
    }
}

/// What an index says of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Long,
    Double,
    Json,
}

/// The fields an index knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(pub Vec<(String, Kind)>);

impl Fields {
    pub(super) fn kind(&self, name: &str) -> Option<Kind> {
        let exact = self.0.iter().find(|(known, _)| known == name);
        exact
            .or_else(|| self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)))
            .map(|(_, kind)| *kind)
    }

    /// As the index spells it.
    pub(super) fn spelled<'a>(&'a self, name: &'a str) -> &'a str {
        if self.0.iter().any(|(known, _)| known == name) {
            return name;
        }
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or(name, |(known, _)| known)
    }
}

/// What a column of the temporary table holds of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Number,
    Natural,
}
