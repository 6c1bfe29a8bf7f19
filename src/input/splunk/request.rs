//! What a request is about, read from its line and headers: the endpoint, the sender's token and channel, and whether
//! Docker's driver wrote it.
//!
//! ```text
//! /services/collector            events (also /event, /event/1.0)      OPTIONS, POST
//! /services/collector/raw        lines (also /raw/1.0)                 OPTIONS, POST
//! /services/collector/ack        what became of ack ids                OPTIONS, POST
//! /services/collector/health     (also /health/1.0)                    OPTIONS, GET
//! ```
//!
//! Docker's driver probes with OPTIONS, without a token, and takes 200 alone for an answer.

use base64::Engine;
use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, USER_AGENT};
use subtle::{Choice, ConstantTimeEq};

use super::answer::Code;
use crate::base::secret::Secret;
use crate::wire::query;

/// The client's name for its connection; acknowledgement belongs to one.
const CHANNEL: &str = "x-splunk-request-channel";
/// Longer queries are not looked into.
const QUERY_BYTES: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Event,
    Raw,
    Ack,
    Health,
}

impl Endpoint {
    pub(super) fn of(path: &str) -> Option<Endpoint> {
        let path = path.strip_prefix("/services/collector")?;
        match path.strip_suffix('/').unwrap_or(path) {
            "" | "/event" | "/event/1.0" => Some(Endpoint::Event),
            "/raw" | "/raw/1.0" => Some(Endpoint::Raw),
            "/ack" | "/ack/1.0" => Some(Endpoint::Ack),
            "/health" | "/health/1.0" => Some(Endpoint::Health),
            _ => None,
        }
    }

    pub(super) fn takes(self, method: &Method) -> bool {
        match self {
            Endpoint::Health => matches!(*method, Method::GET | Method::HEAD),
            _ => *method == Method::POST,
        }
    }
}

/// What the query may say: where raw lines come from, and the channel.
#[derive(Debug, Default)]
pub(super) struct Query {
    pub(super) time: Option<String>,
    pub(super) host: Option<String>,
    pub(super) source: Option<String>,
    pub(super) sourcetype: Option<String>,
    pub(super) index: Option<String>,
    channel: Option<String>,
    has_token: bool,
}

impl Query {
    pub(super) fn parse(text: Option<&str>) -> Query {
        let mut found = Query::default();
        let text = text.filter(|text| text.len() <= QUERY_BYTES).unwrap_or_default();
        for (name, value) in query::parse(text) {
            let slot = match name.as_str() {
                "time" => &mut found.time,
                "host" => &mut found.host,
                "source" => &mut found.source,
                "sourcetype" => &mut found.sourcetype,
                "index" => &mut found.index,
                "channel" => &mut found.channel,
                "token" => {
                    found.has_token = true;
                    continue;
                }
                _ => continue,
            };
            *slot = value.filter(|value| !value.is_empty());
        }
        found
    }

    /// Whether the request names a channel, which has to be a GUID.
    pub(super) fn has_channel(&self, headers: &HeaderMap) -> Result<bool, Code> {
        let header = headers.get(CHANNEL).map(|value| value.as_bytes());
        match header.or(self.channel.as_deref().map(str::as_bytes)) {
            None => Ok(false),
            Some(channel) if is_guid(channel) => Ok(true),
            Some(_) => Err(Code::InvalidChannel),
        }
    }
}

fn is_guid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Whether Docker's driver sends this: a Go client that says nothing of what it sends. It sends again whatever was not
/// taken, so the content of its events is never a reason to refuse them.
pub(super) fn is_docker(headers: &HeaderMap) -> bool {
    let go = |value: &hyper::header::HeaderValue| value.as_bytes().starts_with(b"Go-http-client/");
    !headers.contains_key(CONTENT_TYPE) && headers.get(USER_AGENT).is_some_and(go)
}

/// Checks the sender's token: `Authorization: Splunk <token>`, or `Basic` with the token for a password. Without tokens
/// of our own any is good enough, none is not.
pub(super) fn authorize(headers: &HeaderMap, query: &Query, tokens: &[Secret]) -> Result<(), Code> {
    let Some(header) = headers.get(AUTHORIZATION) else {
        return Err(if query.has_token { Code::QueryToken } else { Code::TokenRequired });
    };
    let token = header.to_str().ok().and_then(token).ok_or(Code::InvalidAuthorization)?;
    let known = tokens.iter().fold(Choice::from(u8::from(tokens.is_empty())), |known, ours| {
        known | ours.expose().as_bytes().ct_eq(token.as_bytes())
    });
    if bool::from(known) { Ok(()) } else { Err(Code::InvalidToken) }
}

