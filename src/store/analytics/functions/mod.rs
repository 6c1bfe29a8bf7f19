//! The functions of the dialect: their names, what they take and give, and what does their work in SQLite.
//!
//! A function either is one of SQLite's own or is registered here, under a name that starts with `p_`; the statement's
//! author never reaches either by any other name than those in [`FUNCTIONS`]. Functions answer NULL for NULL, and for a
//! text that is not what they read (a time that is none, JSON that is none): logs hold all sorts of things.

mod aggregate;
mod civil;
mod json;
mod number;
mod pattern;
mod text;
mod time;
mod web;

use std::borrow::Cow;

use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};

use super::types::Type;
pub(super) use number::natural;
pub(super) use pattern::{format, read};
pub(super) use time::{timestamp_text, window_seconds};

/// Bytes of a value that a function makes.
const VALUE_BYTES: usize = 4 << 20;

/// A scalar function.
pub(super) struct Function {
    pub(super) name: &'static str,
    /// Arguments.
    pub(super) least: usize,
    pub(super) most: usize,
    /// What SQLite knows it as.
    pub(super) target: &'static str,
    /// What each argument is wanted as, the last for all that follow: `t`ext, `n`umber, `v`alue (numbers as numbers, else
    /// text), `a`ny (text of fields without a type).
    pub(super) wants: &'static str,
    pub(super) gives: Type,
}

const fn function(
    name: &'static str,
    (least, most): (usize, usize),
    target: &'static str,
    wants: &'static str,
    gives: Type,
) -> Function {
    Function { name, least, most, target, wants, gives }
}

