//! The names in a client's certificate: who it says it is, and whether it is on the list of those who may come.
//!
//! A certificate here was signed by a CA we were told to trust; its names may still be odd. A name with control
//! characters, or longer than [`NAME_BYTES`], is no name.

use std::net::IpAddr;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Longer ones are nobody's name; a DNS name has at most 253 characters.
const NAME_BYTES: usize = 1024;

/// What a certificate says its owner is called.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub common: Option<String>,
    pub dns: Vec<String>,
    pub uris: Vec<String>,
    pub emails: Vec<String>,
    pub addresses: Vec<IpAddr>,
}

impl Names {
    /// None at all when the certificate is beyond reading.
    pub fn of(certificate: &CertificateDer<'_>) -> Names {
        let Ok(certificate) = Certificate::from_der(certificate) else { return Names::default() };
        let certificate = certificate.tbs_certificate();
        let mut names = Names::default();
        if let Ok(Some(common)) = certificate.subject().common_name() {
            names.common = sound(&common.value());
        }
        if let Ok(Some((_, SubjectAltName(alternatives)))) = certificate.get_extension::<SubjectAltName>() {
            for alternative in &alternatives {
                match alternative {
                    GeneralName::DnsName(name) => names.dns.extend(sound(name.as_str())),
                    GeneralName::UniformResourceIdentifier(uri) => names.uris.extend(sound(uri.as_str())),
                    GeneralName::Rfc822Name(email) => names.emails.extend(sound(email.as_str())),
                    GeneralName::IpAddress(bytes) => names.addresses.extend(address(bytes.as_bytes())),
                    _ => {}
                }
            }
        }
        names
    }

    /// The one name to call it by: its first DNS name, else its first URI, else its common name.
    pub fn identity(&self) -> Option<Arc<str>> {
        self.dns.first().or(self.uris.first()).or(self.common.as_ref()).map(|name| Arc::from(name.as_str()))
    }

    /// Whether one of its names is what `wanted` stands for: `*.` for one label of a DNS name, every other text for
    /// itself. DNS names, common names and the domains of addresses for mail know no case.
    pub fn include(&self, wanted: &str) -> bool {
        let host = |name: &String| matches_host(wanted, name);
        self.dns.iter().any(host)
            || self.common.iter().any(host)
            || self.uris.iter().any(|uri| uri == wanted)
            || self.emails.iter().any(|email| same_mailbox(email, wanted))
            || wanted.parse().is_ok_and(|wanted: IpAddr| self.addresses.contains(&wanted.to_canonical()))
    }
}

fn sound(name: &str) -> Option<String> {
    let sound = !name.is_empty() && name.len() <= NAME_BYTES && !name.chars().any(char::is_control);
    sound.then(|| name.to_owned())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        _ => return None,
    };
    Some(address.to_canonical())
}

fn matches_host(wanted: &str, name: &str) -> bool {
    match wanted.strip_prefix("*.") {
        // A certificate that itself says `*.` is for a server and matches as the text it is.
        Some(domain) => name.split_once('.').is_some_and(|(label, rest)| {
            !label.is_empty() && (label != "*" || name == wanted) && rest.eq_ignore_ascii_case(domain)
        }),
        None => name.eq_ignore_ascii_case(wanted),
    }
}

fn same_mailbox(one: &str, two: &str) -> bool {
    match (one.rsplit_once('@'), two.rsplit_once('@')) {
        (Some((one, at)), Some((two, domain))) => one == two && at.eq_ignore_ascii_case(domain),
        _ => one == two,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_star_stands_for_one_label() {
        for (wanted, name, right) in [
            ("web.example.org", "WEB.example.ORG", true),
            ("*.example.org", "web.Example.org", true),
            ("*.example.org", "a.web.example.org", false),
            ("*.example.org", "example.org", false),
            ("*.example.org", ".example.org", false),
            ("*.example.org", "*.example.org", true),
            ("web", "web2", false),
        ] {
            assert_eq!(matches_host(wanted, name), right, "{wanted} {name}");
        }
        assert!(same_mailbox("Ann@Example.org", "Ann@example.ORG"));
        assert!(!same_mailbox("ann@example.org", "Ann@example.org"));
    }

    #[test]
    fn every_kind_of_name_counts() {
        let names = Names {
            common: Some("agent 7".to_owned()),
            dns: vec!["web.example.org".to_owned()],
            uris: vec!["spiffe://example.org/agent".to_owned()],
            emails: vec!["ann@example.org".to_owned()],
            addresses: vec!["192.0.2.7".parse().unwrap()],
        };
        for wanted in
            ["Agent 7", "*.example.org", "spiffe://example.org/agent", "ann@example.org", "::ffff:192.0.2.7"]
        {
            assert!(names.include(wanted), "{wanted}");
        }
        for wanted in ["agent 8", "spiffe://EXAMPLE.org/agent", "192.0.2.8", "", "*."] {
            assert!(!names.include(wanted), "{wanted}");
        }
        assert_eq!(names.identity().as_deref(), Some("web.example.org"));
    }

    #[test]
    fn a_name_that_would_break_a_line_is_none() {
        assert_eq!(sound("a\nb"), None);
        assert_eq!(sound(&"a".repeat(2000)), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(Names::of(&CertificateDer::from(bytes)), Names::default());
        }
    }
}