fn token(header: &str) -> Option<String> {
    let (scheme, rest) = header.trim().split_once(' ')?;
    let rest = rest.trim();
    let token = if scheme.eq_ignore_ascii_case("splunk") {
        rest.to_owned()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let pair = base64::engine::general_purpose::STANDARD.decode(rest).ok()?;
        let (_, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
        password.to_owned()
    } else {
        return None;
    };
    (!token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn endpoints_go_by_all_their_names() {
        for (path, endpoint) in [
            ("/services/collector", Some(Endpoint::Event)),
            ("/services/collector/", Some(Endpoint::Event)),
            ("/services/collector/event", Some(Endpoint::Event)),
            ("/services/collector/event/1.0", Some(Endpoint::Event)),
            ("/services/collector/raw/1.0", Some(Endpoint::Raw)),
            ("/services/collector/ack", Some(Endpoint::Ack)),
            ("/services/collector/health/1.0", Some(Endpoint::Health)),
            ("/services/collector/event/2.0", None),
            ("/services/collectors", None),
            ("/", None),
        ] {
            assert_eq!(Endpoint::of(path), endpoint, "{path}");
        }
    }

    #[test]
    fn tokens_are_asked_for_and_compared() {
        let tokens = [Secret::new("one".to_owned()), Secret::new("two-2".to_owned())];
        let none = Query::default();
        for (header, known, any) in [
            (Some("Splunk two-2"), Ok(()), Ok(())),
            (Some("splunk  one "), Ok(()), Ok(())),
            (Some("Basic eDpvbmU="), Ok(()), Ok(())),
            (Some("Splunk two-3"), Err(Code::InvalidToken), Ok(())),
            (Some("Splunk on"), Err(Code::InvalidToken), Ok(())),
            (Some("one"), Err(Code::InvalidAuthorization), Err(Code::InvalidAuthorization)),
            (Some("Bearer one"), Err(Code::InvalidAuthorization), Err(Code::InvalidAuthorization)),
            (Some("Splunk "), Err(Code::InvalidAuthorization), Err(Code::InvalidAuthorization)),
            (Some("Basic !"), Err(Code::InvalidAuthorization), Err(Code::InvalidAuthorization)),
            (None, Err(Code::TokenRequired), Err(Code::TokenRequired)),
        ] {
            let headers = header.map(|value| headers(&[("authorization", value)])).unwrap_or_default();
            assert_eq!(authorize(&headers, &none, &tokens), known, "{header:?}");
            assert_eq!(authorize(&headers, &none, &[]), any, "{header:?}");
        }
        let query = Query::parse(Some("token=one"));
        assert_eq!(authorize(&HeaderMap::new(), &query, &tokens), Err(Code::QueryToken));
    }

    #[test]
    fn channels_are_guids_from_the_header_or_the_query() {
        const GUID: &str = "46eaa731-df0f-422d-8cc8-01FA79FA970A";
        let query = |text: &str| Query::parse(Some(text));
        let none = HeaderMap::new();
        assert_eq!(query("").has_channel(&none), Ok(false));
        assert_eq!(query(&format!("channel={GUID}")).has_channel(&none), Ok(true));
        assert_eq!(query("").has_channel(&headers(&[(CHANNEL, GUID)])), Ok(true));
        for wrong in ["x", "46eaa731-df0f-422d-8cc8-01fa79fa970", "46eaa731adf0f-422d-8cc8-01fa79fa970a"] {
            let named = headers(&[(CHANNEL, wrong)]);
            assert_eq!(query("").has_channel(&named), Err(Code::InvalidChannel), "{wrong}");
        }
    }

    #[test]
    fn docker_says_nothing_of_what_it_sends() {
        assert!(is_docker(&headers(&[("user-agent", "Go-http-client/1.1")])));
        assert!(!is_docker(&headers(&[
            ("user-agent", "Go-http-client/1.1"),
            ("content-type", "application/json")
        ])));
        assert!(!is_docker(&headers(&[("user-agent", "curl/8")])));
    }
}
