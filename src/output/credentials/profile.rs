//! The formats of files with keys, told apart by what is in them. Pure: text in, a key or where to get one out.
//!
//! ```text
//! access_key_id: ..                  our own: one `name: value` or `name = value` a line, or one object of JSON; also
//! access_key_secret: ..              security_token and expiration. Names as in answers of the vendor (AccessKeyId) as well
//!
//! {"current":"a","profiles":[..]}    ~/.aliyun/config.json of the vendor's command line; `mode` says what a profile is
//! [default]                          ~/.alibabacloud/credentials; `type` says what a section is
//! ```
//!
//! A profile may name another source (the role of the instance, a role to assume, a token of Kubernetes, a URI). It refuses
//! the kinds that need a person (CloudSSO, OAuth) or run a program (External). No message quotes a value.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::AccessKey;
use crate::base::secret::Secret;
use crate::config::plan::{
    AssumeRolePlan, CredentialsPlan, EcsRolePlan, KeyPlan, METADATA, OidcPlan, SESSION, SESSION_NAME, STS,
    SessionPlan,
};

/// Profiles that stand on profiles.
const DEPTH: usize = 4;
const DEFAULT: &str = "default";

#[derive(Debug)]
pub(super) enum Loaded {
    /// With the moment of its end, as written.
    Key(AccessKey, Option<String>),
    Source(CredentialsPlan),
}

/// What a file says, by names without case, `_`, `-` and `.`.
#[derive(Default)]
pub(super) struct Parts(BTreeMap<String, String>);

const ID: [&str; 1] = ["accesskeyid"];
const SECRET: [&str; 2] = ["accesskeysecret", "secret"];
const TOKEN: [&str; 2] = ["securitytoken", "ststoken"];
const END: [&str; 1] = ["expiration"];

impl Parts {
    pub(super) fn knows(&self, name: &str) -> bool {
        let name = plain(name);
        [&ID[..], &SECRET, &TOKEN, &END].iter().any(|names| names.contains(&name.as_str()))
    }

    pub(super) fn put(&mut self, name: &str, value: &str) {
        self.0.insert(plain(name), value.to_owned());
    }

    fn get(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.0.get(*name)).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn need(&self, name: &str) -> Result<String, String> {
        let found = self.get(&[plain(name).as_str()]).map(str::to_owned);
        found.ok_or_else(|| format!("it has no {name}"))
    }

    fn key_plan(&self) -> Result<KeyPlan, String> {
        let id = self.get(&ID).ok_or("it has no access_key_id")?;
        let secret = self.get(&SECRET).ok_or("it has no access_key_secret")?;
        Ok(KeyPlan {
            id: id.to_owned(),
            secret: Secret::new(secret.to_owned()),
            security_token: self.get(&TOKEN).map(|token| Secret::new(token.to_owned())),
        })
    }

    pub(super) fn key(&self) -> Result<Loaded, String> {
        Ok(Loaded::Key((&self.key_plan()?).into(), self.get(&END).map(str::to_owned)))
    }

    fn session(&self) -> SessionPlan {
        let seconds = self.get(&["expiredseconds", "durationseconds"]).and_then(|text| text.parse().ok());
        let name = self.get(&["ramsessionname", "rolesessionname"]).unwrap_or(SESSION_NAME);
        let region = self.get(&["stsregion"]);
        SessionPlan {
            name: name.to_owned(),
            duration: seconds.filter(|seconds| *seconds >= 900).map_or(SESSION, Duration::from_secs),
            sts: region.map_or(STS.to_owned(), |region| format!("https://sts.{region}.aliyuncs.com")),
        }
    }

    fn role_arn(&self) -> Result<String, String> {
        let found = self.get(&["ramrolearn", "rolearn"]);
        found.map(str::to_owned).ok_or_else(|| "it has no ram_role_arn".to_owned())
    }

