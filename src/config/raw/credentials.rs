//! The keys of a destination as typed: the key itself, or where keys come from.
//!
//! ```text
//! credentials: chain | environment | ecs_ram_role | oidc            a source by its name, as the environment sets it up
//! credentials: { file: /run/secrets/log-service, profile: name }    or ecs_ram_role, oidc, assume_role, uri: one of them
//! credentials: [environment, { file: /path }, ecs_ram_role]         the first that gives a key
//! ```
//!
//! What the environment says is read here and nowhere else: the plan is complete. It refuses a destination with two places
//! for its keys, and one with none: keys that are looked for everywhere are asked for by name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{absolute, not_empty};
use crate::base::secret::Secret;
use crate::config::endpoint::Endpoint;
use crate::config::logtail_env::KEYS;
use crate::config::plan::{
    AssumeRolePlan, CredentialsPlan, EcsRolePlan, KeyPlan, METADATA, OidcPlan, SESSION, SESSION_NAME, STS,
    SessionPlan,
};
use crate::config::reader::{Leaf, Table};

/// What AssumeRole takes.
const SESSION_SECONDS: (u64, u64) = (900, 43_200);
/// Sources inside sources; a role that is assumed by a role that is assumed is enough.
const DEPTH: usize = 4;
/// Bytes of a configured URL.
const URL_BYTES: usize = 2_048;
const KINDS: [&str; 5] = ["file", "ecs_ram_role", "oidc", "assume_role", "uri"];
const NAMES: &str = "chain, environment, ecs_ram_role or oidc";

type Env = BTreeMap<String, String>;

/// The keys of a destination's table.
pub(super) fn keys(table: &mut Table<'_>) -> Option<CredentialsPlan> {
    if table.has("credentials") {
        for key in ["access_key_id", "access_key_secret", "security_token"] {
            table.refuse(key, "is a second place for keys beside `credentials`; leave one of them out");
        }
        let env = table.env();
        return source(table.take("credentials"), env, 0);
    }
    let missing = !table.has("access_key_id") && !table.has("access_key_secret");
    // So that a misspelt key hears of this one as well.
    table.take("credentials");
    let hint = match missing {
        true => {
            "write access_key_id: ${env:ALIBABA_CLOUD_ACCESS_KEY_ID}, or credentials: chain to look for keys as the vendor's \
             clients do"
        }
        false => "write access_key_id: ${env:ALIBABA_CLOUD_ACCESS_KEY_ID}",
    };
    let id = table.take("access_key_id").required(hint).parsed("text", not_empty);
    let secret = table.take("access_key_secret");
    let secret = if missing {
        None
    } else {
        secret.required("write access_key_secret: ${env:ALIBABA_CLOUD_ACCESS_KEY_SECRET}").secret()
    };
    let security_token = table.take("security_token").secret();
    Some(CredentialsPlan::Fixed(KeyPlan { id: id?, secret: secret?, security_token }))
}

fn source(leaf: Leaf<'_>, env: &Env, depth: usize) -> Option<CredentialsPlan> {
    if depth == DEPTH {
        leaf.fault("is a source inside too many others");
        return None;
    }
    if leaf.is_list() {
        if leaf.is_empty() {
            leaf.fault(format!("is an empty list; write sources of keys, such as {NAMES}"));
            return None;
        }
        let sources: Option<Vec<_>> =
            leaf.list().into_iter().map(|leaf| source(leaf, env, depth + 1)).collect();
        return sources.map(CredentialsPlan::FirstOf);
    }
    if leaf.is_text() {
        return by_name(leaf, env);
    }
    let mut table = leaf.table()?;
    let plan = by_table(&mut table, env, depth);
    table.finish();
    plan
}

fn by_name(leaf: Leaf<'_>, env: &Env) -> Option<CredentialsPlan> {
    let name = leaf.clone().parsed("text", |text| match text {
        "chain" | "environment" | "ecs_ram_role" | "oidc" => Ok(text.to_owned()),
        _ => Err(format!(
            "is no source of keys; write {NAMES}, or one of {} with what it needs",
            KINDS.join(", ")
        )),
    })?;
    let found = match name.as_str() {
        "chain" => return Some(CredentialsPlan::Chain(chain(env))),
        "ecs_ram_role" => return Some(CredentialsPlan::EcsRole(ecs_role(env))),
        "environment" => environment(env),
        _ => oidc(env),
    };
    found.map_err(|why| leaf.fault(format!("`{name}` cannot be used: {why}"))).ok()
}

