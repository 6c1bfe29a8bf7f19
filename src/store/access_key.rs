//! The access key of the embedded Log Service: made at the first start, kept in the data directory.
//!
//! ```text
//! DIR/access-key   mode 0600    line 1: the key's id    line 2: its secret
//! ```
//!
//! The secret appears in no log line and in no Debug output.

use std::path::Path;

use super::StoreError;
use crate::base::file;
use crate::base::secret::Secret;

pub const FILE_NAME: &str = "access-key";

#[derive(Clone, Debug)]
pub struct AccessKey {
    pub id: String,
    pub secret: Secret,
}

impl AccessKey {
    /// Reads DIR/access-key, or makes it.
    pub(super) fn load_or_make(dir: &Path) -> Result<AccessKey, StoreError> {
        let path = dir.join(FILE_NAME);
        match AccessKey::load(&path) {
            Err(StoreError::Path { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => {}
            found => return found,
        }
        let key = AccessKey { id: random_text("SG", 18)?, secret: Secret::new(random_text("", 40)?) };
        let text = format!("{}\n{}\n", key.id, key.secret.expose());
        file::write_private(&path, text.as_bytes())
            .map_err(|cause| StoreError::Path { path: path.clone(), cause })?;
        Ok(key)
    }

    /// Reads a key file, for those who may: the commands beside a running gateway use it.
    pub fn load(file: &Path) -> Result<AccessKey, StoreError> {
        let text = std::fs::read_to_string(file)
            .map_err(|cause| StoreError::Path { path: file.to_owned(), cause })?;
        let bad = |reason| StoreError::AccessKey { file: file.to_owned(), reason };
        let mut lines = text.lines().map(str::trim);
        let id = lines.next().filter(|id| !id.is_empty()).ok_or_else(|| bad("the first line is empty"))?;
        let secret =
            lines.next().filter(|text| !text.is_empty()).ok_or_else(|| bad("the second line is empty"))?;
        if id.contains(':') {
            return Err(bad("the id contains a colon"));
        }
        Ok(AccessKey { id: id.to_owned(), secret: Secret::new(secret.to_owned()) })
    }
}

/// A prefix and `len` random letters and digits.
fn random_text(prefix: &str, len: usize) -> Result<String, StoreError> {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let mut random = vec![0u8; len];
    getrandom::fill(&mut random).map_err(StoreError::Entropy)?;
    let letters = random.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)]));
    Ok(prefix.chars().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn is_made_once_private_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let key = AccessKey::load_or_make(dir.path()).unwrap();
        let again = AccessKey::load_or_make(dir.path()).unwrap();
        assert_eq!((&key.id, &key.secret), (&again.id, &again.secret));
        let file = dir.path().join(FILE_NAME);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{key:?}").contains(key.secret.expose()));
        std::fs::write(&file, "only-an-id\n").unwrap();
        let error = AccessKey::load_or_make(dir.path()).unwrap_err().to_string();
        assert!(error.contains("access-key") && error.contains("second line"), "{error}");
    }
}