    fn assume_role(&self, with: CredentialsPlan) -> Result<Loaded, String> {
        Ok(Loaded::Source(CredentialsPlan::AssumeRole(Box::new(AssumeRolePlan {
            role_arn: self.role_arn()?,
            external_id: self.get(&["externalid"]).map(str::to_owned),
            session: self.session(),
            with,
        }))))
    }

    fn ecs_role(&self) -> Loaded {
        Loaded::Source(CredentialsPlan::EcsRole(EcsRolePlan {
            role: self.get(&["ramrolename", "rolename"]).map(str::to_owned),
            address: METADATA.to_owned(),
            allow_v1: self.get(&["disableimdsv1"]) != Some("true"),
        }))
    }

    fn oidc(&self) -> Result<Loaded, String> {
        Ok(Loaded::Source(CredentialsPlan::Oidc(OidcPlan {
            role_arn: self.role_arn()?,
            provider_arn: self.need("oidc_provider_arn")?,
            token_file: PathBuf::from(
                self.get(&["oidctokenfile", "oidctokenfilepath"]).ok_or("it has no oidc_token_file")?,
            ),
            session: self.session(),
        })))
    }

    fn uri(&self) -> Result<Loaded, String> {
        let uri = self.get(&["credentialsuri", "url"]).ok_or("it has no credentials_uri")?;
        Ok(Loaded::Source(CredentialsPlan::Uri(Secret::new(uri.to_owned()))))
    }
}

/// What a file says; `name` is the profile that is meant, where it has several.
pub(super) fn parse(text: &str, name: Option<&str>) -> Result<Loaded, String> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('{') {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| format!("it is no JSON at line {}, column {}", error.line(), error.column()))?;
        return match value.get("profiles").and_then(Value::as_array) {
            Some(profiles) => command_line(profiles, name.or(value["current"].as_str()), 0),
            None => flat(&value).key(),
        };
    }
    let sections = sections(text)?;
    match sections.get("") {
        Some(own) if sections.len() == 1 => own.key(),
        _ => {
            let name = name.unwrap_or(DEFAULT);
            section(sections.get(name).ok_or_else(|| format!("it has no section [{name}]"))?)
        }
    }
}

fn flat(value: &Value) -> Parts {
    let mut parts = Parts::default();
    for (name, value) in value.as_object().into_iter().flatten() {
        match value {
            Value::String(text) => parts.put(name, text),
            Value::Number(_) | Value::Bool(_) => parts.put(name, &value.to_string()),
            _ => {}
        }
    }
    parts
}

/// A profile of the vendor's command line.
fn command_line(profiles: &[Value], name: Option<&str>, depth: usize) -> Result<Loaded, String> {
    let name = name.unwrap_or(DEFAULT);
    let found = profiles.iter().find(|profile| profile["name"].as_str() == Some(name));
    let parts = flat(found.ok_or_else(|| format!("it has no profile {name}"))?);
    match parts.get(&["mode"]).unwrap_or("AK") {
        "AK" | "StsToken" => parts.key(),
        "RamRoleArn" => {
            let with = CredentialsPlan::Fixed(parts.key_plan()?);
            parts.assume_role(with)
        }
        "ChainableRamRoleArn" if depth < DEPTH => {
            let source = parts.need("source_profile")?;
            let with = match command_line(profiles, Some(&source), depth + 1)? {
                Loaded::Key(key, _) => CredentialsPlan::Fixed(KeyPlan {
                    id: key.id,
                    secret: key.secret,
                    security_token: key.security_token,
                }),
                Loaded::Source(plan) => plan,
            };
            parts.assume_role(with)
        }
        "EcsRamRole" => Ok(parts.ecs_role()),
        "OIDC" => parts.oidc(),
        "CredentialsURI" => parts.uri(),
        _ => Err(format!("its profile {name} is of a mode that cannot be used here")),
    }
}