#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = {
    use Type::{Mixed, Any, Bool, Date, Double, Int, Json, Number, Text, Time};
    &[
    // text
    function("length", (1, 1), "length", "t", Int),
    function("char_length", (1, 1), "length", "t", Int),
    function("lower", (1, 1), "p_lower", "t", Text),
    function("upper", (1, 1), "p_upper", "t", Text),
    function("substr", (2, 3), "substr", "tn", Text),
    function("substring", (2, 3), "substr", "tn", Text),
    function("strpos", (2, 3), "p_strpos", "ttn", Int),
    function("position", (2, 2), "p_strpos", "tt", Int),
    function("split", (2, 3), "p_split", "ttn", Json),
    function("split_part", (3, 3), "p_split_part", "ttn", Text),
    function("split_to_map", (3, 3), "p_split_to_map", "ttt", Json),
    function("replace", (2, 3), "p_replace", "ttt", Text),
    function("trim", (1, 2), "trim", "tt", Text),
    function("ltrim", (1, 2), "ltrim", "tt", Text),
    function("rtrim", (1, 2), "rtrim", "tt", Text),
    function("lpad", (3, 3), "p_lpad", "tnt", Text),
    function("rpad", (3, 3), "p_rpad", "tnt", Text),
    function("reverse", (1, 1), "p_reverse", "t", Text),
    function("repeat", (2, 2), "p_repeat", "tn", Text),
    function("starts_with", (2, 2), "p_starts_with", "tt", Bool),
    function("ends_with", (2, 2), "p_ends_with", "tt", Bool),
    function("chr", (1, 1), "char", "n", Text),
    function("codepoint", (1, 1), "unicode", "t", Int),
    function("levenshtein_distance", (2, 2), "p_levenshtein", "tt", Int),
    function("regexp_like", (2, 2), "p_regexp_like", "tt", Bool),
    function("regexp_extract", (2, 3), "p_regexp_extract", "ttn", Text),
    function("regexp_extract_all", (2, 3), "p_regexp_extract_all", "ttn", Json),
    function("regexp_replace", (2, 3), "p_regexp_replace", "ttt", Text),
    function("regexp_split", (2, 2), "p_regexp_split", "tt", Json),
    function("regexp_count", (2, 2), "p_regexp_count", "tt", Int),
    // numbers
    function("round", (1, 2), "p_round", "n", Number),
    function("floor", (1, 1), "p_floor", "n", Number),
    function("ceil", (1, 1), "p_ceil", "n", Number),
    function("ceiling", (1, 1), "p_ceil", "n", Number),
    function("truncate", (1, 2), "p_truncate", "n", Number),
    function("abs", (1, 1), "abs", "n", Number),
    function("sign", (1, 1), "p_sign", "n", Number),
    function("mod", (2, 2), "p_mod", "n", Number),
    function("power", (2, 2), "p_power", "n", Double),
    function("pow", (2, 2), "p_power", "n", Double),
    function("sqrt", (1, 1), "p_sqrt", "n", Double),
    function("cbrt", (1, 1), "p_cbrt", "n", Double),
    function("exp", (1, 1), "p_exp", "n", Double),
    function("ln", (1, 1), "p_ln", "n", Double),
    function("log2", (1, 1), "p_log2", "n", Double),
    function("log10", (1, 1), "p_log10", "n", Double),
    function("log", (2, 2), "p_log", "n", Double),
    function("sin", (1, 1), "p_sin", "n", Double),
    function("cos", (1, 1), "p_cos", "n", Double),
    function("tan", (1, 1), "p_tan", "n", Double),
    function("atan", (1, 1), "p_atan", "n", Double),
    function("degrees", (1, 1), "p_degrees", "n", Double),
    function("radians", (1, 1), "p_radians", "n", Double),
    function("pi", (0, 0), "p_pi", "n", Double),
    function("e", (0, 0), "p_e", "n", Double),
    function("rand", (0, 1), "p_rand", "n", Number),
    function("random", (0, 1), "p_rand", "n", Number),
    function("to_base", (2, 2), "p_to_base", "n", Text),
    function("from_base", (2, 2), "p_from_base", "tn", Int),
    function("bitwise_and", (2, 2), "p_bitwise_and", "n", Int),
    function("bitwise_or", (2, 2), "p_bitwise_or", "n", Int),
    function("bitwise_xor", (2, 2), "p_bitwise_xor", "n", Int),
    function("bitwise_not", (1, 1), "p_bitwise_not", "n", Int),
    function("bit_count", (2, 2), "p_bit_count", "n", Int),
    // time
    function("from_unixtime", (1, 2), "p_from_unixtime", "vt", Time),
    function("to_unixtime", (1, 1), "p_to_unixtime", "v", Double),
    function("date_format", (2, 2), "p_date_format", "vt", Text),
    function("format_datetime", (2, 2), "p_format_datetime", "vt", Text),
    function("date_parse", (2, 2), "p_date_parse", "tt", Time),
    function("parse_datetime", (2, 2), "p_parse_datetime", "tt", Time),
    function("date_trunc", (2, 2), "p_date_trunc", "tv", Time),
    function("date_add", (3, 3), "p_date_add", "tnv", Time),
    function("date_diff", (3, 3), "p_date_diff", "tvv", Int),
    function("date", (1, 1), "p_date", "v", Date),
    function("from_iso8601_timestamp", (1, 1), "p_timestamp", "t", Time),
    function("from_iso8601_date", (1, 1), "p_date", "t", Date),
    function("to_iso8601", (1, 1), "p_to_iso8601", "v", Text),
    function("second", (1, 1), "p_second", "v", Int),
    function("minute", (1, 1), "p_minute", "v", Int),
    function("hour", (1, 1), "p_hour", "v", Int),
    function("day", (1, 1), "p_day", "v", Int),
    function("day_of_month", (1, 1), "p_day", "v", Int),
    function("day_of_week", (1, 1), "p_day_of_week", "v", Int),
    function("dow", (1, 1), "p_day_of_week", "v", Int),
    function("day_of_year", (1, 1), "p_day_of_year", "v", Int),
    function("doy", (1, 1), "p_day_of_year", "v", Int),
    function("week", (1, 1), "p_week", "v", Int),
    function("week_of_year", (1, 1), "p_week", "v", Int),
    function("month", (1, 1), "p_month", "v", Int),
    function("quarter", (1, 1), "p_quarter", "v", Int),
    function("year", (1, 1), "p_year", "v", Int),
    // JSON, arrays, maps
    function("json_extract", (2, 2), "p_json_extract", "tt", Json),
    function("json_extract_scalar", (2, 2), "p_json_extract_scalar", "tt", Any),
    function("json_extract_long", (2, 2), "p_json_extract_long", "tt", Int),
    function("json_extract_double", (2, 2), "p_json_extract_double", "tt", Double),
    function("json_extract_bool", (2, 2), "p_json_extract_scalar", "tt", Text),
    function("json_parse", (1, 1), "p_json_parse", "t", Json),
    function("json_format", (1, 1), "p_json_parse", "t", Text),
    function("json_size", (2, 2), "p_json_size", "tt", Int),
    function("json_array_length", (1, 1), "p_json_array_length", "t", Int),
    function("json_array_contains", (2, 2), "p_contains", "tv", Bool),
    function("json_array_get", (2, 2), "p_json_array_get", "tn", Mixed),
    function("cardinality", (1, 1), "p_cardinality", "t", Int),
    function("contains", (2, 2), "p_contains", "tv", Bool),
    function("element_at", (2, 2), "p_element_at", "ta", Mixed),
    function("array_join", (2, 3), "p_array_join", "t", Text),
    function("array_distinct", (1, 1), "p_array_distinct", "t", Json),
    function("array_sort", (1, 1), "p_array_sort", "t", Json),
    function("array_max", (1, 1), "p_array_max", "t", Mixed),
    function("array_min", (1, 1), "p_array_min", "t", Mixed),
    function("array_position", (2, 2), "p_array_position", "tv", Int),
    function("map_keys", (1, 1), "p_map_keys", "t", Json),
    function("map_values", (1, 1), "p_map_values", "t", Json),
    // addresses, encodings, digests
    function("url_extract_protocol", (1, 1), "p_url_protocol", "t", Text),
    function("url_extract_host", (1, 1), "p_url_host", "t", Text),
    function("url_extract_port", (1, 1), "p_url_port", "t", Int),
    function("url_extract_path", (1, 1), "p_url_path", "t", Text),
    function("url_extract_query", (1, 1), "p_url_query", "t", Text),
    function("url_extract_fragment", (1, 1), "p_url_fragment", "t", Text),
    function("url_extract_parameter", (2, 2), "p_url_parameter", "t", Text),
    function("url_decode", (1, 1), "p_url_decode", "t", Text),
    function("url_encode", (1, 1), "p_url_encode", "t", Text),
    function("is_ip", (1, 1), "p_is_ip", "t", Bool),
    function("ip_prefix", (2, 2), "p_ip_prefix", "tn", Text),
    function("is_subnet_of", (2, 2), "p_is_subnet_of", "t", Bool),
    function("ip_subnet_min", (1, 1), "p_ip_subnet_min", "t", Text),
    function("ip_subnet_max", (1, 1), "p_ip_subnet_max", "t", Text),
    function("ip_to_domain", (1, 1), "p_ip_to_domain", "t", Text),
    function("md5", (1, 1), "p_md5", "t", Text),
    function("sha1", (1, 1), "p_sha1", "t", Text),
    function("sha256", (1, 1), "p_sha256", "t", Text),
    function("sha512", (1, 1), "p_sha512", "t", Text),
    function("to_base64", (1, 1), "p_to_base64", "t", Text),
    function("from_base64", (1, 1), "p_from_base64", "t", Text),
    function("to_utf8", (1, 1), "p_text", "t", Text),
    function("from_utf8", (1, 1), "p_text", "t", Text),
    function("to_hex", (1, 1), "p_text", "t", Text),
    ]
};

