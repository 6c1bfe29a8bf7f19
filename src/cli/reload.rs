//! Keys and certificates, read again while the gateway runs: on SIGHUP, and when a file that a secret came from has
//! changed, as Kubernetes and secret managers replace such files. Everything else in the configuration waits for a
//! restart. A configuration that cannot be read changes nothing.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::plan::Plan;
use crate::config::{self, Flags};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// One byte more than the configuration takes for a secret.
const SECRET_BYTES: u64 = 64 * 1024 + 1;

pub(super) struct Reload {
    file: Option<PathBuf>,
    flags: Flags,
    secrets: Secrets,
}

/// The files that secrets came from, and what they held.
#[derive(Clone, Default)]
struct Secrets {
    files: Vec<PathBuf>,
    held: Vec<Option<Vec<u8>>>,
}

impl Reload {
    pub(super) fn new(file: Option<&Path>, flags: Flags, plan: &Plan) -> Reload {
        let file = file.map(Path::to_owned);
        Reload { file, flags, secrets: Secrets::of(plan) }
    }

    /// Waits until a file holds another secret than before. Cancelling it loses nothing.
    pub(super) async fn secret_changed(&mut self) {
        if self.secrets.files.is_empty() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(LOOK).await;
            let secrets = self.secrets.clone();
            // A mounted file may be on a network file system.
            if tokio::task::spawn_blocking(move || secrets.have_changed()).await.unwrap_or(false) {
                return;
            }
        }
    }

    /// The configuration as it is now; `None` when it has faults, which are logged.
    pub(super) fn load(&mut self) -> Option<Plan> {
        match config::load(self.file.as_deref(), super::variables(), &self.flags) {
            Ok(plan) => {
                self.secrets = Secrets::of(&plan);
                Some(plan)
            }
            Err(errors) => {
                // Not again before something changes again.
                self.secrets.held = self.secrets.files.iter().map(|file| held(file)).collect();
                tracing::error!(
                    "keys and certificates stay as they were, since the configuration has faults:\n{errors}"
                );
                None
            }
        }
    }
}

impl Secrets {
    fn of(plan: &Plan) -> Secrets {
        let files = plan.secret_files.clone();
        Secrets { held: files.iter().map(|file| held(file)).collect(), files }
    }

    fn have_changed(&self) -> bool {
        self.files.iter().zip(&self.held).any(|(file, before)| held(file) != *before)
    }
}

/// What a file holds, as far as it can be a secret: one that became a log of gigabytes shall not be read every time.
fn held(file: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file).ok()?.take(SECRET_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        std::fs::write(&file, "one").unwrap();
        let secrets = Secrets { held: vec![held(&file)], files: vec![file.clone()] };
        assert!(!secrets.have_changed());
        std::fs::write(&file, "two").unwrap();
        assert!(secrets.have_changed());
        std::fs::remove_file(&file).unwrap();
        assert!(secrets.have_changed());
    }
}