/// A section of the vendor's shared file.
fn section(parts: &Parts) -> Result<Loaded, String> {
    if parts.get(&["enable"]) == Some("false") {
        return Err("its section is switched off".to_owned());
    }
    match parts.get(&["type"]).unwrap_or("access_key") {
        "access_key" | "sts" => parts.key(),
        "ram_role_arn" => {
            let with = CredentialsPlan::Fixed(parts.key_plan()?);
            parts.assume_role(with)
        }
        "ecs_ram_role" => Ok(parts.ecs_role()),
        "oidc_role_arn" => parts.oidc(),
        "credentials_uri" => parts.uri(),
        _ => Err("its section is of a type that cannot be used here".to_owned()),
    }
}

/// `name: value` or `name = value`, by section; without any, all is in the one without a name.
fn sections(text: &str) -> Result<BTreeMap<String, Parts>, String> {
    let mut sections: BTreeMap<String, Parts> = BTreeMap::new();
    let mut current = String::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) || line == "---" {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.trim().clone_into(&mut current);
            sections.entry(current.clone()).or_default();
            continue;
        }
        let wrong = || format!("its line {} is neither `name: value` nor `name = value`", index + 1);
        let at = line.find([':', '=']).ok_or_else(wrong)?;
        let (name, value) = (line[..at].trim(), line[at + 1..].trim());
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(wrong());
        }
        sections.entry(current.clone()).or_default().put(name, unquoted(value));
    }
    Ok(sections)
}

/// Without the quotes around it, or without a comment behind it.
fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote)
            && let Some((inside, behind)) = rest.split_once(quote)
            && (behind.trim().is_empty() || behind.trim_start().starts_with('#'))
        {
            return inside;
        }
    }
    value.split(" #").next().unwrap_or(value).trim_end()
}

