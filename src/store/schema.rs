//! The database files: how connections are opened, and the layouts they find.
//!
//! ```text
//! catalog.db           projects   id, name, description, created, modified
//!                      logstores  id (never used again), project, name, settings (JSON), created, modified
//!                      indexes    logstore, config (JSON, as it was sent), modified
//!                      shards     logstore, shard, begin, end (hash keys), created, closed (id), parents
//!                      consumer_groups, checkpoints  by logstore and name: how far each shard was read
//!                      machine_groups, collection_configs  project, name, body (JSON, as it was sent), created, modified,
//!                                 version
//!                      applied_configs  project, machine_group, config
//! packs/TTLd-START.db  packs      id (nanosecond of arrival, unique in the store), logstore, shard, first_time,
//!                                 last_time (ns), logs, raw_size, compression, series, sequence (of the pack_id),
//!                                 topic, source, client (the sender's address, where the logstore keeps it),
//!                                 digest (XXH3 of the body), body (the LogGroup as it came)
//!                      filters    pack, filter (which words occur in it; comes some time after the pack)
//! ```
//!
//! WAL with `synchronous=FULL`: a committed transaction is on the disk. One connection writes to a file, others read; a
//! reader keeps no transaction open between packs, so that the WAL can always be folded back. Whoever closes a file's
//! last connection folds its WAL back, which is why readers may write as far as SQLite is concerned and only promise
//! not to.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::StoreError;

pub(super) const CATALOG: &str = "catalog.db";
pub(super) const PACKS: &str = "packs";
/// The one file of the layout before this one.
pub(super) const FORMER: &str = "logservice.db";

/// A kind of file.
pub(super) struct Layout {
    /// Tells our file from any other SQLite database.
    application: i64,
    version: i64,
    tables: &'static str,
    /// What makes a file of an older version one of this; run in their order.
    steps: &'static [Step],
    page_size: i64,
}

/// From the version before `to`.
struct Step {
    to: i64,
    sql: &'static str,
}

/// "SlGt"
pub(super) const CATALOG_LAYOUT: Layout = Layout {
    application: 0x536c_4774,
    version: 3,
    tables: CATALOG_TABLES,
    steps: &[Step { to: 3, sql: COLLECTION_TABLES }],
    page_size: 4096,
};
/// "SlGp"
pub(super) const PACKS_LAYOUT: Layout =
    Layout { application: 0x536c_4770, version: 2, tables: PACK_TABLES, steps: &[], page_size: 16_384 };

/// What the WAL is cut back to once it is folded into the database.
const WAL_BYTES: i64 = 16 << 20;
/// Statements of one connection that stay prepared.
const STATEMENTS: usize = 32;

