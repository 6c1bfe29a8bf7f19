//! The catalog's index configurations: one for a logstore, or none.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::{Catalog, ChangeError, Index, Refused};

impl Catalog {
    pub(in crate::store) fn put_index(
        &mut self,
        connection: &Connection,
        project: &str,
        name: &str,
        index: Index,
        replace: bool,
    ) -> Result<(), ChangeError> {
        let logstore = self.logstore_mut(project, name)?;
        match (logstore.index.is_some(), replace) {
            (true, false) => return Err(Refused::IndexExists(name.into()).into()),
            (false, true) => return Err(Refused::NoIndex.into()),
            _ => {}
        }
        connection.execute(
            "INSERT OR REPLACE INTO indexes (logstore, config, modified) VALUES (?1, ?2, ?3)",
            params![logstore.id, index.config(), index.modified],
        )?;
        logstore.index = Some(Arc::new(index));
        Ok(())
    }

    pub(in crate::store) fn delete_index(
        &mut self,
        connection: &Connection,
        project: &str,
        name: &str,
    ) -> Result<(), ChangeError> {
        let logstore = self.logstore_mut(project, name)?;
        if logstore.index.is_none() {
            return Err(Refused::NoIndex.into());
        }
        connection.execute("DELETE FROM indexes WHERE logstore = ?1", [logstore.id])?;
        logstore.index = None;
        Ok(())
    }
}

/// Configurations by the id of their logstore. One that is not understood, which none is that was written here, counts as
/// none: its logs are searched all the same.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<HashMap<i64, Arc<Index>>> {
    let mut indexes = HashMap::new();
    let mut query = connection.prepare("SELECT logstore, config, modified FROM indexes")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (logstore, config): (i64, String) = (row.get(0)?, row.get(1)?);
        match Index::parse(config.as_bytes(), row.get(2)?) {
            Ok(index) => {
                indexes.insert(logstore, Arc::new(index));
            }
            Err(reason) => {
                tracing::warn!(logstore, "an index configuration in the catalog cannot be used: {reason}");
            }
        }
    }
    Ok(indexes)
}