fn by_table(table: &mut Table<'_>, env: &Env, depth: usize) -> Option<CredentialsPlan> {
    if table.has("access_key_id") || table.has("access_key_secret") {
        return keys(table);
    }
    let typed: Vec<&str> = KINDS.into_iter().filter(|kind| table.has(kind)).collect();
    let [kind] = typed.as_slice() else {
        // So that each is known.
        for kind in KINDS {
            table.take(kind);
        }
        table.take("profile");
        let what = match typed.as_slice() {
            [first, second, ..] => {
                format!("names both {first} and {second}; write a list to try one after the other")
            }
            _ => format!("names no source of keys; write one of {}", KINDS.join(", ")),
        };
        table.fault_here(what);
        return None;
    };
    match *kind {
        "file" => Some(CredentialsPlan::File {
            profile: table.take("profile").parsed("text", not_empty),
            path: table.take("file").parsed("a path", absolute)?,
        }),
        "ecs_ram_role" => ecs_role_of(table.take("ecs_ram_role"), env).map(CredentialsPlan::EcsRole),
        "oidc" => {
            let mut table = table.take("oidc").table()?;
            let plan = oidc_of(&mut table, env);
            table.finish();
            plan.map(CredentialsPlan::Oidc)
        }
        "assume_role" => {
            let mut table = table.take("assume_role").table()?;
            let plan = assume_role_of(&mut table, env, depth);
            table.finish();
            plan.map(|plan| CredentialsPlan::AssumeRole(Box::new(plan)))
        }
        _ => table.take("uri").parsed_secretly(url).map(CredentialsPlan::Uri),
    }
}

fn ecs_role_of(leaf: Leaf<'_>, env: &Env) -> Option<EcsRolePlan> {
    let plan = ecs_role(env);
    if leaf.is_text() {
        return Some(EcsRolePlan { role: Some(leaf.parsed("text", not_empty)?), ..plan });
    }
    let mut table = leaf.table()?;
    let role = table.take("role").parsed("text", not_empty);
    let address = table.take("address").parsed("an address", base_url);
    let allow_v1 = table.take("allow_v1").boolean();
    table.finish();
    Some(EcsRolePlan {
        role: role.or(plan.role),
        address: address.unwrap_or(plan.address),
        allow_v1: allow_v1.unwrap_or(plan.allow_v1),
    })
}

fn oidc_of(table: &mut Table<'_>, env: &Env) -> Option<OidcPlan> {
    let mut text = |key, variable: &str| match (table.has(key), set(env, variable)) {
        (false, Some(value)) => {
            table.take(key);
            Some(value.to_owned())
        }
        _ => table.take(key).required(&format!("write it, or set {variable}")).parsed("text", not_empty),
    };
    let role_arn = text("role_arn", ROLE_ARN);
    let provider_arn = text("provider_arn", PROVIDER_ARN);
    let token_file = text("token_file", TOKEN_FILE);
    let session = session_of(table, env);
    Some(OidcPlan {
        role_arn: role_arn?,
        provider_arn: provider_arn?,
        token_file: PathBuf::from(token_file?),
        session,
    })
}

fn assume_role_of(table: &mut Table<'_>, env: &Env, depth: usize) -> Option<AssumeRolePlan> {
    let role_arn =
        table.take("role_arn").required("write acs:ram::<account>:role/<name>").parsed("text", not_empty);
    let external_id = table.take("external_id").parsed("text", not_empty);
    let session = session_of(table, env);
    let with = table.take("credentials").required("say with which keys the role is assumed, such as chain");
    let with = if with.is_present() { source(with, env, depth + 1) } else { None };
    Some(AssumeRolePlan { role_arn: role_arn?, external_id, session, with: with? })
}

fn session_of(table: &mut Table<'_>, env: &Env) -> SessionPlan {
    let plan = session(env);
    let (least, most) = SESSION_SECONDS;
    SessionPlan {
        name: table.take("session_name").parsed("text", session_name).unwrap_or(plan.name),
        duration: table
            .take("duration")
            .duration(Duration::from_secs(least)..=Duration::from_secs(most))
            .unwrap_or(plan.duration),
        sts: table.take("sts_endpoint").parsed("an endpoint", base_url).unwrap_or(plan.sts),
    }
}

const ROLE_ARN: &str = "ALIBABA_CLOUD_ROLE_ARN";
const PROVIDER_ARN: &str = "ALIBABA_CLOUD_OIDC_PROVIDER_ARN";
const TOKEN_FILE: &str = "ALIBABA_CLOUD_OIDC_TOKEN_FILE";

