//! What goes wrong in handshakes, in words: what it is, and what to do about it.
//!
//! rustls says some of it in the names of its types and in seconds since 1970; what is common has a sentence of its own
//! here. [`Fault`] is the server's view of a client, [`certificate_fault`] serves both sides.

use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, Error};
use rustls_pki_types::UnixTime;
use x509_cert::der::DateTime;

/// Why a handshake failed, as it is counted and said.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// `tls_version`, `tls_certificate`, `tls_refused` or `tls_handshake`.
    pub reason: &'static str,
    pub text: String,
}

impl Fault {
    /// The reasons there are.
    pub const REASONS: [&'static str; 4] = ["tls_version", "tls_certificate", "tls_refused", "tls_handshake"];

    /// Of the error of a failed handshake. `None` when the peer reset the connection: it went away, as probes and
    /// heartbeats do that do not wait for our tickets.
    pub fn of(error: &io::Error) -> Option<Fault> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        if matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset) {
            return None;
        }
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        let (reason, text) = match tls {
            None if error.kind() == io::ErrorKind::UnexpectedEof => {
                ("tls_handshake", "the peer closed the connection in the middle of the handshake".to_owned())
            }
            None => ("tls_handshake", error.to_string()),
            Some(Error::PeerIncompatible(reason)) => {
                ("tls_version", format!("no TLS version or cipher is common to both sides: {reason:?}"))
            }
            Some(Error::AlertReceived(alert)) => ("tls_refused", refusal(*alert)),
            Some(Error::NoCertificatesPresented) => (
                "tls_certificate",
                "the client showed no certificate, and tls.client_auth asks for one".to_owned(),
            ),
            Some(Error::InvalidCertificate(CertificateError::Other(other)))
                if other.0.is::<super::server::Unlisted>() =>
            {
                ("tls_certificate", other.0.to_string())
            }
            Some(Error::InvalidCertificate(error)) => (
                "tls_certificate",
                format!("the client's certificate is not accepted: {}", clients_certificate(error)),
            ),
            Some(error) => ("tls_handshake", error.to_string()),
        };
        Some(Fault { reason, text })
    }
}

fn clients_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "none of the CAs in tls.client_ca signed it".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not for clients (extended key usage)".to_owned()
        }
        error => certificate_fault(error),
    }
}

/// What is wrong with a certificate, whoever showed it: a sentence about `it`.
pub fn certificate_fault(error: &CertificateError) -> String {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext, Other};
    match error {
        Expired => "it has expired; renew it".to_owned(),
        ExpiredContext { time, not_after } => {
            format!("it expired at {}, and by this machine's clock it is {}; renew it", date(*not_after), date(*time))
        }
        NotValidYet => "it is not valid yet; compare the clocks".to_owned(),
        NotValidYetContext { time, not_before } => format!(
            "it is not valid before {}, and by this machine's clock it is {}; compare the clocks",
            date(*not_before),
            date(*time)
        ),
        // The verifier's own errors have no words, only names.
        Other(other) => match other.0.to_string().as_str() {
            "CaUsedAsEndEntity" => "it is the certificate of a CA, which signs others and stands for nobody itself; use \
                                    one that the CA signed, or make it with basicConstraints=critical,CA:FALSE"
                .to_owned(),
            "UnsupportedCertVersion" => {
                "it is no version 3 certificate; make it anew with extensions, such as a subjectAltName".to_owned()
            }
            name => format!("it is against the rules ({name})"),
        },
        error => error.to_string(),
    }
}

fn date(time: UnixTime) -> String {
    let date = DateTime::from_unix_duration(Duration::from_secs(time.as_secs()));
    date.map_or_else(|_| format!("second {} since 1970", time.as_secs()), |date| date.to_string())
}

fn refusal(alert: AlertDescription) -> String {
    use AlertDescription::{
        BadCertificate, CertificateExpired, CertificateUnknown, UnknownCA, UnsupportedCertificate,
    };
    let advice = match alert {
        UnknownCA => "give it the CA that signed it",
        BadCertificate | CertificateUnknown => {
            "its log may say why: another name than the one it connects to, or a CA it does not know"
        }
        CertificateExpired => "it has expired, or the client's clock is wrong",
        UnsupportedCertificate => "it may not be for servers (extended key usage)",
        alert => return format!("the client refused: {alert:?}"),
    };
    format!("the client does not accept our certificate ({alert:?}); {advice}")
}
