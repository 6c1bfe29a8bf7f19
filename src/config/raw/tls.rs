//! The section `tls` of an input as typed: complete in itself, or faulty.
//!
//! What it refuses is what would look like a lock and be none: names that nobody checks, a demand for certificates
//! without an authority that signs them, and that demand on a port where plain peers show none.

use std::path::PathBuf;

use crate::config::plan::{ClientAuth, TlsPlan, TlsVersion};
use crate::config::reader::{Leaf, Table};

/// A host name has at most 253 bytes, a common name 64 characters.
const NAME_BYTES: usize = 255;

/// Nothing when the section is absent; inside, nothing when it is faulty.
pub(super) fn tls(leaf: Leaf<'_>) -> Option<Option<TlsPlan>> {
    if !leaf.is_present() {
        return None;
    }
    let Some(mut table) = leaf.table() else { return Some(None) };
    let plan = section(&mut table);
    table.finish();
    Some(plan)
}

fn section(table: &mut Table<'_>) -> Option<TlsPlan> {
    let pem = "write the path of a PEM file";
    let certificate = table.take("certificate").required(pem).parsed("a path", made_absolute);
    let key = table.take("key").required(pem).parsed("a path", made_absolute);
    let min_version =
        table.take("min_version").choice(&[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)]);
    let has_ca = table.has("client_ca");
    let client_ca = table.take("client_ca").parsed("a path", made_absolute);
    let client_auth = client_auth(table, has_ca);
    if client_auth == Some(ClientAuth::None) && table.has("client_names") {
        table.fault(
            "client_names",
            "needs clients' certificates; set client_ca, and client_auth to required or optional",
        );
    }
    let client_names = table.take("client_names").several("one name", name);
    let allow_plain = table.take("allow_plain").boolean();
    if allow_plain == Some(true) && client_auth == Some(ClientAuth::Required) {
        table.fault(
            "allow_plain",
            "lets peers in without a certificate, which client_auth: required does not; write client_auth: optional, or \
             give plain peers an input of their own",
        );
    }
    Some(TlsPlan {
        certificate: certificate?,
        key: key?,
        min_version: min_version.unwrap_or(TlsVersion::V1_2),
        client_ca,
        client_auth: client_auth?,
        client_names: client_names.unwrap_or_default(),
        allow_plain: allow_plain.unwrap_or(false),
    })
}

/// By default, who names an authority wants certificates from it.
fn client_auth(table: &mut Table<'_>, has_ca: bool) -> Option<ClientAuth> {
    if !table.has("client_auth") {
        return Some(if has_ca { ClientAuth::Required } else { ClientAuth::None });
    }
    let auth = table.take("client_auth").choice(&[
        ("none", ClientAuth::None),
        ("optional", ClientAuth::Optional),
        ("required", ClientAuth::Required),
    ])?;
    if auth != ClientAuth::None && !has_ca {
        table.fault("client_auth", "needs client_ca: the authority that signs clients' certificates");
    }
    Some(auth)
}

/// A relative path starts at the working directory, as everywhere else.
fn made_absolute(text: &str) -> Result<PathBuf, String> {
    std::path::absolute(text).map_err(|error| format!("is no path of a file: {error}"))
}

fn name(text: &str) -> Result<String, String> {
    let stars = text.strip_prefix("*.").unwrap_or(text).contains('*');
    if text.is_empty() || text.len() > NAME_BYTES || stars {
        return Err(
            "is no name of a certificate; write client.example.com, or *.example.com for every label before it"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}
