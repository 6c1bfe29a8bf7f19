//! The topics of a logstore, in the order of their bytes.

use std::collections::BTreeSet;

use super::scan::Scan;
use super::{Store, StoreError};

impl Store {
    /// At most `count` topics that are not before `from`.
    pub async fn topics(&self, logstore: i64, from: String, count: usize) -> Result<Vec<String>, StoreError> {
        self.long_scan(move |scan| topics(scan, logstore, from.as_bytes(), count)).await
    }
}

fn topics(scan: &mut Scan<'_>, logstore: i64, from: &[u8], count: usize) -> Result<Vec<String>, StoreError> {
    let mut found: BTreeSet<Vec<u8>> = BTreeSet::new();
    for file in scan.files() {
        if scan.is_stopped() {
            break;
        }
        let of_file = scan.reader(file).and_then(|mut reader| {
            reader.with(|db| {
                db.prepare_cached(
                    "SELECT DISTINCT topic FROM packs WHERE logstore = ?1 AND topic >= ?2 ORDER BY topic LIMIT ?3",
                )?
                .query_map(rusqlite::params![logstore, from, count as i64], |row| row.get(0))?
                .collect::<rusqlite::Result<Vec<Vec<u8>>>>()
            })
        });
        match of_file {
            Ok(topics) => found.extend(topics),
            Err(StoreError::Damaged { .. }) => {}
            Err(other) => return Err(other),
        }
        while found.len() > count {
            found.pop_last();
        }
    }
    Ok(found.iter().map(|topic| String::from_utf8_lossy(topic).into_owned()).collect())
}