/// Functions that are more than a call of another, known to [`super::translate`].
pub(super) const SPECIAL: [&str; 13] = [
    "if",
    "coalesce",
    "nullif",
    "try",
    "greatest",
    "least",
    "concat",
    "now",
    "current_timestamp",
    "current_date",
    "localtimestamp",
    "time_series",
    "typeof",
];

/// Functions over many rows.
pub(super) const AGGREGATES: [&str; 27] = [
    "count",
    "count_if",
    "sum",
    "avg",
    "min",
    "max",
    "max_by",
    "min_by",
    "arbitrary",
    "any_value",
    "approx_distinct",
    "approx_percentile",
    "array_agg",
    "map_agg",
    "histogram",
    "stddev",
    "stddev_samp",
    "stddev_pop",
    "variance",
    "var_samp",
    "var_pop",
    "bool_and",
    "bool_or",
    "every",
    "string_agg",
    "listagg",
    "geometric_mean",
];

/// Functions that need OVER.
pub(super) const WINDOW: [&str; 10] = [
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
];

/// Why a function of the service is missing here.
pub(super) fn missing(name: &str) -> Option<&'static str> {
    match name {
        "ip_to_country" | "ip_to_country_code" | "ip_to_province" | "ip_to_city" | "ip_to_city_geo"
        | "ip_to_geo" | "ip_to_provider" | "geohash" => Some(
            "needs geographic data, which the embedded Log Service does not have; it is answered by the cloud only",
        ),
        "compare" | "ts_compare" => {
            Some("is not supported; join two sub-selects over different times instead")
        }
        "promql_query" | "promql_query_range" => {
            Some("is not supported: the embedded Log Service has no metric stores")
        }
        "transform" | "filter" | "reduce" | "any_match" | "all_match" | "none_match" | "map_filter" => {
            Some("takes a function, which is not supported; use CROSS JOIN UNNEST")
        }
        _ => None,
    }
}

