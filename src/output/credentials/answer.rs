//! The JSON in which keys come, from the metadata service, a credentials URI and STS.
//!
//! ```text
//! {"Code":"Success","AccessKeyId":"..","AccessKeySecret":"..","SecurityToken":"..","Expiration":"2024-01-01T06:00:00Z"}
//! {"Credentials":{"AccessKeyId":..},"RequestId":".."}                                                          STS
//! {"Code":"..","Message":".."}                                                                                 its errors
//! ```
//!
//! How long a key lives is its end less the *server's* clock: ours may be off by hours, which must not make every key dead.
//! No message quotes what a value holds.

use std::time::Duration;

use serde_json::Value;

use super::AccessKey;
use super::source::Fetched;
use crate::base::secret::Secret;

/// Of what a service says of an error.
const MESSAGE_CHARS: usize = 300;

/// A key of an answer; `now` is the clock of whoever gave it, in seconds since 1970.
pub(super) fn key(value: &Value, now: i64, from: &str) -> Result<Fetched, String> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let code = text("Code").filter(|code| *code != "Success");
    if let Some(code) = code {
        return Err(message(code, text("Message")));
    }
    let need = |name: &str| text(name).ok_or_else(|| format!("the answer has no {name}"));
    let key = AccessKey {
        id: need("AccessKeyId")?.to_owned(),
        secret: Secret::new(need("AccessKeySecret")?.to_owned()),
        security_token: text("SecurityToken").map(|token| Secret::new(token.to_owned())),
    };
    let life = match text("Expiration") {
        Some(end) => Some(life(end, now)?),
        None => None,
    };
    Ok(Fetched { key, life, reread: false, from: from.to_owned() })
}

/// What is left until a moment such as `2024-01-01T06:00:00Z`.
pub(super) fn life(end: &str, now: i64) -> Result<Duration, String> {
    let moment =
        end.parse::<jiff::Timestamp>().map_err(|_| "its Expiration is no time".to_owned())?.as_second();
    match u64::try_from(moment.saturating_sub(now)) {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("it gives a key that ended at {end}")),
    }
}

/// What comes before the request in the message of a wrong signature; the request holds tokens.
const QUOTED: &str = "string to sign";

/// An error in the service's own words, bounded and on one line, without the request it quotes.
pub(super) fn message(code: &str, text: Option<&str>) -> String {
    let whole = match text {
        Some(text) => format!("{code}: {text}"),
        None => code.to_owned(),
    };
    let end = whole.to_ascii_lowercase().find(QUOTED).unwrap_or(whole.len());
    whole[..end].chars().take(MESSAGE_CHARS).map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// The error that a body holds, if it is one.
pub(super) fn error(body: &[u8]) -> Option<(String, Option<String>)> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    Some((text("Code")?, text("Message")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_live_by_the_clock_of_who_gave_them() {
        let mut answer = json!({ "Code": "Success", "AccessKeyId": "STS.1", "AccessKeySecret": "hunter2",
            "SecurityToken": "t", "Expiration": "2024-01-01T06:00:00Z", "LastUpdated": "x" });
        let end = 1_704_088_800;
        let fetched = key(&answer, end - 60, "here").unwrap();
        assert_eq!((fetched.key.id.as_str(), fetched.life), ("STS.1", Some(Duration::from_secs(60))));
        assert!(!format!("{fetched:?}").contains("hunter2"));
        assert_eq!(
            key(&answer, end, "here").unwrap_err(),
            "it gives a key that ended at 2024-01-01T06:00:00Z"
        );
        answer["Expiration"] = json!("soon");
        assert_eq!(key(&answer, end, "here").unwrap_err(), "its Expiration is no time");
        answer["AccessKeySecret"] = json!(7);
        assert_eq!(key(&answer, end, "here").unwrap_err(), "the answer has no AccessKeySecret");
        let refused = json!({ "Code": "Forbidden\n", "Message": "no" });
        assert_eq!(key(&refused, end, "here").unwrap_err(), "Forbidden : no");
        let quoted =
            Some("not matched. server String to Sign is:POST&%2F&AccessKeyId%3DS%26SecurityToken%3Dhunter2");
        assert_eq!(message("SignatureDoesNotMatch", quoted), "SignatureDoesNotMatch: not matched. server ");
        assert_eq!(key(&json!([1]), end, "here").unwrap_err(), "the answer has no AccessKeyId");
    }
}
