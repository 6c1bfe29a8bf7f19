//! What the gateway keeps: the data directory and the rooms that live in it. Opening blocks; recovery may take a while.
//!
//! ```text
//! DATA/            0700 when we make it
//!     instance     the gateway's own name, made once
//!     journal/  log-service/  refused/        0700, their files 0600
//! ```

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::base::clock::Clock;
use crate::base::{file, host};
use crate::config::plan::{Plan, StoreFull};
use crate::input::duplicates::Duplicates;
use crate::input::positions::Positions;
use crate::journal::{self, DirectoryError, Journal, OpenError};
use crate::output::refused::DeadLetters;
use crate::pipeline::stream::Identity;
use crate::store::{self, Store, StoreError};

/// How often a directory that another gateway holds is tried again.
const LOCK_TICK: Duration = Duration::from_millis(10);

/// Everything that was opened.
pub(super) struct Data {
    pub(super) identity: Identity,
    pub(super) journal: Journal,
    /// Absent when no message is remembered.
    pub(super) duplicates: Option<Arc<Duplicates>>,
    pub(super) positions: Arc<Positions>,
    pub(super) letters: Arc<DeadLetters>,
    pub(super) store: Option<Arc<Store>>,
}

impl Data {
    /// Opens and recovers it all. What was opened before a failure is let go of again. A directory that another gateway
    /// holds is waited for, as long as `patience` says.
    pub(super) fn open(plan: &Plan, patience: Duration) -> Result<Data> {
        let dir = &plan.data_dir;
        open_dir(dir)?;
        let options = || journal::Options {
            dir: dir.join("journal"),
            segment_bytes: plan.journal.segment_bytes,
            max_bytes: plan.journal.max_bytes,
            fresh_bytes: plan.journal.fresh_bytes,
        };
        let until = Instant::now() + patience;
        let journal = loop {
            match Journal::open(options()) {
                Err(OpenError::Directory(DirectoryError::InUse(_))) if Instant::now() < until => {
                    std::thread::sleep(LOCK_TICK);
                }
                opened => break opened?,
            }
        };
        let agent = &plan.agent;
        let identity = Identity {
            instance: instance(dir)?,
            host: agent.hostname.clone().unwrap_or_else(host::name),
            source: agent.source.clone(),
        };
        let duplicates = Duplicates::open(&plan.duplicates, journal.clone(), &identity.instance);
        let store = match &plan.log_service {
            // Who goes answers its last requests when its journal is closed already.
            Some(service) => loop {
                let options = store::Options {
                    clock: Clock::from_environment(),
                    max_bytes: service.max_bytes,
                    on_full: match service.on_full {
                        StoreFull::Refuse => store::OnFull::Refuse,
                        StoreFull::DropOldest => store::OnFull::DropOldest,
                    },
                };
                match Store::open_with(&dir.join("log-service"), options) {
                    Err(StoreError::InUse { .. }) if Instant::now() < until => std::thread::sleep(LOCK_TICK),
                    opened => break Some(Arc::new(opened?)),
                }
            },
            None => None,
        };
        let refused = dir.join("refused");
        let letters = DeadLetters::open(&refused, plan.limits.dead_letter_bytes)
            .with_context(|| format!("cannot use {}", refused.display()))?;
        let positions = Arc::new(Positions::open(journal.clone()));
        Ok(Data { identity, journal, duplicates, positions, letters: Arc::new(letters), store })
    }
}

fn open_dir(dir: &Path) -> Result<()> {
    file::make_private_dir(dir)
        .and_then(|()| {
            let probe = dir.join(".writable");
            std::fs::write(&probe, b"")?;
            std::fs::remove_file(probe)
        })
        .with_context(|| {
            format!(
                "cannot write to the data directory {}; give this user write access or choose another with --data-dir",
                dir.display()
            )
        })
}

/// The gateway's own name in pack ids: random, made once per data directory.
fn instance(dir: &Path) -> Result<String> {
    let path = dir.join("instance");
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().len() == 32 => Ok(text.trim().to_owned()),
        Ok(_) => bail!("{} is damaged; remove it to start new pack_id series", path.display()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut random = [0u8; 16];
            getrandom::fill(&mut random).context("the system gives no random bytes")?;
            let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
            file::write_private(&path, format!("{text}\n").as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
            Ok(text)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_instance_is_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        open_dir(&data).unwrap();
        let made = instance(&data).unwrap();
        assert_eq!(instance(&data).unwrap(), made);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&data), mode(&data.join("instance"))), (0o700, 0o600));
        std::fs::write(data.join("instance"), "").unwrap();
        assert!(instance(&data).unwrap_err().to_string().contains("damaged"));
    }
}