/// The order of the vendor's credential library.
fn chain(env: &Env) -> Vec<CredentialsPlan> {
    let missing = |source: &'static str| move |why: String| CredentialsPlan::Missing { source, why };
    let off = |variable: &str| set(env, variable).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let home = set(env, "HOME").map(PathBuf::from);
    let profile = set(env, "ALIBABA_CLOUD_PROFILE").map(str::to_owned);
    let at_home = |source, name: &str| match &home {
        Some(home) => CredentialsPlan::File { path: home.join(name), profile: profile.clone() },
        None => missing(source)("HOME is not set".to_owned()),
    };
    let cli = if off("ALIBABA_CLOUD_CLI_PROFILE_DISABLED") {
        missing("~/.aliyun/config.json")("ALIBABA_CLOUD_CLI_PROFILE_DISABLED is true".to_owned())
    } else {
        at_home("~/.aliyun/config.json", ".aliyun/config.json")
    };
    let file = match set(env, "ALIBABA_CLOUD_CREDENTIALS_FILE") {
        Some(path) => CredentialsPlan::File { path: PathBuf::from(path), profile: profile.clone() },
        None => at_home("~/.alibabacloud/credentials", ".alibabacloud/credentials"),
    };
    let ecs = if off("ALIBABA_CLOUD_ECS_METADATA_DISABLED") {
        missing("ecs_ram_role")("ALIBABA_CLOUD_ECS_METADATA_DISABLED is true".to_owned())
    } else {
        CredentialsPlan::EcsRole(ecs_role(env))
    };
    let uri = match set(env, "ALIBABA_CLOUD_CREDENTIALS_URI").map(url) {
        Some(Ok(url)) => CredentialsPlan::Uri(url),
        Some(Err(why)) => missing("uri")(format!("ALIBABA_CLOUD_CREDENTIALS_URI {why}")),
        None => missing("uri")("ALIBABA_CLOUD_CREDENTIALS_URI is not set".to_owned()),
    };
    vec![
        environment(env).unwrap_or_else(missing("environment")),
        oidc(env).unwrap_or_else(missing("oidc")),
        cli,
        file,
        ecs,
        uri,
    ]
}

/// The first pair that is whole.
fn environment(env: &Env) -> Result<CredentialsPlan, String> {
    for (id, secret, token) in KEYS {
        if let (Some(id), Some(secret)) = (set(env, id), set(env, secret)) {
            let token = token.and_then(|token| set(env, token));
            return Ok(CredentialsPlan::Fixed(KeyPlan {
                id: id.to_owned(),
                secret: Secret::new(secret.to_owned()),
                security_token: token.map(|token| Secret::new(token.to_owned())),
            }));
        }
    }
    let (id, secret, _) = KEYS[KEYS.len() - 1];
    Err(format!("{id} and {secret} are not both set"))
}

fn oidc(env: &Env) -> Result<CredentialsPlan, String> {
    let need =
        |variable| set(env, variable).map(str::to_owned).ok_or_else(|| format!("{variable} is not set"));
    Ok(CredentialsPlan::Oidc(OidcPlan {
        role_arn: need(ROLE_ARN)?,
        provider_arn: need(PROVIDER_ARN)?,
        token_file: PathBuf::from(need(TOKEN_FILE)?),
        session: session(env),
    }))
}

fn ecs_role(env: &Env) -> EcsRolePlan {
    let no_v1 =
        set(env, "ALIBABA_CLOUD_IMDSV1_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    EcsRolePlan {
        role: set(env, "ALIBABA_CLOUD_ECS_METADATA").map(str::to_owned),
        address: METADATA.to_owned(),
        allow_v1: !no_v1,
    }
}

fn session(env: &Env) -> SessionPlan {
    let name = set(env, "ALIBABA_CLOUD_ROLE_SESSION_NAME").and_then(|name| session_name(name).ok());
    let inner = set(env, "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let host = if inner { "sts-vpc" } else { "sts" };
    let sts =
        set(env, "ALIBABA_CLOUD_STS_REGION").map(|region| format!("https://{host}.{region}.aliyuncs.com"));
    SessionPlan {
        name: name.unwrap_or_else(|| SESSION_NAME.to_owned()),
        duration: SESSION,
        sts: sts.and_then(|text| base_url(&text).ok()).unwrap_or_else(|| STS.to_owned()),
    }
}

fn set<'e>(env: &'e Env, variable: &str) -> Option<&'e str> {
    env.get(variable).map(String::as_str).filter(|value| !value.is_empty())
}

fn session_name(text: &str) -> Result<String, String> {
    let legal = |char: char| char.is_ascii_alphanumeric() || ".@-_".contains(char);
    if (2..=64).contains(&text.len()) && text.chars().all(legal) {
        return Ok(text.to_owned());
    }
    Err("is no session name; STS takes 2 to 64 letters, digits and . @ - _".to_owned())
}

fn base_url(text: &str) -> Result<String, String> {
    Endpoint::parse(text).map(|endpoint| endpoint.to_string())
}

fn url(text: &str) -> Result<Secret, String> {
    let has_scheme = text.starts_with("http://") || text.starts_with("https://");
    if has_scheme && text.len() <= URL_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(Secret::new(text.to_owned()));
    }
    Err("is no URL; write http://host:port/path".to_owned())
}