const CATALOG_TABLES: &str = "
CREATE TABLE projects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL
) STRICT;
CREATE TABLE logstores (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project INTEGER NOT NULL,
    name TEXT NOT NULL,
    settings TEXT NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    UNIQUE (project, name)
) STRICT;
CREATE TABLE indexes (
    logstore INTEGER PRIMARY KEY,
    config TEXT NOT NULL,
    modified INTEGER NOT NULL
) STRICT;
CREATE TABLE shards (
    logstore INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    begin TEXT NOT NULL,
    end TEXT NOT NULL,
    created INTEGER NOT NULL,
    closed INTEGER,
    parents TEXT NOT NULL,
    PRIMARY KEY (logstore, shard)
) STRICT, WITHOUT ROWID;
CREATE TABLE consumer_groups (
    logstore INTEGER NOT NULL,
    name TEXT NOT NULL,
    timeout INTEGER NOT NULL,
    in_order INTEGER NOT NULL,
    PRIMARY KEY (logstore, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoints (
    logstore INTEGER NOT NULL,
    consumer_group TEXT NOT NULL,
    shard INTEGER NOT NULL,
    cursor TEXT NOT NULL,
    updated INTEGER NOT NULL,
    consumer TEXT NOT NULL,
    PRIMARY KEY (logstore, consumer_group, shard)
) STRICT, WITHOUT ROWID;
";

const COLLECTION_TABLES: &str = "
CREATE TABLE machine_groups (
    project INTEGER NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (project, name)
) STRICT;
CREATE TABLE collection_configs (
    project INTEGER NOT NULL,
    name TEXT NOT NULL,
    language TEXT NOT NULL,
    body TEXT NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (project, name)
) STRICT;
CREATE TABLE applied_configs (
    project INTEGER NOT NULL,
    machine_group TEXT NOT NULL,
    config TEXT NOT NULL,
    PRIMARY KEY (project, machine_group, config)
) STRICT, WITHOUT ROWID;
";

const PACK_TABLES: &str = "
CREATE TABLE packs (
    id INTEGER PRIMARY KEY,
    logstore INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    first_time INTEGER NOT NULL,
    last_time INTEGER NOT NULL,
    logs INTEGER NOT NULL,
    raw_size INTEGER NOT NULL,
    compression INTEGER NOT NULL,
    series BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    topic BLOB NOT NULL,
    source BLOB NOT NULL,
    client TEXT NOT NULL,
    digest INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX packs_by_first_time ON packs (logstore, first_time, last_time);
CREATE INDEX packs_by_last_time ON packs (logstore, last_time, first_time);
CREATE INDEX packs_by_shard ON packs (logstore, shard);
CREATE INDEX packs_by_series ON packs (logstore, series, sequence);
CREATE TABLE filters (
    pack INTEGER PRIMARY KEY,
    filter BLOB NOT NULL
) STRICT;
";

/// Opens a file for its one writer, makes it when it is not there, checks that it is ours.
pub(super) fn open_writer(file: &Path, layout: &Layout) -> Result<Connection, StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    // SQLite gives the files beside it the rights of the database: others shall not read logs.
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(file)
        .map_err(|cause| StoreError::Path { path: file.to_owned(), cause })?;
    let mut connection = connect(file)?;
    prepare(&mut connection, file, layout)?;
    let found = checked_layout(&connection, file, layout)?;
    bring_up(&mut connection, file, layout, found)?;
    Ok(connection)
}

/// A connection that does not write.
pub(super) fn open_reader(file: &Path) -> Result<Connection, StoreError> {
    let connection = connect(file)?;
    connection.pragma_update(None, "query_only", true).map_err(|cause| StoreError::database(file, cause))?;
    Ok(connection)
}

fn connect(file: &Path) -> Result<Connection, StoreError> {
    let or = |cause| StoreError::database(file, cause);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(or)?;
    connection.busy_timeout(Duration::from_secs(10)).map_err(or)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "cache_size", -2048).map_err(or)?;
    Ok(connection)
}

fn prepare(connection: &mut Connection, file: &Path, layout: &Layout) -> Result<(), StoreError> {
    let or = |cause| StoreError::database(file, cause);
    let empty: bool =
        connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0)).map_err(or)?;
    if empty {
        // Both have an effect only before the first table.
        connection.pragma_update(None, "page_size", layout.page_size).map_err(or)?;
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(or)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(or)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(or)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES).map_err(or)?;
    if empty {
        let transaction = connection.transaction().map_err(or)?;
        transaction.execute_batch(layout.tables).map_err(or)?;
        for step in layout.steps {
            transaction.execute_batch(step.sql).map_err(or)?;
        }
        transaction.pragma_update(None, "application_id", layout.application).map_err(or)?;
        transaction.pragma_update(None, "user_version", layout.version).map_err(or)?;
        transaction.commit().map_err(or)?;
    }
    Ok(())
}

/// Folds the WAL into the database and gives its space back.
pub(super) fn fold_back(connection: &Connection) {
    // A reader in the way is no error: the next one folds it.
    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
}

/// Makes a file of version `found` one of this layout's version, whole or not at all.
fn bring_up(connection: &mut Connection, file: &Path, layout: &Layout, found: i64) -> Result<(), StoreError> {
    if found == layout.version {
        return Ok(());
    }
    let or = |cause| StoreError::database(file, cause);
    let transaction = connection.transaction().map_err(or)?;
    for step in layout.steps.iter().filter(|step| step.to > found) {
        transaction.execute_batch(step.sql).map_err(or)?;
    }
    transaction.pragma_update(None, "user_version", layout.version).map_err(or)?;
    transaction.commit().map_err(or)
}

/// The version of a file of this kind.
fn checked_layout(connection: &Connection, file: &Path, layout: &Layout) -> Result<i64, StoreError> {
    let pragma = |name| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
            .map_err(|cause| StoreError::database(file, cause))
    };
    if pragma("application_id")? != layout.application {
        return Err(StoreError::Damaged {
            file: file.to_owned(),
            reason: "it is some other database".into(),
        });
    }
    match pragma("user_version")? {
        found if found > layout.version => {
            Err(StoreError::Newer { file: file.to_owned(), found, known: layout.version })
        }
        found => Ok(found),
    }
}
