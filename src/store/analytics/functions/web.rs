//! Functions of URLs, IP addresses, encodings and digests.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use rusqlite::Connection;
use rusqlite::types::Value;
use sha1::Digest;

use super::{argument, of_text, scalar, truth, user_error, whole};

type Part = fn(&Url<'_>) -> Option<String>;

pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let parts: [(&'static str, Part); 6] = [
        ("p_url_protocol", |url| Some(url.protocol.to_owned())),
        ("p_url_host", |url| Some(url.host.to_owned())),
        ("p_url_path", |url| Some(decode(url.path, false))),
        ("p_url_query", |url| Some(decode(url.query?, false))),
        ("p_url_fragment", |url| Some(decode(url.fragment?, false))),
        ("p_url_port", |url| url.port.map(|port| port.to_string())),
    ];
    for (name, part) in parts {
        of_text(connection, name, move |text| {
            let found = Url::of(text).and_then(|url| part(&url));
            match found {
                Some(text) if name == "p_url_port" => text.parse().map_or(Value::Null, Value::Integer),
                Some(text) => text.into(),
                None => Value::Null,
            }
        })?;
    }
    scalar(connection, "p_url_parameter", |context| {
        let (Some(text), Some(wanted)) = (argument(context, 0), argument(context, 1)) else {
            return Ok(Value::Null);
        };
        let query = Url::of(&text).and_then(|url| url.query).unwrap_or("");
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let found = pairs.map(|(key, value)| (decode(key, true), value)).find(|(key, _)| *key == *wanted);
        Ok(found.map_or(Value::Null, |(_, value)| decode(value, true).into()))
    })?;
    of_text(connection, "p_url_decode", |text| decode(text, true).into())?;
    of_text(connection, "p_url_encode", |text| encode(text).into())?;
    of_text(connection, "p_is_ip", |text| truth(text.parse::<IpAddr>().is_ok()))?;
    scalar(connection, "p_ip_prefix", |context| {
        let (Some(text), Some(bits)) = (argument(context, 0), whole(context, 1)) else {
            return Ok(Value::Null);
        };
        let Ok(address) = text.parse::<IpAddr>() else { return Ok(Value::Null) };
        let net = u8::try_from(bits).ok().and_then(|bits| IpNet::new(address, bits).ok());
        let net =
            net.ok_or_else(|| user_error(format!("ip_prefix: {address} has no prefix of {bits} bits")))?;
        Ok(net.trunc().to_string().into())
    })?;
    scalar(connection, "p_is_subnet_of", |context| {
        let (Some(net), Some(inner)) = (argument(context, 0), argument(context, 1)) else {
            return Ok(Value::Null);
        };
        let Ok(net) = net.parse::<IpNet>() else {
            return Err(user_error(format!(
                "is_subnet_of: {net:?} is no network; one looks like 10.0.0.0/8"
            )));
        };
        let inside = match (inner.parse::<IpAddr>(), inner.parse::<IpNet>()) {
            (Ok(address), _) => net.contains(&address),
            (_, Ok(inner)) => net.contains(&inner),
            _ => return Ok(Value::Null),
        };
        Ok(truth(inside))
    })?;
    of_text(connection, "p_ip_subnet_min", |text| {
        text.parse::<IpNet>().map_or(Value::Null, |net| net.network().to_string().into())
    })?;
    of_text(connection, "p_ip_subnet_max", |text| {
        text.parse::<IpNet>().map_or(Value::Null, |net| net.broadcast().to_string().into())
    })?;
    of_text(connection, "p_ip_to_domain", |text| match text.parse::<IpAddr>() {
        Ok(address) if is_private(address) => "intranet".to_owned().into(),
        Ok(_) => "internet".to_owned().into(),
        Err(_) => Value::Null,
    })?;
    of_text(connection, "p_md5", |text| hex(&md5::Md5::digest(text)).into())?;
    of_text(connection, "p_sha1", |text| hex(&sha1::Sha1::digest(text)).into())?;
    of_text(connection, "p_sha256", |text| hex(&sha2::Sha256::digest(text)).into())?;
    of_text(connection, "p_sha512", |text| hex(&sha2::Sha512::digest(text)).into())?;
    of_text(connection, "p_to_base64", |text| STANDARD.encode(text).into())?;
    of_text(connection, "p_from_base64", |text| {
        let bytes = STANDARD.decode(text.trim());
        bytes.map_or(Value::Null, |bytes| String::from_utf8_lossy(&bytes).into_owned().into())
    })
}

/// `protocol://[user@]host[:port]path[?query][#fragment]`; a bare path is one too.
struct Url<'a> {
    protocol: &'a str,
    host: &'a str,
    port: Option<u16>,
    path: &'a str,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

impl<'a> Url<'a> {
    fn of(text: &'a str) -> Option<Url<'a>> {
        let text = text.trim();
        if text.contains(char::is_whitespace) {
            return None;
        }
        let (text, fragment) = match text.split_once('#') {
            Some((text, fragment)) => (text, Some(fragment)),
            None => (text, None),
        };
        let (text, query) = match text.split_once('?') {
            Some((text, query)) => (text, Some(query)),
            None => (text, None),
        };
        let Some((protocol, rest)) = text.split_once("://") else {
            return Some(Url { protocol: "", host: "", port: None, path: text, query, fragment });
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
        // The colons of an IPv6 address stand in brackets.
        let colon = place.rfind(':').filter(|colon| place.rfind(']').is_none_or(|end| end < *colon));
        let (host, port) = match colon.and_then(|colon| place.split_at_checked(colon)) {
            Some((host, port)) => (host, port.get(1..).and_then(|port| port.parse().ok())),
            None => (place, None),
        };
        Some(Url { protocol, host, port, path, query, fragment })
    }
}

fn decode(text: &str, plus_is_blank: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digit = |at: usize| behind.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = behind.get(2..).unwrap_or_default();
                continue;
            }
            (b'+', ..) if plus_is_blank => bytes.push(b' '),
            _ => bytes.push(*first),
        }
        rest = behind;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local()
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
