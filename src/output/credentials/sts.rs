//! STS: keys of a role, for a token of Kubernetes (AssumeRoleWithOIDC) or for another key (AssumeRole).
//!
//! ```text
//! POST https://sts.aliyuncs.com/    form: Action Version=2015-04-01 Format=JSON Timestamp RoleArn RoleSessionName DurationSeconds
//!   AssumeRoleWithOIDC   + OIDCProviderArn OIDCToken; not signed: the token says who asks
//!   AssumeRole           + ExternalId AccessKeyId SecurityToken SignatureMethod SignatureVersion SignatureNonce Signature
//! Signature = base64(HMAC-SHA1(secret "&", "POST&%2F&" enc(sorted enc(k)=enc(v) joined by &)))
//! ```
//!
//! Its clock is learned from its answers: a request whose time it refuses is sent once more with the right one.

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::answer;
use super::http::{Http, Reply};
use super::source::Fetched;
use super::{AccessKey, file};
use crate::config::plan::{AssumeRolePlan, OidcPlan, SessionPlan};
use crate::wire::{query, sign};

type Form<'a> = Vec<(&'static str, &'a str)>;

pub(super) async fn oidc(plan: &OidcPlan, http: &Http) -> Result<Fetched, String> {
    // Kubernetes replaces it before it ends.
    let token = token(&plan.token_file, http).await?;
    let form = |time: &str, seconds: &str| {
        let mut form: Form<'_> = vec![
            ("Action", "AssumeRoleWithOIDC"),
            ("OIDCProviderArn", &plan.provider_arn),
            ("OIDCToken", &token),
        ];
        put_session(&mut form, &plan.role_arn, &plan.session, time, seconds);
        encoded(&form)
    };
    exchange(&plan.session, http, &plan.role_arn, form).await
}

pub(super) async fn assume_role(
    plan: &AssumeRolePlan,
    with: &AccessKey,
    http: &Http,
) -> Result<Fetched, String> {
    let form = |time: &str, seconds: &str| {
        let nonce = nonce();
        let mut form: Form<'_> = vec![
            ("Action", "AssumeRole"),
            ("AccessKeyId", &with.id),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureVersion", "1.0"),
            ("SignatureNonce", &nonce),
        ];
        put_session(&mut form, &plan.role_arn, &plan.session, time, seconds);
        form.extend(plan.external_id.as_deref().map(|id| ("ExternalId", id)));
        form.extend(with.security_token.as_ref().map(|token| ("SecurityToken", token.expose())));
        let signature = signature("POST", with.secret.expose(), &form);
        form.push(("Signature", &signature));
        encoded(&form)
    };
    exchange(&plan.session, http, &plan.role_arn, form).await
}

async fn token(path: &Path, http: &Http) -> Result<String, String> {
    let owned = path.to_owned();
    let read = http.read(move || file::bounded(&owned)).await?;
    let text = read.map_err(|error| format!("the token file {} cannot be read: {error}", path.display()))?;
    match text.trim() {
        "" => Err(format!("the token file {} is empty", path.display())),
        token => Ok(token.to_owned()),
    }
}

fn put_session<'a>(
    form: &mut Form<'a>,
    role: &'a str,
    session: &'a SessionPlan,
    time: &'a str,
    seconds: &'a str,
) {
    form.extend([
        ("Version", "2015-04-01"),
        ("Format", "JSON"),
        ("Timestamp", time),
        ("RoleArn", role),
        ("RoleSessionName", &session.name),
        ("DurationSeconds", seconds),
    ]);
}

async fn exchange(
    session: &SessionPlan,
    http: &Http,
    role: &str,
    form: impl Fn(&str, &str) -> String,
) -> Result<Fetched, String> {
    let seconds = session.duration.as_secs().to_string();
    let mut corrected = false;
    loop {
        let time = jiff::Timestamp::from_second(http.far_now()).unwrap_or_default();
        let time = time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let url = format!("{}/", session.sts);
        let reply = http.far(&url, form(&time, &seconds)).await;
        let reply = reply.map_err(|error| format!("{}: {}", session.sts, error.why))?;
        if reply.status == 200 {
            return parse(&reply, role);
        }
        let (code, text) = answer::error(&reply.body).unwrap_or_default();
        if code.to_ascii_lowercase().contains("timestamp") && !std::mem::replace(&mut corrected, true) {
            continue;
        }
        let said = answer::message(&code, text.as_deref());
        return Err(format!("{} answers HTTP {}: {said}", session.sts, reply.status));
    }
}

fn parse(reply: &Reply, role: &str) -> Result<Fetched, String> {
    let value: serde_json::Value =
        serde_json::from_slice(&reply.body).map_err(|_| "the answer of STS is no JSON".to_owned())?;
    let inner = value.get("Credentials").ok_or("the answer of STS has no Credentials")?;
    let mut fetched = answer::key(inner, reply.now, role)?;
    // Keys of a role always end, also when the answer does not say so.
    fetched.life.get_or_insert(Duration::from_secs(900));
    Ok(fetched)
}

fn encoded(form: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(1_024);
    for (index, (name, value)) in form.iter().enumerate() {
        if index > 0 {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        query::encode(value, &mut text);
    }
    text
}

/// The signature of the vendor's RPC interfaces, version 1.0.
fn signature(method: &str, secret: &str, form: &[(&str, &str)]) -> String {
    let mut sorted = form.to_vec();
    sorted.sort_unstable();
    let mut text = format!("{method}&%2F&");
    query::encode(&encoded(&sorted), &mut text);
    STANDARD.encode(sign::hmac_sha1(format!("{secret}&").as_bytes(), text.as_bytes()))
}

/// Never the same twice.
fn nonce() -> String {
    let mut random = [0u8; 16];
    // Without entropy the clock makes the difference.
    if getrandom::fill(&mut random).is_err() {
        random = jiff::Timestamp::now().as_nanosecond().to_le_bytes();
    }
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in the vendor's description of the RPC signature.
    #[test]
    fn published_signature() {
        let form = [
            ("Timestamp", "2016-02-23T12:46:24Z"),
            ("Format", "XML"),
            ("AccessKeyId", "testid"),
            ("Action", "DescribeRegions"),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureNonce", "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf"),
            ("Version", "2014-05-26"),
            ("SignatureVersion", "1.0"),
        ];
        assert_eq!(signature("GET", "testsecret", &form), "OLeaidS1JvxuMvnyHOwuJ+uX5qY=");
        assert_ne!(nonce(), nonce());
    }
}