fn plain(name: &str) -> String {
    name.chars()
        .filter(|char| !matches!(char, '_' | '-' | '.'))
        .map(|char| char.to_ascii_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str, name: Option<&str>) -> (String, String, Option<String>, Option<String>) {
        match parse(text, name).unwrap() {
            Loaded::Key(key, end) => (
                key.id,
                key.secret.expose().to_owned(),
                key.security_token.map(|token| token.expose().to_owned()),
                end,
            ),
            Loaded::Source(plan) => panic!("{plan:?}"),
        }
    }

    fn source(text: &str, name: Option<&str>) -> CredentialsPlan {
        match parse(text, name).unwrap() {
            Loaded::Source(plan) => plan,
            Loaded::Key(..) => panic!("a key"),
        }
    }

    #[test]
    fn our_own_in_three_spellings() {
        let whole = (
            "id".to_owned(),
            "a=b:c#d".to_owned(),
            Some("t".to_owned()),
            Some("2030-01-01T00:00:00Z".to_owned()),
        );
        for text in [
            "# keys\naccess_key_id: id\naccess_key_secret: \"a=b:c#d\"  # it\nsecurity_token: 't'\nexpiration: 2030-01-01T00:00:00Z\n",
            "---\r\naccess-key-id = id\r\nsecret=a=b:c#d\r\nsts_token = t # no\r\nexpiration=\"2030-01-01T00:00:00Z\"",
            r#"{"access_key_id":"id","access_key_secret":"a=b:c#d","security_token":"t","expiration":"2030-01-01T00:00:00Z"}"#,
            r#"{"Code":"Success","AccessKeyId":"id","AccessKeySecret":"a=b:c#d","SecurityToken":"t","Expiration":"2030-01-01T00:00:00Z"}"#,
        ] {
            assert_eq!(key(text, None), whole, "{text}");
        }
        assert_eq!(key("access_key_id: 0123\nsecret: 1e5\nsecurity_token:", None).0, "0123");
    }

    #[test]
    fn profiles_of_the_command_line() {
        let text = r#"{"current":"ak","profiles":[
            {"name":"ak","mode":"AK","access_key_id":"i1","access_key_secret":"s1","sts_token":""},
            {"name":"sts","mode":"StsToken","access_key_id":"i2","access_key_secret":"s2","sts_token":"t2"},
            {"name":"role","mode":"RamRoleArn","access_key_id":"i3","access_key_secret":"s3","ram_role_arn":"arn","ram_session_name":"n",
             "expired_seconds":1800,"external_id":"x"},
            {"name":"ecs","mode":"EcsRamRole","ram_role_name":"node"},
            {"name":"oidc","mode":"OIDC","ram_role_arn":"arn","oidc_provider_arn":"p","oidc_token_file":"/t","sts_region":"cn-beijing"},
            {"name":"chained","mode":"ChainableRamRoleArn","source_profile":"ecs","ram_role_arn":"arn2"},
            {"name":"loop","mode":"ChainableRamRoleArn","source_profile":"loop","ram_role_arn":"arn2"},
            {"name":"uri","mode":"CredentialsURI","credentials_uri":"http://127.0.0.1:1/k"},
            {"name":"sso","mode":"CloudSSO"}]}"#;
        assert_eq!(key(text, None).0, "i1");
        assert_eq!(key(text, Some("sts")).2.as_deref(), Some("t2"));
        let CredentialsPlan::AssumeRole(role) = source(text, Some("role")) else { panic!() };
        assert_eq!((role.session.name.as_str(), role.session.duration.as_secs()), ("n", 1800));
        assert_eq!((role.external_id.as_deref(), role.with.fixed().unwrap().id.as_str()), (Some("x"), "i3"));
        assert!(
            matches!(source(text, Some("ecs")), CredentialsPlan::EcsRole(plan) if plan.role.as_deref() == Some("node"))
        );
        let CredentialsPlan::Oidc(oidc) = source(text, Some("oidc")) else { panic!() };
        assert_eq!(oidc.session.sts, "https://sts.cn-beijing.aliyuncs.com");
        let CredentialsPlan::AssumeRole(role) = source(text, Some("chained")) else { panic!() };
        assert!(matches!(role.with, CredentialsPlan::EcsRole(_)));
        assert!(matches!(source(text, Some("uri")), CredentialsPlan::Uri(_)));
        let fault = |name| parse(text, Some(name)).unwrap_err();
        assert_eq!(fault("sso"), "its profile sso is of a mode that cannot be used here");
        assert_eq!(fault("loop"), "its profile loop is of a mode that cannot be used here");
        assert_eq!(fault("none"), "it has no profile none");
    }

    #[test]
    fn sections_of_the_shared_file() {
        let text = "[default]\nenable = true\ntype = access_key\naccess_key_id = i\naccess_key_secret = s\n\n; no\n[ecs]\ntype = ecs_ram_role\n\
                    role_name = node\n[role]\ntype=ram_role_arn\naccess_key_id=i\naccess_key_secret=s\nrole_arn=arn\n\
                    role_session_name=n\n[off]\nenable = false\n[odd]\ntype = bearer\n";
        assert_eq!(key(text, None).1, "s");
        assert!(matches!(source(text, Some("ecs")), CredentialsPlan::EcsRole(_)));
        assert!(
            matches!(source(text, Some("role")), CredentialsPlan::AssumeRole(plan) if plan.session.name == "n")
        );
        for (name, expected) in [
            ("off", "its section is switched off"),
            ("odd", "its section is of a type that cannot be used here"),
            ("none", "it has no section [none]"),
        ] {
            assert_eq!(parse(text, Some(name)).unwrap_err(), expected);
        }
    }

    #[test]
    fn faults_quote_nothing() {
        for (text, expected) in [
            ("", "it has no section [default]"),
            ("hunter2", "its line 1 is neither `name: value` nor `name = value`"),
            ("a b: hunter2", "its line 1 is neither `name: value` nor `name = value`"),
            ("access_key_id: hunter2", "it has no access_key_secret"),
            ("access_key_secret: hunter2", "it has no access_key_id"),
            ("{\"a\": hunter2", "it is no JSON at line 1, column 7"),
            ("{\"access_key_id\": [\"hunter2\"]}", "it has no access_key_id"),
        ] {
            assert_eq!(parse(text, None).unwrap_err(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[\\[\\]{}:=\"'# a-z\n_]{0,80}") {
            let _ = parse(&text, None);
        }
    }
}
