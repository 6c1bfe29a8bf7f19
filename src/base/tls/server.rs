//! The server side: one certificate and key, optionally a CA for clients, and their replacement while connections go on.
//!
//! The files are compared by content, read through symbolic links: Kubernetes swaps a link above them and no time stamp
//! tells. New files take effect whole or not at all: a pair caught half written leaves the old one in service, costs one
//! error line and is looked at again [`LOOK`] later. A connection keeps the configuration it was accepted under. Session
//! tickets end with their configuration, since a resumed session shows no certificate again: a client that a new CA file
//! or list of names no longer lets in is not let in by its ticket.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, ServerConfig,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::BasicConstraints;

use super::names::Names;
use super::plan::{ClientAuth, TlsPlan, TlsVersion};
use super::{TlsError, pem, provider};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// A TLS connection of a client.
pub type ServerStream<S> = tokio_rustls::server::TlsStream<S>;

pub struct ServerTls {
    plan: TlsPlan,
    provider: Arc<CryptoProvider>,
    current: RwLock<Current>,
    /// What was said about files that do not load, so that it is said once.
    trouble: Mutex<Option<String>>,
}

struct Current {
    config: Arc<ServerConfig>,
    digest: [u8; 32],
}

/// What a look at the files led to.
#[derive(Debug)]
pub enum Reload {
    Same,
    Replaced,
    /// The new files do not load; the old ones stay in service.
    Kept(TlsError),
}

/// A client after its handshake.
#[derive(Debug)]
pub struct Accepted<S> {
    pub stream: ServerStream<S>,
    /// The name in its certificate, where it showed one: the first DNS name, else the first URI, else the common name.
    pub client: Option<Arc<str>>,
}

impl ServerTls {
    /// Reads the files. Blocks.
    pub fn load(plan: &TlsPlan) -> Result<ServerTls, TlsError> {
        let provider = provider();
        let current = Files::read(plan)?.build(plan, &provider)?;
        Ok(ServerTls {
            plan: plan.clone(),
            provider,
            current: RwLock::new(current),
            trouble: Mutex::default(),
        })
    }

    /// The handshake. Its errors are for [`super::Fault::of`]; its patience is the caller's.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<Accepted<S>> {
        let stream = self.acceptor().accept(stream).await?;
        let certificates = stream.get_ref().1.peer_certificates();
        let client = certificates.and_then(|chain| chain.first()).and_then(|own| Names::of(own).identity());
        Ok(Accepted { stream, client })
    }

    /// For connections that come in now.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.read().unwrap_or_else(PoisonError::into_inner).config.clone())
    }

    /// Serves the files as they are now, if they are others than before. Blocks.
    pub fn reload_if_changed(&self) -> Reload {
        let known = self.current.read().unwrap_or_else(PoisonError::into_inner).digest;
        let loaded = Files::read(&self.plan).and_then(|files| {
            if files.digest() == known { Ok(None) } else { files.build(&self.plan, &self.provider).map(Some) }
        });
        match loaded {
            Ok(None) => {
                self.say(None);
                Reload::Same
            }
            Ok(Some(new)) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
                self.say(None);
                tracing::info!(certificate = %self.plan.certificate.display(), "TLS certificate and key are loaded anew");
                Reload::Replaced
            }
            Err(error) => {
                self.say(Some(&error));
                Reload::Kept(error)
            }
        }
    }

    fn say(&self, error: Option<&TlsError>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let now = error.map(ToString::to_string);
        if let Some(text) = &now
            && *trouble != now
        {
            tracing::error!("the changed TLS files do not load, the ones before stay in use: {text}");
        }
        *trouble = now;
    }

    /// Looks at the files every few seconds.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        self.watch_every(LOOK, stop).await;
    }

    pub(super) async fn watch_every(self: Arc<Self>, pause: Duration, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let this = self.clone();
            // Files can be on a network file system that hangs; then this waits and nothing else does.
            let look = tokio::task::spawn_blocking(move || this.reload_if_changed());
            tokio::select! {
                () = stop.cancelled() => return,
                _ = look => {}
            }
        }
    }
}

