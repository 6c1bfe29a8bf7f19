//! The way to the server: TCP or a Unix socket, TLS over it, and the shared-key handshake inside.
//!
//! Secrets come from files or the environment: on a command line every user of the machine could read them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use bytes::BytesMut;
use clap::Args;
use rustls::{AlertDescription, CertificateError, Error};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::delivery::Trouble;
use crate::base::host;
use crate::base::secret::Secret;
use crate::base::tls::{ClientTls, certificate_fault};
use crate::config::leaf::Address;
use crate::input::forward::handshake::client::{GreetError, Identity};
use crate::input::forward::handshake::greet;
use crate::record::msgpack::Foreign;

/// Each of connecting, TLS, HELO and PONG may take so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the question whether a server speaks TLS may take.
const PROBE: Duration = Duration::from_secs(3);
/// A file with a key is never near this; another one given by mistake would be.
const SECRET_BYTES: u64 = 64 * 1024;

#[derive(Args)]
pub(super) struct Connect {
    /// Address of the forward input: host:port or unix:/path.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:24224")]
    to: String,
    /// Speak TLS.
    #[arg(long)]
    tls: bool,
    /// PEM: who may have signed the server's certificate; without, the roots this machine trusts.
    #[arg(long, value_name = "FILE", requires = "tls")]
    ca: Option<PathBuf>,
    /// Take any certificate.
    #[arg(long, requires = "tls", conflicts_with = "ca")]
    insecure: bool,
    /// The name in the server's certificate, where it is not the host of --to.
    #[arg(long, value_name = "NAME", requires = "tls")]
    server_name: Option<String>,
    /// PEM: a certificate to show the server.
    #[arg(long, value_name = "FILE", requires = "tls", requires = "key")]
    cert: Option<PathBuf>,
    /// PEM: the key of --cert.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// The shared key of the input, the text of this file without its last line break.
    #[arg(long, value_name = "FILE")]
    shared_key_file: Option<PathBuf>,
    /// User name, for inputs that ask for users.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The user's password, the text of this file without its last line break.
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// How we call ourselves to an input with a shared key; this machine's name without.
    #[arg(long, value_name = "NAME")]
    self_hostname: Option<String>,
}

enum Place {
    Tcp(Address),
    Unix(PathBuf),
}

/// Where to go and what to say there, with all files read.
pub(super) struct Target {
    /// As the user wrote it.
    pub(super) to: String,
    place: Place,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    identity: Option<Identity>,
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// A connection that is ready for messages.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Stream>,
    /// Read and not yet looked at.
    pub(super) unread: BytesMut,
    /// False: the server closes after a message.
    pub(super) keepalive: bool,
}

impl Connect {
    /// Reads what the flags and the environment name.
    pub(super) fn target(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Target> {
        let to = self.to.clone();
        let place = match to.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Place::Unix(path.into()),
            Some(_) => bail!("--to {to}: the path is not absolute; write it as unix:/path"),
            None => Place::Tcp(Address::parse(&to).map_err(|what| anyhow!("--to {to}: {what}"))?),
        };
        let tls = self.tls.then(|| tls(self, &place)).transpose()?;
        let shared_key = secret(self.shared_key_file.as_deref(), variable("SLUICEGATE_SHARED_KEY"))?;
        let user = match &self.user {
            None => None,
            Some(_) if shared_key.is_none() => {
                bail!("--user needs a shared key: give it by --shared-key-file or SLUICEGATE_SHARED_KEY")
            }
            Some(user) => {
                let password = secret(self.password_file.as_deref(), variable("SLUICEGATE_PASSWORD"))?;
                let missing = "--user needs a password: give it by --password-file or SLUICEGATE_PASSWORD";
                Some((user.clone(), password.context(missing)?))
            }
        };
        let hostname = self.self_hostname.clone().unwrap_or_else(host::name);
        let identity = shared_key.map(|shared_key| Identity { hostname, shared_key, user });
        Ok(Target { to, place, tls, identity })
    }
}

