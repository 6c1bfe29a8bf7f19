//! Reading certificates and keys: PEM files, bounded, with errors that name the file and what is wrong with it.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::{FILE_BYTES, TlsError};

/// The bytes of a file, through symbolic links.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error| TlsError::Unreadable { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(TlsError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

/// All certificates of a file, in order; at least one.
pub(super) fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let found = found.map_err(|error| broken(path, &error))?;
    if found.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(found)
}

/// The first private key of a file: PKCS#8, PKCS#1 or SEC1.
fn key(path: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    let has = |mark: &[u8]| memchr::memmem::find(bytes, mark).is_some();
    // The old form has a header inside the block, the new one a name of its own that the PEM reader passes over.
    if has(b"Proc-Type: 4,ENCRYPTED") {
        return Err(TlsError::EncryptedKey { path: path.to_owned() });
    }
    match PrivateKeyDer::from_pem_slice(bytes) {
        Ok(key) => Ok(key),
        Err(_) if has(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") => {
            Err(TlsError::EncryptedKey { path: path.to_owned() })
        }
        Err(pem::Error::NoItemsFound) => Err(TlsError::NoKey { path: path.to_owned() }),
        Err(error) => Err(broken(path, &error)),
    }
}

fn broken(path: &Path, error: &pem::Error) -> TlsError {
    // The reader's own words quote the offending line, which may be a key.
    let reason = match error {
        pem::Error::MissingSectionEnd { .. } => "a block has no END line",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is malformed",
        pem::Error::Base64Decode(_) => "a block is not base64",
        pem::Error::SectionTooLarge => "a block is too large",
        _ => "it cannot be understood",
    };
    TlsError::Pem { path: path.to_owned(), reason: reason.to_owned() }
}

/// A file with its bytes.
pub(super) type Named<'a> = (&'a Path, &'a [u8]);

/// A certificate chain with its key, which belong together.
pub(super) fn identity(
    (certificate, chain): Named<'_>,
    (key_path, key_bytes): Named<'_>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(certificate, chain)?;
    let key = key(key_path, key_bytes)?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|reason| TlsError::BadKey { path: key_path.to_owned(), reason })?;
    let identity = CertifiedKey::new(chain, key);
    match identity.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(identity),
        Err(Error::InconsistentKeys(_)) => {
            Err(TlsError::Mismatch { certificate: certificate.to_owned(), key: key_path.to_owned() })
        }
        Err(error) => {
            Err(TlsError::BadCertificate { path: certificate.to_owned(), reason: error.to_string() })
        }
    }
}

/// The CA certificates of a file.
pub(super) fn roots((path, bytes): Named<'_>) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, bytes)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::BadCertificate { path: path.to_owned(), reason: error.to_string() })?;
    }
    Ok(Arc::new(roots))
}
