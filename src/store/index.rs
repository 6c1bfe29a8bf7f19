//! The index configuration of a logstore: which fields are searched, as what, and how their texts are cut.
//!
//! ```text
//! { "line": { "token", "caseSensitive", "chn", "include_keys" | "exclude_keys" },            full text
//!   "keys": { NAME: { "type": text|long|double, "alias", "doc_value", token, caseSensitive, chn },
//!             NAME: { "type": json, "index_all", "max_depth", "json_keys": { PATH: { "type", "alias", "doc_value" } } } },
//!   "ttl", "max_text_len", "log_reduce", "log_reduce_white_list", "log_reduce_black_list", ... }
//! ```
//!
//! It is kept as it was sent, with what is not known here, and returned with defaults filled in. Nothing is indexed
//! ahead: the configuration is a way of reading, and a new one holds for all logs, old ones too.
//!
//! It refuses a configuration that indexes nothing, values of the wrong kind, and names that mean two things.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::query::{Cutter, SEPARATORS};

/// Fields with an index of their own, paths of JSON included.
const FIELDS: usize = 2_000;

/// What a field is searched and computed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Long,
    Double,
    Json,
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Index {
    line: Option<Line>,
    keys: BTreeMap<String, Key>,
    /// Each alias with its key, and the path in it where that is JSON.
    aliases: BTreeMap<String, (String, Option<String>)>,
    /// As it was sent.
    config: Map<String, Value>,
    /// Seconds since 1970.
    pub modified: i64,
}

/// The full-text index.
#[derive(Clone, Debug)]
pub struct Line {
    pub cutter: Arc<Cutter>,
    /// Only these fields, or all but these.
    pub include: Option<Vec<String>>,
    pub exclude: Option<Vec<String>>,
}

/// The index of one field.
#[derive(Clone, Debug)]
pub struct Key {
    pub kind: Kind,
    /// It may be used in analytics.
    pub doc_value: bool,
    pub cutter: Arc<Cutter>,
    /// What is indexed in it, where it is JSON.
    pub json: Option<JsonKeys>,
}

#[derive(Clone, Debug, Default)]
pub struct JsonKeys {
    /// All texts in it down to `max_depth` are, as text; names on a path are its depth.
    pub index_all: bool,
    pub max_depth: Option<usize>,
    /// Paths with a type of their own, and whether they may be used in analytics.
    pub paths: BTreeMap<String, (Kind, bool)>,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub struct Indexed<'a> {
    pub key: &'a str,
    /// In the JSON of the key.
    pub path: Option<&'a str>,
    pub kind: Kind,
    pub doc_value: bool,
    pub cutter: &'a Arc<Cutter>,
}

impl Line {
    /// Whether a field is part of the full text; a tag by its name `__tag__:KEY`.
    pub fn covers(&self, name: &str) -> bool {
        let among = |names: &[String]| names.iter().any(|known| known == name);
        match (&self.include, &self.exclude) {
            (Some(only), _) => among(only),
            (_, Some(except)) => !among(except),
            _ => true,
        }
    }
}

impl Index {
    /// Checks a configuration. The error says which part is wrong and what would be right.
    pub fn parse(config: &[u8], modified: i64) -> Result<Index, String> {
        let config: Value =
            serde_json::from_slice(config).map_err(|error| format!("it is no JSON: {error}"))?;
        let Value::Object(config) = config else { return Err("it must be an object".into()) };
        let whole = Part { name: String::new(), fields: &config };
        let line = whole.object("line")?.map(|part| line(&part)).transpose()?;
        let mut made =
            Index { line, keys: BTreeMap::new(), aliases: BTreeMap::new(), config: Map::new(), modified };
        if let Some(keys) = whole.object("keys")? {
            for name in keys.fields.keys() {
                let part =
                    keys.object(name)?.ok_or_else(|| format!("{} must be an object", keys.at(name)))?;
                made.add_key(name, &part)?;
            }
        }
        if made.line.is_none() && made.keys.is_empty() {
            return Err("it indexes nothing: give `line` (full text), `keys` (fields), or both".into());
        }
        let fields = made.keys.values().map(|key| 1 + key.json.as_ref().map_or(0, |json| json.paths.len()));
        if fields.sum::<usize>() > FIELDS {
            return Err(format!("it has more than {FIELDS} fields"));
        }
        whole.integer("ttl", 1, 3650)?;
        whole.integer("max_text_len", 64, 16_384)?;
        whole.boolean("log_reduce")?;
        whole.texts("log_reduce_white_list")?;
        whole.texts("log_reduce_black_list")?;
        made.config = config;
        Ok(made)
    }

