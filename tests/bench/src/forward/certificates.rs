//! The certificates of a run: an authority, a server's and a client's certificate signed by it, as PEM files.
//!
//! The server's key is ECDSA P-256, as most authorities issue today, or RSA of 2,048 bits, as many still in use are.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_RSA_SHA256, RsaKeySize,
};

/// The name in the server's certificate.
pub const SERVER: &str = "gateway.bench";

/// Paths of PEM files.
#[derive(Clone)]
pub struct Certificates {
    pub authority: PathBuf,
    pub ecdsa: Pair,
    pub rsa: Pair,
    pub client: Pair,
}

#[derive(Clone)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Certificates {
    /// Makes new ones in `dir`, where they stay as long as the directory.
    pub fn make(dir: &Path) -> Result<Certificates, Box<dyn Error>> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "authority of the benchmark");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let sign = |name: &str, file: &str, key: KeyPair| -> Result<Pair, Box<dyn Error>> {
            let mut params = CertificateParams::new(vec![name.to_owned()])?;
            params.distinguished_name.push(DnType::CommonName, name);
            let certificate = params.signed_by(&key, &authority)?;
            let pair =
                Pair { certificate: dir.join(format!("{file}.crt")), key: dir.join(format!("{file}.key")) };
            fs::write(&pair.certificate, certificate.pem())?;
            fs::write(&pair.key, key.serialize_pem())?;
            Ok(pair)
        };
        let certificates = Certificates {
            authority: dir.join("authority.crt"),
            ecdsa: sign(SERVER, "server-ecdsa", KeyPair::generate()?)?,
            rsa: sign(SERVER, "server-rsa", KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?)?,
            client: sign("client.bench", "client", KeyPair::generate()?)?,
        };
        fs::write(&certificates.authority, authority.pem())?;
        Ok(certificates)
    }
}