/// Makes the functions known to a connection.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    text::register(connection)?;
    number::register(connection)?;
    time::register(connection)?;
    json::register(connection)?;
    web::register(connection)?;
    aggregate::register(connection)
}

type Outcome = rusqlite::Result<Value>;

/// Registers a function for any number of arguments; how many it gets was checked by the translation.
fn scalar(
    connection: &Connection,
    name: &'static str,
    work: impl Fn(&Context<'_>) -> Outcome + Send + 'static,
) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function(name, -1, flags, move |context| work(context))
}

/// A function of one text.
fn of_text(
    connection: &Connection,
    name: &'static str,
    work: impl Fn(&str) -> Value + Send + 'static,
) -> rusqlite::Result<()> {
    scalar(connection, name, move |context| Ok(argument(context, 0).map_or(Value::Null, |text| work(&text))))
}

/// An argument as text; `None` for NULL and for an argument that was not given.
fn argument<'a>(context: &'a Context<'_>, index: usize) -> Option<Cow<'a, str>> {
    (index < context.len()).then(|| as_text(context.get_raw(index))).flatten()
}

/// An argument as number; `None` also for text that is none.
fn float(context: &Context<'_>, index: usize) -> Option<f64> {
    match number_of(raw(context, index)) {
        Value::Integer(number) => Some(number as f64),
        Value::Real(number) => Some(number),
        _ => None,
    }
}

/// An argument as whole number, cut towards zero.
fn whole(context: &Context<'_>, index: usize) -> Option<i64> {
    match number_of(raw(context, index)) {
        Value::Integer(number) => Some(number),
        Value::Real(number) => Some(number as i64),
        _ => None,
    }
}

fn raw<'a>(context: &'a Context<'_>, index: usize) -> ValueRef<'a> {
    if index < context.len() { context.get_raw(index) } else { ValueRef::Null }
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into_owned().into(),
    }
}

fn as_text(value: ValueRef<'_>) -> Option<Cow<'_, str>> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string().into()),
        ValueRef::Real(number) => Some(real_text(number).into()),
        ValueRef::Text(text) | ValueRef::Blob(text) => Some(String::from_utf8_lossy(text)),
    }
}

/// A double as the service shows it: always with a fraction.
pub(super) fn real_text(number: f64) -> String {
    match number {
        _ if number.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        _ => format!("{number:?}"),
    }
}

/// A value as number; NULL for what is none.
pub(super) fn number_of(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => parse_number(text).unwrap_or(Value::Null),
        _ => Value::Null,
    }
}

/// A text that is a decimal number as a whole, white space around it aside.
pub(super) fn parse_number(text: &[u8]) -> Option<Value> {
    let text = text.trim_ascii();
    if text.len() > 64 || !matches!(text, [b'0'..=b'9' | b'-' | b'+' | b'.', ..]) {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(number) = text.parse::<i64>() {
        return Some(Value::Integer(number));
    }
    // "infinity" and "nan" are no numbers of a log.
    if text.bytes().any(|byte| !matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E')) {
        return None;
    }
    text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::Real)
}

fn truth(value: bool) -> Value {
    Value::Integer(i64::from(value))
}

fn user_error(message: impl Into<String>) -> rusqlite::Error {
    rusqlite::Error::UserFunctionError(message.into().into())
}
