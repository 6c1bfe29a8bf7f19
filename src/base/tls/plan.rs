//! How a server speaks TLS, as the configuration says it.

use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPlan {
    /// PEM, the server's own certificate first.
    pub certificate: PathBuf,
    /// PEM, without a passphrase.
    pub key: PathBuf,
    pub min_version: TlsVersion,
    /// PEM: who may sign clients' certificates.
    pub client_ca: Option<PathBuf>,
    pub client_auth: ClientAuth,
    /// Names of which a client's certificate must carry one, as subject common name or as subject alternative name; `*.`
    /// stands for one label. Empty: any name.
    pub client_names: Vec<String>,
    /// Serve peers without TLS on the same port.
    pub allow_plain: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    None,
    Optional,
    Required,
}
