//! A content that bears none of its log's names any more, among all files of the directory.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::identity::Point;
use super::listings::Listings;
use super::survey::{Found, is_gone, is_packed, open, survey};
use super::{FileError, naming};

/// Files that are opened to find a content again that bears none of the log's names.
const SEARCHED: usize = 1_000;

/// The file of that inode beside the log, whatever its name.
pub fn by_inode(base: &Path, inode: u64, is: impl Fn(&Found) -> bool) -> Result<Option<Found>, FileError> {
    for (path, of) in beside(base)? {
        if of == inode
            && let Some(found) = open(path.clone(), is_packed(&path))?
            && is(&found)
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Looks for a noted place among all files beside the log: it may have been renamed to anything. What is found comes with
/// all that it is a rotated file of and that is newer, oldest first.
///
/// A copy or a compressed file, which has another inode, counts only when it bears the log's name in its own and has as
/// much of a beginning as can be compared: neighbours may well begin alike.
pub fn search(base: &Path, listings: &Listings, point: &Point) -> Result<Vec<Found>, FileError> {
    let mut hit = by_inode(base, point.id.inode, |found| found.likeness(point) >= 2)?;
    if hit.is_none() && point.print.is_full() {
        let stem = base.file_stem().unwrap_or_default().as_bytes();
        let is_akin = |path: &Path| {
            let rest = path.file_name().and_then(|name| name.as_bytes().strip_prefix(stem));
            rest.is_some_and(|rest| !rest.first().is_some_and(u8::is_ascii_alphanumeric))
        };
        let mut akin: Vec<(SystemTime, PathBuf)> = beside(base)?
            .into_iter()
            .filter(|(path, _)| path != base && is_akin(path))
            .filter_map(|(path, _)| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
            .collect();
        akin.sort_unstable_by(|a, b| b.cmp(a));
        for (_, path) in akin.into_iter().take(SEARCHED) {
            let gzip = is_packed(&path);
            hit = open(path, gzip)?.filter(|found| found.likeness(point) > 0);
            if hit.is_some() {
                break;
            }
        }
    }
    let Some(hit) = hit else { return Ok(Vec::new()) };
    let name = hit.path.file_name().unwrap_or_default().as_bytes().to_vec();
    let sibling = |name: &[u8]| hit.path.with_file_name(OsString::from_vec(name.to_vec()));
    // Where a symbolic link pointed before, rotation may have gone on.
    let of =
        naming::bases(&name).map(sibling).find(|base| base.is_file()).unwrap_or_else(|| hit.path.clone());
    let mut family = survey(&of, listings, |_| false)?.unwrap_or_default();
    match family.iter().position(|found| found.id == hit.id) {
        Some(at) => {
            family.drain(..at);
        }
        None => family = vec![hit],
    }
    Ok(family)
}

/// The plain files in the log's directory, by inode.
fn beside(base: &Path) -> Result<Vec<(PathBuf, u64)>, FileError> {
    let Some(dir) = base.parent() else { return Ok(Vec::new()) };
    let failed = |cause| FileError { what: "cannot list", path: dir.to_owned(), cause };
    let entries = match fs::read_dir(dir) {
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            files.push((entry.path(), entry.ino()));
        }
    }
    Ok(files)
}
