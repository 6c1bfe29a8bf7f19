//! Certificates for tests: a CA, what it issues, and clients of every kind.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use rustls::{ClientConfig, SupportedProtocolVersion};
use tokio_rustls::TlsConnector;

use super::plan::{ClientAuth, TlsPlan, TlsVersion};
use super::{ClientTls, pem, provider};

pub(crate) const V1_2: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
pub(crate) const V1_3: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// PEM text of a certificate and its key.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Ca {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Ca { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for both sides with this common name.
    pub(crate) fn issue(&self, common: &str, alternatives: Vec<SanType>) -> Issued {
        self.issue_with(common, alternatives, |_| {})
    }

    pub(crate) fn issue_with(
        &self,
        common: &str,
        alternatives: Vec<SanType>,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common);
        params.subject_alt_names = alternatives;
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Issued { certificate, key: key.serialize_pem() }
    }
}

pub(crate) fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

/// A directory with a CA and a certificate for `localhost` by it.
pub(crate) struct Setup {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) ca: Ca,
}

impl Setup {
    pub(crate) fn new() -> Setup {
        let setup = Setup { dir: tempfile::tempdir().unwrap(), ca: Ca::new("test CA") };
        setup.write("ca.pem", &setup.ca.pem);
        setup.write_pair("server", &setup.ca.issue("server", vec![dns("localhost")]));
        setup
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// `name.pem` and `name.key`.
    pub(crate) fn write_pair(&self, name: &str, issued: &Issued) -> (PathBuf, PathBuf) {
        (
            self.write(&format!("{name}.pem"), &issued.certificate),
            self.write(&format!("{name}.key"), &issued.key),
        )
    }

    pub(crate) fn plan(&self) -> TlsPlan {
        TlsPlan {
            certificate: self.path("server.pem"),
            key: self.path("server.key"),
            min_version: TlsVersion::V1_2,
            client_ca: None,
            client_auth: ClientAuth::None,
            client_names: Vec::new(),
            allow_plain: false,
        }
    }

    pub(crate) fn mutual(&self, client_auth: ClientAuth, names: &[&str]) -> TlsPlan {
        TlsPlan {
            client_ca: Some(self.path("ca.pem")),
            client_auth,
            client_names: names.iter().map(|name| (*name).to_owned()).collect(),
            ..self.plan()
        }
    }

    /// A client that trusts the CA and shows nothing.
    pub(crate) fn client(&self) -> ClientTls {
        ClientTls { ca: Some(self.path("ca.pem")), ..ClientTls::default() }
    }

    /// A client with a certificate of its own, written as `name`.
    pub(crate) fn client_with(&self, name: &str, issued: &Issued) -> ClientTls {
        ClientTls { identity: Some(self.write_pair(name, issued)), ..self.client() }
    }

    /// A client of these versions of TLS alone.
    pub(crate) fn client_of(&self, versions: &[&'static SupportedProtocolVersion]) -> TlsConnector {
        let ca = self.path("ca.pem");
        let roots = pem::roots((&ca, &pem::read(&ca).unwrap())).unwrap();
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }
}

pub(crate) fn connector(client: &ClientTls) -> TlsConnector {
    TlsConnector::from(client.config().unwrap())
}

/// Points a link at another target in one step, as Kubernetes does with `..data`.
pub(crate) fn swap_link(link: &Path, target: &Path) {
    let aside = link.with_extension("aside");
    std::os::unix::fs::symlink(target, &aside).unwrap();
    std::fs::rename(&aside, link).unwrap();
}