fn tls(connect: &Connect, place: &Place) -> Result<(TlsConnector, ServerName<'static>)> {
    let identity = connect.cert.clone().zip(connect.key.clone());
    let (ca, server_name) = (connect.ca.clone(), connect.server_name.clone());
    let client = ClientTls { ca, insecure: connect.insecure, identity, server_name };
    let host = match place {
        Place::Tcp(address) => address.host.as_str(),
        Place::Unix(_) if connect.server_name.is_none() => {
            bail!("a Unix socket has no host name for --tls to check; give one by --server-name")
        }
        Place::Unix(_) => "",
    };
    Ok((TlsConnector::from(client.config()?), client.name(host)?))
}

/// A secret from a file, else from the environment. An empty variable is none, an empty file is an empty secret.
fn secret(file: Option<&Path>, variable: Option<String>) -> Result<Option<Secret>> {
    let Some(path) = file else {
        return Ok(variable.filter(|text| !text.is_empty()).map(Secret::new));
    };
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(SECRET_BYTES + 1).read_to_string(&mut text))
        .with_context(|| format!("{} cannot be read", path.display()))?;
    if text.len() as u64 > SECRET_BYTES {
        bail!(
            "{} is larger than {} KiB, so it is no file with a secret",
            path.display(),
            SECRET_BYTES / 1024
        );
    }
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    Ok(Some(Secret::new(line.to_owned())))
}

impl Target {
    #[cfg(test)]
    pub(super) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Connects and proves who we are.
    pub(super) async fn connect(&self) -> Result<Connection, Trouble> {
        let mut stream = timeout(PATIENCE, self.reach())
            .await
            .unwrap_or_else(|_| Err(Trouble::Passing(format!("{} does not answer", self.to))))?;
        if let Some((connector, name)) = &self.tls {
            let secured = timeout(PATIENCE, connector.connect(name.clone(), stream)).await;
            let secured = secured.map_err(|_| {
                Trouble::Lasting(format!(
                    "{} does not answer in TLS; leave --tls out if it speaks none",
                    self.to
                ))
            })?;
            stream = Box::new(secured.map_err(|error| self.not_secured(&error))?);
        }
        let Some(identity) = &self.identity else {
            return Ok(Connection { stream, unread: BytesMut::new(), keepalive: true });
        };
        match greet(&mut stream, identity, PATIENCE).await {
            Ok(server) => Ok(Connection { stream, unread: server.rest, keepalive: server.keepalive }),
            Err(GreetError::Silent(..)) if self.is_tls_server().await => Err(self.add_tls()),
            Err(error) => Err(self.not_greeted(error)),
        }
    }

    /// Whether the server speaks TLS where we do not: asks it on a connection of its own.
    pub(super) async fn is_tls_server(&self) -> bool {
        if self.tls.is_some() {
            return false;
        }
        let any = ClientTls { insecure: true, ..ClientTls::default() };
        let (Ok(config), Ok(name)) = (any.config(), any.name("localhost")) else { return false };
        let asking = async {
            let stream = self.reach().await.ok()?;
            Some(TlsConnector::from(config).connect(name, stream).await)
        };
        match timeout(PROBE, asking).await {
            Ok(Some(Ok(_))) => true,
            // One that refuses us in TLS speaks it, too.
            Ok(Some(Err(error))) => error
                .get_ref()
                .is_some_and(|error| matches!(error.downcast_ref(), Some(Error::AlertReceived(_)))),
            _ => false,
        }
    }

