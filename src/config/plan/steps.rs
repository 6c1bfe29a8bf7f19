//! The plan of processors: what is done with a record, one step after the other.

use crate::config::linear_regex::LinearRegex;
use crate::config::template::Template;

use super::Condition;

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Sets fields; each value is rendered from the record as it was before this step.
    Add(Vec<(String, Template)>),
    Remove(Vec<String>),
    /// Removes all fields but these.
    Keep(Vec<String>),
    /// From, to; no field is both in one step.
    Rename(Vec<(String, String)>),
    Parse(ParsePlan),
    /// Takes the record's time from a field.
    Time(TimestampPlan),
    /// Only records for which all conditions hold go on; the others are dropped and counted.
    Filter(Vec<(String, Condition)>),
    /// Records for which all conditions hold are dropped and counted.
    Drop(Vec<(String, Condition)>),
    Mask(MaskPlan),
}

/// Makes fields of the text of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsePlan {
    pub format: ParseFormat,
    /// The field whose text is parsed.
    pub key: String,
    /// Keep that field beside what it was parsed into.
    pub keep: bool,
    /// Before each key that was parsed; empty for none.
    pub prefix: String,
    pub on_failure: OnFailure,
}

/// What becomes of a record whose text is not of that format. It is counted in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It stays as it is.
    Keep,
    /// The field is called `__raw_log__`, as Logtail calls it.
    RawLog,
    /// It stays as it is, with its text once more under `__raw_log__`.
    Copy,
    Discard,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseFormat {
    /// An object; its members become fields. Nested ones down to `depth` do, as `a.b`; deeper ones stay compact JSON. 1:
    /// nothing nested does.
    Json {
        depth: usize,
    },
    /// The groups of a match of the whole text, by their names or in the order of these keys.
    Regex {
        regex: LinearRegex,
        keys: Vec<String>,
    },
    /// The variables of a `log_format` or `LogFormat` line.
    LogFormat(LogFormat),
    Delimiter(DelimiterPlan),
}

/// A line of text with variables: what stands between them, and their keys. Made by `config::log_format`, so two variables
/// never stand side by side, and there is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFormat {
    /// Which server's, for metrics and errors.
    pub server: LogServer,
    /// As it was typed.
    pub text: String,
    pub escape: Escape,
    pub parts: Vec<LogPart>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogServer {
    Nginx,
    Apache,
}

/// How a server writes characters in a value that would be taken for its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// Nginx: `\xHH`.
    Hex,
    /// Nginx with `escape=json`: as in a JSON string.
    Json,
    /// Apache: `\"`, `\\`, C's letters and `\xHH`.
    C,
    /// Not at all: a backslash is one.
    None,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPart {
    Literal(String),
    Variable(LogVariable),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogVariable {
    /// The field's name. A request becomes fields of other names, but for one that is none.
    pub key: String,
    pub shape: ValueShape,
}

/// What is known of the values of a variable: which of the blanks behind it may be its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueShape {
    /// None.
    Plain,
    /// It always has so many, as a date does.
    Blanks(usize),
    /// A list: those behind a comma, and those around a colon that stands alone.
    List,
    /// The request line: method, URI and protocol, each a field.
    Request,
    /// Digits, or `-` for nothing, which becomes empty.
    Size,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelimiterPlan {
    /// 1 to 4 characters.
    pub separator: String,
    pub quote: Option<char>,
    /// Names of columns in order; `_` skips one.
    pub keys: Vec<String>,
    /// A text with fewer columns is not of this format.
    pub strict: bool,
    pub extra: ExtraColumns,
}

/// What becomes of columns behind the last key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtraColumns {
    /// `__column<N>__`, numbered from the number of keys.
    Extend,
    /// One field `__column<N>__` with the rest, separators and all.
    Keep,
    Discard,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampPlan {
    pub key: String,
    /// The first that fits counts.
    pub formats: Vec<TimeFormat>,
    /// Of texts that name none: a text that [`super::zone`] knew when it was read.
    pub zone: String,
    /// Keep the field.
    pub keep: bool,
}

/// A format of `strptime`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeFormat(pub String);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskPlan {
    /// Empty: all fields.
    pub keys: Vec<String>,
    /// What it matches is replaced; where it has a group named `secret`, only that.
    pub pattern: LinearRegex,
    pub with: MaskWith,
    /// Only the first match of a field.
    pub first: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MaskWith {
    Text(String),
    /// MD5 in upper-case hex: equal secrets stay equal.
    Md5,
}
