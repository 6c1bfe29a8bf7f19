//! The digests of the handshake, as the forward protocol's specification v1 defines them.
//!
//! ```text
//! D1 = hex(SHA-512(salt | client host name | nonce | shared key))    in PING: the client knows the key
//! D2 = hex(SHA-512(auth | user name | password))                     in PING: and a user's password
//! D3 = hex(SHA-512(salt | server host name | nonce | shared key))    in PONG: the server knows the key, too
//! ```
//!
//! All parts are raw bytes, exactly as they were carried; hex is lower case. D1 and D3 differ in the host name alone.

use sha2::{Digest, Sha512};
use subtle::{Choice, ConstantTimeEq};

/// Characters of a digest.
pub const DIGEST: usize = 128;

/// A digest as it stands on the wire: lower-case hex.
pub type Hex = [u8; DIGEST];

/// D1 with the client's host name, D3 with the server's.
pub fn key_digest(salt: &[u8], hostname: &[u8], nonce: &[u8], shared_key: &[u8]) -> Hex {
    hex(&[salt, hostname, nonce, shared_key])
}

/// D2.
pub fn password_digest(auth: &[u8], username: &[u8], password: &[u8]) -> Hex {
    hex(&[auth, username, password])
}

/// Compares in a time that depends on the length of `theirs` alone, which is no secret.
pub fn same(theirs: &[u8], ours: &Hex) -> Choice {
    theirs.ct_eq(ours.as_slice())
}

fn hex(parts: &[&[u8]]) -> Hex {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hash = Sha512::new();
    for part in parts {
        hash.update(part);
    }
    let mut out = [0; DIGEST];
    for (pair, byte) in out.chunks_exact_mut(2).zip(hash.finalize()) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::vectors::{AUTH, D1, D2, D3, NONCE, SALT};
    use super::*;

    #[test]
    fn the_specifications_digests_come_out() {
        assert_eq!(key_digest(SALT, b"client.local", &NONCE, b"secret"), *D1);
        assert_eq!(password_digest(&AUTH, b"alice", b"pa55"), *D2);
        assert_eq!(key_digest(SALT, b"gw.local", &NONCE, b"secret"), *D3);
    }

    /// H8.
    #[test]
    fn an_empty_nonce_is_a_digest_like_any_other() {
        let found = key_digest(b"ce1897b0d3dbd76b90d7fb96010dcac3", b"client_hostname", b"", b"shared_key");
        assert_eq!(
            found,
            *b"40a3c5943cc6256e0c5dcf176e97db3826b0909698c330dc8e53d15af63efb47\
               e030d113130255dd6e7ced5176d2999cc2e02a44852d45152503af317b73b33f"
        );
    }

    #[test]
    fn only_the_whole_digest_is_the_same() {
        assert!(bool::from(same(D1, D1)));
        for other in [&D1[..127], b"", &[D1.as_slice(), b"0"].concat(), D2] {
            assert!(!bool::from(same(other, D1)));
        }
        assert!(!bool::from(same(&D1.to_ascii_uppercase(), D1)));
    }
}
