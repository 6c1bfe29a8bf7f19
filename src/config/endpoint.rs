//! Where a Log Service answers: its endpoint, by name or by region and network.
//!
//! ```text
//! cn-hangzhou.log.aliyuncs.com             public            cn-hangzhou-intranet.log.aliyuncs.com    internal
//! log-global.aliyuncs.com                  acceleration: of every region, so its name tells none
//! *.sls.aliyuncs.com                       the newer spelling of the same; -share, -vpc and -internal are variants of internal
//! ```
//!
//! The project goes in front of the host when a client is made. A vendor's name without a scheme is https; every other
//! endpoint has to say.

use std::fmt;
use std::net::IpAddr;

use super::leaf::{Address, split_host};

/// The vendor's domain; endpoints below it need no scheme.
const VENDOR: &str = ".aliyuncs.com";
/// What follows the region and its network.
const SERVICES: [&str; 2] = [".log.aliyuncs.com", ".sls.aliyuncs.com"];
/// Networks that are named in the host, behind the region.
const SUFFIXES: [&str; 4] = ["-intranet", "-share", "-vpc", "-internal"];
const ACCELERATION: &str = "log-global.aliyuncs.com";
/// Longest known: `cn-shanghai-finance-1`.
const REGION_BYTES: usize = 63;

/// `scheme://host[:port]`, without the project in its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub tls: bool,
    /// As in [`Address::host`].
    pub host: String,
    /// The scheme's own port when none was typed.
    pub port: u16,
}

/// By which network a region is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Public,
    Internal,
    Acceleration,
}

impl Endpoint {
    pub fn parse(text: &str) -> Result<Endpoint, String> {
        let (tls, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            None if is_vendors(text) => (true, text),
            _ => return Err("is not an endpoint; write https://cn-hangzhou.log.aliyuncs.com".to_owned()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(
                "has more than scheme, host and port; write https://cn-hangzhou.log.aliyuncs.com".to_owned()
            );
        }
        let (host, port) = split_host(rest)?;
        if port == Some(0) {
            return Err("has port 0, which nobody can reach".to_owned());
        }
        Ok(Endpoint { tls, host, port: port.unwrap_or(if tls { 443 } else { 80 }) })
    }

    /// The endpoint of a region, over https.
    pub fn of_region(region: &str, network: Network) -> Endpoint {
        let host = match network {
            Network::Public => format!("{region}{}", SERVICES[0]),
            Network::Internal => format!("{region}{}{}", SUFFIXES[0], SERVICES[0]),
            Network::Acceleration => ACCELERATION.to_owned(),
        };
        Endpoint { tls: true, host, port: 443 }
    }

    /// The region that the host names, if it names one.
    pub fn region(&self) -> Option<&str> {
        let host = SERVICES.iter().find_map(|service| self.host.strip_suffix(service))?;
        let region = SUFFIXES.iter().find_map(|suffix| host.strip_suffix(suffix)).unwrap_or(host);
        parse_region(region).is_ok().then_some(region)
    }

    pub fn address(&self) -> Address {
        Address { host: self.host.clone(), port: self.port }
    }

    /// Whether the host is an address or this machine, and so no name that a project can stand in front of.
    pub fn is_address(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok() || self.host.eq_ignore_ascii_case("localhost")
    }
}

/// Whether a host without a scheme is of the vendor.
fn is_vendors(text: &str) -> bool {
    let host = text.strip_suffix('/').unwrap_or(text);
    let host = host.split(':').next().unwrap_or(host);
    host.strip_suffix(VENDOR).is_some_and(|rest| !rest.is_empty())
}

/// A region such as `cn-hangzhou`. Version 4 of the signature takes any text, so this only keeps out what is none at sight.
pub(super) fn parse_region(text: &str) -> Result<String, String> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edges = [text.bytes().next(), text.bytes().next_back()];
    if (1..=REGION_BYTES).contains(&text.len())
        && text.bytes().all(legal)
        && edges.iter().flatten().all(|edge| *edge != b'-')
    {
        return Ok(text.to_owned());
    }
    Err("is no region; write its id, such as cn-hangzhou".to_owned())
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.tls { ("https", 443) } else { ("http", 80) };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "{scheme}://{host}")?;
        if self.port != usual {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_know_their_scheme() {
        let cloud = Endpoint::parse("https://cn-hangzhou.log.aliyuncs.com/").unwrap();
        assert_eq!((cloud.tls, cloud.port), (true, 443));
        assert_eq!(cloud.to_string(), "https://cn-hangzhou.log.aliyuncs.com");
        for text in ["http://127.0.0.1:24280", "http://[::1]:9", "http://[::1]", "https://a.b:80"] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), text);
        }
        for text in ["cn-hangzhou.log.aliyuncs.com", "cn-hangzhou.sls.aliyuncs.com:8443/"] {
            let whole = format!("https://{}", text.trim_end_matches('/'));
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), whole);
        }
        assert!(
            !Endpoint::parse("http://cn-hangzhou.log.aliyuncs.com").unwrap().tls,
            "what is written counts"
        );
        for wrong in
            ["h.example", "ftp://a", "https://", "http://a/b", "http://u:p@a", "http://a:0", ".aliyuncs.com"]
        {
            assert!(Endpoint::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn regions_and_networks() {
        for (network, host) in [
            (Network::Public, "eu-central-1.log.aliyuncs.com"),
            (Network::Internal, "eu-central-1-intranet.log.aliyuncs.com"),
            (Network::Acceleration, "log-global.aliyuncs.com"),
        ] {
            let endpoint = Endpoint::of_region("eu-central-1", network);
            assert_eq!(endpoint.to_string(), format!("https://{host}"));
            let region = (network != Network::Acceleration).then_some("eu-central-1");
            assert_eq!(endpoint.region(), region);
        }
        for (host, region) in [
            ("cn-shanghai-finance-1-share.log.aliyuncs.com:80", Some("cn-shanghai-finance-1")),
            ("cn-beijing-vpc.sls.aliyuncs.com", Some("cn-beijing")),
            ("cn-beijing-internal.sls.aliyuncs.com", Some("cn-beijing")),
            ("oss.aliyuncs.com", None),
            ("h.example", None),
            ("127.0.0.1", None),
        ] {
            assert_eq!(Endpoint::parse(&format!("http://{host}")).unwrap().region(), region, "{host}");
        }
        for wrong in ["", "cn_hangzhou", "CN", "-a", "a-", "a.b"] {
            assert!(parse_region(wrong).is_err(), "{wrong}");
        }
        let is_address = |text: &str| Endpoint::parse(text).unwrap().is_address();
        assert!(
            is_address("http://[::1]:1") && is_address("http://127.0.0.1") && is_address("http://LOCALHOST")
        );
        assert!(!is_address("http://h.example"));
    }
}