/// The bytes of all files, from one look.
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Files {
    fn read(plan: &TlsPlan) -> Result<Files, TlsError> {
        Ok(Files {
            certificate: pem::read(&plan.certificate)?,
            key: pem::read(&plan.key)?,
            client_ca: plan.client_ca.as_deref().map(pem::read).transpose()?,
        })
    }

    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for part in [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten()
        {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    fn build(&self, plan: &TlsPlan, provider: &Arc<CryptoProvider>) -> Result<Current, TlsError> {
        let identity =
            pem::identity((&plan.certificate, &self.certificate), (&plan.key, &self.key), provider)?;
        if let Some(own) = identity.cert.first() {
            warn_if_refused(&plan.certificate, own);
        }
        let versions = match plan.min_version {
            TlsVersion::V1_2 => &[&TLS13, &TLS12][..],
            TlsVersion::V1_3 => &[&TLS13][..],
        };
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions)?;
        let builder = match self.verifier(plan, provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
        // Tickets need no memory here, a cache of sessions would.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.send_tls13_tickets = 1;
        Ok(Current { config: Arc::new(config), digest: self.digest() })
    }

    fn verifier(
        &self,
        plan: &TlsPlan,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        if plan.client_auth == ClientAuth::None {
            return Ok(None);
        }
        let (Some(path), Some(bytes)) = (&plan.client_ca, &self.client_ca) else {
            return Err(TlsError::NoClientCa);
        };
        let roots = pem::roots((path, bytes))?;
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
        let builder = match plan.client_auth {
            ClientAuth::Optional => builder.allow_unauthenticated(),
            _ => builder,
        };
        let inner = builder
            .build()
            .map_err(|error| TlsError::BadCertificate { path: path.clone(), reason: error.to_string() })?;
        if plan.client_names.is_empty() {
            return Ok(Some(inner));
        }
        Ok(Some(Arc::new(Listed { inner, names: plan.client_names.clone() })))
    }
}

/// Says what will make clients refuse the certificate. It is served all the same: some are told not to mind, and no
/// gateway is worse.
fn warn_if_refused(path: &Path, certificate: &CertificateDer<'_>) {
    let Ok(certificate) = x509_cert::Certificate::from_der(certificate) else { return };
    let certificate = certificate.tbs_certificate();
    let validity = certificate.validity();
    let now = SystemTime::now();
    if validity.not_after.to_system_time() < now {
        tracing::warn!(certificate = %path.display(), "the TLS certificate expired at {}; clients that check it refuse it",
            validity.not_after);
    } else if validity.not_before.to_system_time() > now {
        tracing::warn!(certificate = %path.display(),
            "the TLS certificate is not valid before {}; clients that check it refuse it until then", validity.not_before);
    }
    if let Ok(Some((_, BasicConstraints { ca: true, .. }))) = certificate.get_extension() {
        tracing::warn!(certificate = %path.display(),
            "the TLS certificate is a CA's, and strict clients refuse it as a server's; serve one that this CA signed, or \
             make it with basicConstraints=critical,CA:FALSE");
    }
}

/// Lets in who has a certificate of the CA that carries one of the names.
#[derive(Debug)]
struct Listed {
    inner: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
}

/// A client whose certificate is good and whose name is not on the list.
#[derive(Debug, thiserror::Error)]
#[error("the client's certificate{} has none of the names in tls.client_names", of(.0))]
pub(super) struct Unlisted(Option<Arc<str>>);

fn of(name: &Option<Arc<str>>) -> String {
    name.as_ref().map(|name| format!(" of {name:?}")).unwrap_or_default()
}

impl ClientCertVerifier for Listed {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(certificate, intermediates, now)?;
        let names = Names::of(certificate);
        if self.names.iter().any(|wanted| names.include(wanted)) {
            return Ok(verified);
        }
        let refusal = Arc::new(Unlisted(names.identity()));
        Err(CertificateError::Other(OtherError(refusal)).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.inner.requires_raw_public_keys()
    }
}
