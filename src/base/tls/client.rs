//! The client side, for `sluicegate send`: whom to trust, what to show, and what the server is called.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use rustls_platform_verifier::BuilderVerifierExt;

use super::{TlsError, pem, provider};

/// How a client speaks TLS. The default trusts what this machine trusts and shows no certificate.
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    /// PEM: who may have signed the server's certificate. Without one, the roots this machine trusts.
    pub ca: Option<PathBuf>,
    /// Take any certificate. For a look at a server of one's own.
    pub insecure: bool,
    /// PEM files of a certificate chain and of its key, for servers that ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name the server's certificate must carry, where it is another one than that of the host connected to.
    pub server_name: Option<String>,
}

impl ClientTls {
    /// Reads the files and makes what rustls needs.
    pub fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let provider = provider();
        let builder =
            ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let builder = match &self.ca {
            _ if self.insecure => {
                let anyone = Arc::new(Anyone { provider: provider.clone() });
                builder.dangerous().with_custom_certificate_verifier(anyone)
            }
            Some(path) => builder.with_root_certificates(pem::roots((path, &pem::read(path)?))?),
            None => builder.with_platform_verifier().map_err(|error| TlsError::Roots(error.to_string()))?,
        };
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let identity = pem::identity(
                    (certificate, &pem::read(certificate)?),
                    (key, &pem::read(key)?),
                    &provider,
                )?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
            }
        };
        Ok(Arc::new(config))
    }

    /// What the server at `host` (a name or an address, an IPv6 one without brackets) must prove to be.
    pub fn name(&self, host: &str) -> Result<ServerName<'static>, TlsError> {
        let name = self.server_name.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName(name.to_owned()))
    }
}

/// Takes any certificate, though only from who has its key.
#[derive(Debug)]
struct Anyone {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