    async fn reach(&self) -> Result<Box<dyn Stream>, Trouble> {
        let to = &self.to;
        let nobody = |error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied => {
                Trouble::Lasting(format!("the socket of {to} is closed to this user: {error}"))
            }
            _ => Trouble::Passing(format!(
                "nothing accepts records on {to}; is the gateway running there? ({error})"
            )),
        };
        match &self.place {
            Place::Unix(path) => Ok(Box::new(UnixStream::connect(path).await.map_err(nobody)?)),
            Place::Tcp(Address { host, port }) => {
                // A name may stand for several addresses, and the server listens on one of them: `localhost` is ::1 too.
                let addresses: Vec<_> = lookup_host((host.as_str(), *port))
                    .await
                    .map_err(|error| {
                        Trouble::Lasting(format!("--to {to}: the name {host} is not known here: {error}"))
                    })?
                    .collect();
                let stream = TcpStream::connect(addresses.as_slice()).await.map_err(nobody)?;
                let _ = stream.set_nodelay(true);
                Ok(Box::new(stream))
            }
        }
    }

    fn not_secured(&self, error: &io::Error) -> Trouble {
        tls_trouble(&self.to, error).unwrap_or_else(|| {
            Trouble::Passing(format!(
                "{} ended the TLS handshake; leave --tls out if it speaks no TLS ({error})",
                self.to
            ))
        })
    }

    fn add_tls(&self) -> Trouble {
        Trouble::Lasting(format!("{}: the server speaks TLS; add --tls", self.to))
    }

    fn not_greeted(&self, error: GreetError) -> Trouble {
        let to = &self.to;
        match error {
            GreetError::Foreign(Foreign::Tls | Foreign::Other(0x15)) if self.tls.is_none() => self.add_tls(),
            GreetError::Lost(error) => tls_trouble(to, &error)
                .unwrap_or_else(|| Trouble::Passing(format!("the connection to {to} was lost: {error}"))),
            GreetError::NoHelo => Trouble::Passing(format!("{to} {error}")),
            error => Trouble::Lasting(format!("{to} {error}")),
        }
    }
}

/// What an error of a TLS connection means, if it is one of TLS.
pub(super) fn tls_trouble(to: &str, error: &io::Error) -> Option<Trouble> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(Trouble::Lasting(match error {
        Error::InvalidMessage(_) => format!("{to} speaks no TLS; leave --tls out"),
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => format!(
            "the certificate of {to} is signed by nobody this machine trusts; name its CA by --ca FILE, or take any \
             certificate by --insecure"
        ),
        Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. })
            if presented.is_empty() =>
        {
            let name = alternative_name(to);
            format!("the certificate of {to} is for no name at all; make it anew with subjectAltName={name}")
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            format!("the certificate of {to} is for another name; give that name by --server-name ({error})")
        }
        Error::InvalidCertificate(
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
        ) => format!(
            "the certificate of {to} is not for servers (extended key usage); give the server one that is"
        ),
        Error::InvalidCertificate(error) => {
            format!("the certificate of {to} is not accepted: {}", certificate_fault(error))
        }
        Error::AlertReceived(alert) => refusal(to, *alert),
        error => format!("TLS with {to} fails: {error}"),
    }))
}

/// What a server says in TLS about us.
fn refusal(to: &str, alert: AlertDescription) -> String {
    use AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked,
        CertificateUnknown, DecryptError, ProtocolVersion, UnknownCA, UnsupportedCertificate,
    };
    match alert {
        CertificateRequired => {
            format!("{to} wants a certificate of its clients; give one by --cert and --key")
        }
        BadCertificate
        | CertificateUnknown
        | UnknownCA
        | CertificateExpired
        | CertificateRevoked
        | UnsupportedCertificate
        | DecryptError
        | AccessDenied => {
            format!("{to} does not accept the certificate of --cert ({alert:?}); its log may say why")
        }
        ProtocolVersion => format!("{to} speaks neither TLS 1.2 nor TLS 1.3"),
        alert => format!(
            "{to} refuses the TLS connection: {alert:?}; it may want a certificate of its clients: --cert and --key"
        ),
    }
}

/// The subjectAltName, as OpenSSL writes it, of a server at `host:port`.
fn alternative_name(to: &str) -> String {
    let host = to.rsplit_once(':').map_or(to, |(host, _)| host).trim_matches(['[', ']']);
    let kind = if host.parse::<std::net::IpAddr>().is_ok() { "IP" } else { "DNS" };
    format!("{kind}:{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_for_a_certificate_have_their_kind() {
        assert_eq!(alternative_name("gw.example:24224"), "DNS:gw.example");
        assert_eq!(alternative_name("127.0.0.1:24224"), "IP:127.0.0.1");
        assert_eq!(alternative_name("[::1]:24224"), "IP:::1");
    }
}