    fn add_key(&mut self, name: &str, part: &Part<'_>) -> Result<(), String> {
        if name.is_empty() {
            return Err("keys: the name of a field is empty".into());
        }
        let kind = part.kind(true)?;
        let doc_value = part.boolean("doc_value")?.unwrap_or(false);
        let cutter = part.cutter()?;
        self.add_alias(part, name, None)?;
        let mut json = None;
        if kind == Kind::Json {
            let mut made = JsonKeys {
                index_all: part.boolean("index_all")?.unwrap_or(false),
                // -1 is without end.
                max_depth: part
                    .integer("max_depth", -1, 1_000)?
                    .and_then(|depth| usize::try_from(depth).ok()),
                paths: BTreeMap::new(),
            };
            if let Some(keys) = part.object("json_keys")? {
                for path in keys.fields.keys() {
                    let part =
                        keys.object(path)?.ok_or_else(|| format!("{} must be an object", keys.at(path)))?;
                    let doc_value = part.boolean("doc_value")?.unwrap_or(false);
                    made.paths.insert(path.clone(), (part.kind(false)?, doc_value));
                    self.add_alias(&part, name, Some(path))?;
                }
            }
            json = Some(made);
        }
        self.keys.insert(name.to_owned(), Key { kind, doc_value, cutter, json });
        Ok(())
    }

    fn add_alias(&mut self, part: &Part<'_>, key: &str, path: Option<&str>) -> Result<(), String> {
        let Some(alias) = part.text("alias")?.filter(|alias| !alias.is_empty()) else { return Ok(()) };
        let meaning = (key.to_owned(), path.map(str::to_owned));
        match self.aliases.insert(alias.to_owned(), meaning) {
            None => Ok(()),
            Some(_) => Err(format!("{}: another field has the alias {alias:?} too", part.at("alias"))),
        }
    }

    pub fn line(&self) -> Option<&Line> {
        self.line.as_ref()
    }

    /// The fields with an index of their own, by name.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &Key)> {
        self.keys.iter().map(|(name, key)| (name.as_str(), key))
    }

    /// Other names of fields and of paths in JSON.
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        self.aliases.keys().map(String::as_str)
    }

    /// What a name stands for, when it has an index of its own: a key, an alias, or a path in a JSON key, where the
    /// longest key wins.
    pub fn find<'a>(&'a self, name: &'a str) -> Option<Indexed<'a>> {
        if let Some((key, found)) = self.keys.get_key_value(name) {
            let Key { kind, doc_value, cutter, .. } = found;
            return Some(Indexed { key, path: None, kind: *kind, doc_value: *doc_value, cutter });
        }
        if let Some((key, path)) = self.aliases.get(name) {
            return match path {
                None => self.find(key),
                Some(path) => self.find_path(key, path),
            };
        }
        name.rmatch_indices('.').find_map(|(dot, _)| self.find_path(name.get(..dot)?, name.get(dot + 1..)?))
    }

    fn find_path<'a>(&'a self, key: &str, path: &'a str) -> Option<Indexed<'a>> {
        let (key, Key { cutter, json: Some(json), doc_value, .. }) = self.keys.get_key_value(key)? else {
            return None;
        };
        if let Some((path, (kind, doc_value))) = json.paths.get_key_value(path) {
            return Some(Indexed { key, path: Some(path), kind: *kind, doc_value: *doc_value, cutter });
        }
        let deep = json.max_depth.is_some_and(|depth| path.split('.').count() > depth);
        if !json.index_all || deep || path.is_empty() {
            return None;
        }
        Some(Indexed { key, path: Some(path), kind: Kind::Text, doc_value: *doc_value, cutter })
    }

    /// As it was sent.
    pub fn config(&self) -> String {
        Value::Object(self.config.clone()).to_string()
    }

    /// What a client that asks for it gets: the defaults filled in. `ttl` is the logstore's, in days.
    pub fn described(&self, ttl: i64) -> Value {
        let mut answer = self.config.clone();
        let fill = |fields: &mut Map<String, Value>, name: &str, value: Value| {
            let known = fields.entry(name).or_insert(Value::Null);
            if known.is_null() {
                *known = value;
            }
        };
        let separators: Vec<String> = SEPARATORS.chars().map(String::from).collect();
        let text = |fields: &mut Map<String, Value>| {
            fill(fields, "caseSensitive", json!(false));
            fill(fields, "chn", json!(false));
            fill(fields, "token", json!(separators));
        };
        match answer.get_mut("line") {
            Some(Value::Object(line)) => text(line),
            // One that is null is none.
            _ => {
                answer.remove("line");
            }
        }
        fill(&mut answer, "keys", json!({}));
        let keys =
            answer.get_mut("keys").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut);
        for key in keys.filter_map(Value::as_object_mut) {
            fill(key, "alias", json!(""));
            fill(key, "doc_value", json!(false));
            let is = |key: &Map<String, Value>, kind| key.get("type").and_then(Value::as_str) == Some(kind);
            if is(key, "text") || is(key, "json") {
                text(key);
            }
            if is(key, "json") {
                fill(key, "index_all", json!(false));
                fill(key, "max_depth", json!(-1));
                fill(key, "json_keys", json!({}));
                let paths = key.get_mut("json_keys").and_then(Value::as_object_mut);
                for path in paths.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
                    fill(path, "alias", json!(""));
                    fill(path, "doc_value", json!(false));
                }
            }
        }
        fill(&mut answer, "ttl", json!(ttl));
        fill(&mut answer, "max_text_len", json!(2048));
        fill(&mut answer, "log_reduce", json!(false));
        answer.insert("index_mode".into(), json!("v2"));
        answer.insert("storage".into(), json!("pg"));
        answer.insert("lastModifyTime".into(), json!(self.modified));
        Value::Object(answer)
    }
}

