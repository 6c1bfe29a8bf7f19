//! What can go wrong in the store, said so that the person at the terminal knows what to do.

use std::path::{Path, PathBuf};

/// The texts name their causes, which are therefore no `source` that would be printed again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot use {}: {cause}", path.display())]
    Path { path: PathBuf, cause: std::io::Error },
    #[error("{} is in use by another gateway; stop it or choose another data directory", path.display())]
    InUse { path: PathBuf },
    #[error(
        "{} is damaged ({reason}); move it and the files beside it that start with its name to another place to \
         start with an empty Log Service (`sqlite3 FILE .recover` saves what is readable), or restore a backup",
        file.display()
    )]
    Damaged { file: PathBuf, reason: String },
    #[error("{} was written by a newer version (layout {found}, known are up to {known}); use that version",
        file.display())]
    Newer { file: PathBuf, found: i64, known: i64 },
    #[error(
        "{} has the logs of a version before the first release, which this one does not read; move it and the files \
         beside it that start with its name to another place",
        file.display()
    )]
    Former { file: PathBuf },
    #[error("the disk of {} is full; free space there or delete logstores", file.display())]
    Full { file: PathBuf },
    #[error(
        "the file system of {} is nearly full ({} MiB are free, and the last tenth, 2 GiB at most, is left alone); free \
         space there or delete logstores that are no longer needed",
        file.display(),
        available >> 20
    )]
    Crowded { file: PathBuf, available: u64 },
    #[error(
        "the logs in {} take {} MiB and may take {} (log_service.max_bytes); raise it, delete logstores, shorten their \
         ttl or set log_service.on_full: drop_oldest",
        dir.display(),
        used >> 20,
        max >> 20
    )]
    AtLimit { dir: PathBuf, used: u64, max: u64 },
    #[error("{}: {cause}", file.display())]
    Database { file: PathBuf, cause: rusqlite::Error },
    #[error("{} is no access key: {reason}; remove the file to have a new one made", file.display())]
    AccessKey { file: PathBuf, reason: &'static str },
    #[error("the operating system gave no random bytes: {0}")]
    Entropy(getrandom::Error),
    #[error("the store is stopping")]
    Stopped,
    #[error("a stored pack cannot be read: {0}")]
    Pack(String),
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// What the caller asked for and cannot have.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refused {
    #[error("The Project does not exist : {0}")]
    NoProject(String),
    #[error("logstore {0} does not exist.")]
    NoLogstore(String),
    #[error("project {0} already exists")]
    ProjectExists(String),
    #[error("logstore {0} already exists")]
    LogstoreExists(String),
    #[error("project name {0:?} is invalid: 3 to 63 characters of a-z 0-9 -, the first and last no -")]
    ProjectName(String),
    #[error(
        "logstore name {0} is invalid: 3 to 63 characters of a-z 0-9 _ -, the first and last a letter or digit"
    )]
    LogstoreName(String),
    #[error("{0}")]
    Setting(&'static str),
    #[error("the index configuration is invalid: {0}")]
    Index(String),
    #[error("logstore {0} has an index config already")]
    IndexExists(String),
    #[error("logstore without index config")]
    NoIndex,
    /// A parameter of the call; the text says which.
    #[error("{0}")]
    Parameter(String),
    #[error("the cursor is invalid: {0}")]
    Cursor(&'static str),
    #[error("shard {0} does not exist")]
    NoShard(u32),
    #[error("the logstore would have more than {0} readwrite shards")]
    TooManyShards(usize),
    #[error("consumer group {0} does not exist")]
    NoConsumerGroup(String),
    #[error("consumer group {0} already exists")]
    ConsumerGroupExists(String),
    #[error(
        "consumer group name {0} is invalid: 3 to 63 characters of a-z 0-9 _ -, the first and last a letter or digit"
    )]
    ConsumerGroupName(String),
    #[error("the logstore has {0} consumer groups already")]
    TooManyConsumerGroups(usize),
    #[error("consumer {0} is not known to the group, or was silent for too long")]
    NoConsumer(String),
    #[error("shard {0} is not held by this consumer")]
    NotHeld(u32),
    #[error("machine group {0} does not exist")]
    NoMachineGroup(String),
    #[error("group {0} already exists")]
    MachineGroupExists(String),
    #[error(
        "groupName: {0:?} is invalid: 3 to 128 characters of a-z 0-9 _ -, the first and last a letter or digit"
    )]
    MachineGroupName(String),
    #[error("config {0} does not exist")]
    NoConfig(String),
    #[error("config {0} already exists")]
    ConfigExists(String),
    #[error(
        "configName: {0:?} is invalid: 2 to 128 characters of a-z 0-9 _ -, the first and last a letter or digit"
    )]
    ConfigName(String),
    #[error("the project has {0} machine groups already")]
    TooManyMachineGroups(usize),
    #[error("the project has {0} collection configs already")]
    TooManyConfigs(usize),
    #[error("there are {0} projects already")]
    TooManyProjects(usize),
    #[error("the project has {0} logstores already")]
    TooManyLogstores(usize),
}

impl StoreError {
    /// The same error for another pack of a failed transaction.
    pub(super) fn for_another(&self) -> StoreError {
        match self {
            StoreError::Full { file } => StoreError::Full { file: file.clone() },
            StoreError::Damaged { file, reason } => {
                StoreError::Damaged { file: file.clone(), reason: reason.clone() }
            }
            StoreError::Database { file, cause } => {
                StoreError::Database { file: file.clone(), cause: copy_of(cause) }
            }
            StoreError::Path { path, cause } => {
                StoreError::Path { path: path.clone(), cause: cause.kind().into() }
            }
            _ => StoreError::Stopped,
        }
    }

    /// An error of SQLite in this file, told apart by what can be done about it.
    pub(super) fn database(file: &Path, cause: rusqlite::Error) -> StoreError {
        use rusqlite::ErrorCode;
        let file = file.to_owned();
        match cause.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                StoreError::Damaged { file, reason: cause.to_string() }
            }
            Some(ErrorCode::DiskFull) => StoreError::Full { file },
            _ => StoreError::Database { file, cause },
        }
    }
}

fn copy_of(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, text) => rusqlite::Error::SqliteFailure(*code, text.clone()),
        other => rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ERROR),
            Some(other.to_string()),
        ),
    }
}
