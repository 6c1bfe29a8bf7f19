//! Rows: logs as answers show them, with the fields of their LogGroup and, when asked for, of the pack they lie in.
//!
//! `__pack_meta__` says where a log lies: `SHARD|CURSOR|LOGS|POSITION`, the cursor in base64 as PullLogs has it. With the
//! pack_id of its sender it is what a context starts from.

use rusqlite::OptionalExtension;

use super::StoreError;
use super::pack::PACK_ID;
use super::pull::cursor_text;
use super::scan::Scan;

const SECOND: i64 = 1_000_000_000;

/// One log of an answer. Texts are repaired where they were no UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub time: u32,
    pub time_ns: Option<u32>,
    pub topic: String,
    pub source: String,
    pub tags: Vec<(String, String)>,
    pub contents: Vec<(String, String)>,
    /// Where it lies, when asked for.
    pub pack_meta: Option<String>,
}

impl Row {
    /// Bytes of its texts, about.
    pub(super) fn size(&self) -> usize {
        let pairs =
            |pairs: &[(String, String)]| -> usize { pairs.iter().map(|(a, b)| a.len() + b.len()).sum() };
        pairs(&self.tags) + pairs(&self.contents) + self.topic.len() + self.source.len()
    }
}

/// What rows say besides their logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// The sender's pack_id, and where the log lies.
    pub pack: bool,
    /// When its pack arrived, and from which address.
    pub arrival: bool,
}

/// Shows `take` the rows at these positions of a pack, which ascend, each with its number among them. None are shown of a
/// pack that is gone.
pub(super) fn read(
    scan: &mut Scan<'_>,
    raw: &mut Vec<u8>,
    pack: i64,
    positions: impl Iterator<Item = usize>,
    extras: Extras,
    mut take: impl FnMut(usize, Row),
) -> Result<(), StoreError> {
    let origin = if extras == Extras::default() { None } else { origin(scan, pack)? };
    let read = scan.read(pack, raw, |group| {
        let mut tags: Vec<(String, String)> = group
            .tags()
            .filter(|tag| extras.pack || tag.0 != PACK_ID)
            .map(|(key, value)| (text(key), text(value)))
            .collect();
        let mut meta = None;
        if let Some((shard, client)) = origin {
            if extras.arrival {
                tags.push(("__receive_time__".into(), (pack / SECOND).to_string()));
                if !client.is_empty() {
                    tags.push(("__client_ip__".into(), client));
                }
            }
            let cursor = cursor_text(pack);
            meta = extras.pack.then(|| format!("{shard}|{cursor}|{}|", group.log_count()));
        }
        let mut wanted = positions.enumerate().peekable();
        for (position, log) in group.logs().enumerate() {
            let Some((number, _)) = wanted.next_if(|(_, wanted)| *wanted == position) else { continue };
            let row = Row {
                time: log.time,
                time_ns: log.time_ns,
                topic: text(group.topic),
                source: text(group.source),
                tags: tags.clone(),
                contents: log.contents().map(|(key, value)| (text(key), text(value))).collect(),
                pack_meta: meta.as_ref().map(|meta| format!("{meta}{position}")),
            };
            take(number, row);
            if wanted.peek().is_none() {
                break;
            }
        }
    });
    read.map(|_| ())
}

/// The shard of a pack, and the address it came from where the logstore keeps that.
fn origin(scan: &Scan<'_>, pack: i64) -> Result<Option<(u32, String)>, StoreError> {
    for file in scan.files().iter().filter(|file| file.slice.may_hold(pack)) {
        let found = scan.reader(file).and_then(|mut reader| {
            reader.with(|db| {
                db.prepare_cached("SELECT shard, client FROM packs WHERE id = ?1")?
                    .query_row([pack], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
        });
        match found {
            Ok(None) | Err(StoreError::Damaged { .. }) => {}
            found => return found,
        }
    }
    Ok(None)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