fn line(part: &Part<'_>) -> Result<Line, String> {
    let (include, exclude) = (part.texts("include_keys")?, part.texts("exclude_keys")?);
    let (include, exclude) =
        (include.filter(|keys| !keys.is_empty()), exclude.filter(|keys| !keys.is_empty()));
    if include.is_some() && exclude.is_some() {
        return Err("line: include_keys and exclude_keys cannot both be given".into());
    }
    Ok(Line { cutter: part.cutter()?, include, exclude })
}

/// An object of the configuration, with its place for errors. A member that is null counts as absent.
struct Part<'a> {
    name: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Part<'a> {
    fn at(&self, name: &str) -> String {
        let name: String = name.chars().take(100).collect();
        if self.name.is_empty() { name } else { format!("{}.{name}", self.name) }
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    fn typed<T>(
        &self,
        name: &str,
        what: &str,
        of: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        of(value).map(Some).ok_or_else(|| format!("{} must be {what}", self.at(name)))
    }

    fn object(&self, name: &str) -> Result<Option<Part<'a>>, String> {
        let place = self.at(name);
        self.typed(name, "an object", |value| Some(Part { name: place.clone(), fields: value.as_object()? }))
    }

    fn boolean(&self, name: &str) -> Result<Option<bool>, String> {
        self.typed(name, "true or false", Value::as_bool)
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        self.typed(name, "a text", Value::as_str)
    }

    fn texts(&self, name: &str) -> Result<Option<Vec<String>>, String> {
        self.typed(name, "an array of texts", |value| {
            value.as_array()?.iter().map(|text| Some(text.as_str()?.to_owned())).collect()
        })
    }

    fn integer(&self, name: &str, from: i64, to: i64) -> Result<Option<i64>, String> {
        let what = format!("a number within range [{from}, {to}]");
        self.typed(name, &what, |value| value.as_i64().filter(|number| (from..=to).contains(number)))
    }

    fn kind(&self, json: bool) -> Result<Kind, String> {
        let kinds = if json { "text, long, double or json" } else { "text, long or double" };
        let wrong = || format!("{} must be {kinds}", self.at("type"));
        match self.text("type")?.ok_or_else(wrong)? {
            "text" => Ok(Kind::Text),
            "long" => Ok(Kind::Long),
            "double" => Ok(Kind::Double),
            "json" if json => Ok(Kind::Json),
            _ => Err(wrong()),
        }
    }

    fn cutter(&self) -> Result<Arc<Cutter>, String> {
        let sensitive = self.boolean("caseSensitive")?.unwrap_or(false);
        let chinese = self.boolean("chn")?.unwrap_or(false);
        let Some(tokens) = self.texts("token")? else {
            return Ok(Arc::new(Cutter::new(SEPARATORS.chars(), chinese, sensitive)));
        };
        if tokens.iter().any(|token| token.chars().count() > 1) {
            return Err(format!("{} must be an array of single characters", self.at("token")));
        }
        Ok(Arc::new(Cutter::new(tokens.iter().flat_map(|token| token.chars()), chinese, sensitive)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the vendor's Python SDK sends it.
    const RECORDED: &str = r#"{"line": {"token": [",", " ", ";", "="], "caseSensitive": false, "auto_text_keys": [], "chn": false, "auto_key_detect": false}, "keys": {"level": {"type": "text", "token": [" ", ","], "caseSensitive": false, "doc_value": true}, "latency": {"type": "double", "doc_value": true}, "payload": {"type": "json", "token": [" "], "caseSensitive": false, "doc_value": true, "index_all": true, "max_depth": -1, "json_keys": {"status": {"type": "long", "doc_value": true}}}}}"#;

    fn parse(config: &str) -> Result<Index, String> {
        Index::parse(config.as_bytes(), 1_700_000_000)
    }

    #[test]
    fn what_was_sent_is_returned_with_defaults() {
        let index = parse(RECORDED).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&index.config()).unwrap(),
            serde_json::from_str::<Value>(RECORDED).unwrap()
        );
        let answer = index.described(30);
        assert_eq!(answer["index_mode"], "v2");
        assert_eq!((&answer["ttl"], &answer["max_text_len"]), (&json!(30), &json!(2048)));
        assert_eq!(answer["lastModifyTime"], 1_700_000_000);
        assert_eq!(answer["line"]["auto_key_detect"], false);
        assert_eq!(answer["keys"]["level"]["chn"], false);
        assert_eq!(answer["keys"]["latency"], json!({ "type": "double", "doc_value": true, "alias": "" }));
        assert_eq!(answer["keys"]["payload"]["json_keys"]["status"]["alias"], "");
        let small =
            parse(r#"{"keys":{"a":{"type":"text"}},"odd":[1],"ttl":7,"line":null}"#).unwrap().described(30);
        assert_eq!((&small["odd"], &small["ttl"]), (&json!([1]), &json!(7)));
        assert!(small.get("line").is_none());
        assert_eq!(small["keys"]["a"]["token"].as_array().unwrap().len(), SEPARATORS.len());
    }

    #[test]
    fn names_are_keys_aliases_and_paths() {
        let index = parse(
            r#"{"keys":{
                "a":{"type":"json","index_all":true,"max_depth":2,"json_keys":{"n.m":{"type":"long","alias":"deep"}}},
                "a.b":{"type":"json","json_keys":{"c":{"type":"double"}}},
                "a.x":{"type":"text","alias":"ex"},
                "__tag__:t":{"type":"text"}}}"#,
        )
        .unwrap();
        let find = |name| index.find(name).map(|found| (found.key, found.path, found.kind));
        assert_eq!(find("a"), Some(("a", None, Kind::Json)));
        assert_eq!(find("a.n.m"), Some(("a", Some("n.m"), Kind::Long)));
        assert_eq!(find("deep"), Some(("a", Some("n.m"), Kind::Long)));
        assert_eq!(find("a.b.c"), Some(("a.b", Some("c"), Kind::Double)));
        assert_eq!(find("ex"), Some(("a.x", None, Kind::Text)));
        assert_eq!(find("__tag__:t"), Some(("__tag__:t", None, Kind::Text)));
        assert_eq!(find("a.o.p"), Some(("a", Some("o.p"), Kind::Text)));
        for unknown in ["b", "a.o.p.q", "deeper", "a.", "__tag__:u"] {
            assert_eq!(find(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn errors_name_the_place() {
        for (config, part) in [
            ("[]", "an object"),
            ("{", "no JSON"),
            ("{}", "indexes nothing"),
            (r#"{"keys":{}}"#, "indexes nothing"),
            (r#"{"line":[]}"#, "line must be an object"),
            (r#"{"line":{"include_keys":["a"],"exclude_keys":["b"]}}"#, "both"),
            (r#"{"line":{"token":", "}}"#, "line.token must be an array of texts"),
            (r#"{"line":{"token":["ab"]}}"#, "line.token must be an array of single characters"),
            (r#"{"line":{"caseSensitive":1}}"#, "line.caseSensitive must be true or false"),
            (r#"{"keys":{"a":{}}}"#, "keys.a.type must be text, long, double or json"),
            (r#"{"keys":{"a":{"type":"int"}}}"#, "keys.a.type"),
            (r#"{"keys":{"a":"text"}}"#, "keys.a must be an object"),
            (r#"{"keys":{"a":null}}"#, "keys.a must be an object"),
            (r#"{"keys":{"":{"type":"text"}}}"#, "empty"),
            (
                r#"{"keys":{"a":{"type":"json","json_keys":{"b":{"type":"json"}}}}}"#,
                "keys.a.json_keys.b.type must be text, long or",
            ),
            (r#"{"keys":{"a":{"type":"json","max_depth":-2}}}"#, "keys.a.max_depth"),
            (r#"{"keys":{"a":{"type":"text","alias":"x"},"b":{"type":"long","alias":"x"}}}"#, "alias \"x\""),
            (r#"{"line":{},"ttl":0}"#, "ttl must be a number within range [1, 3650]"),
            (r#"{"line":{},"max_text_len":63}"#, "max_text_len"),
            (r#"{"line":{},"log_reduce":"yes"}"#, "log_reduce"),
        ] {
            let error = parse(config).unwrap_err();
            assert!(error.contains(part), "{config}: {error}");
        }
        let many: Vec<String> = (0..=FIELDS).map(|n| format!("\"k{n}\":{{\"type\":\"long\"}}")).collect();
        assert!(parse(&format!("{{\"keys\":{{{}}}}}", many.join(","))).unwrap_err().contains("more than"));
    }
}
