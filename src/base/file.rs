//! Files and directories that nobody else may read.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Mode of files with records or secrets in them.
pub const PRIVATE: u32 = 0o600;

/// Makes a directory (0700) and those above it that are missing. One that is there keeps the rights it was given.
pub fn make_private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Makes a directory of the gateway's own, and closes it to others when it was open to them. Who is not its owner leaves
/// it as it is.
pub fn own_private_dir(dir: &Path) -> io::Result<()> {
    make_private_dir(dir)?;
    let mode = fs::metadata(dir)?.permissions().mode();
    if mode & 0o077 != 0 {
        let _ = fs::set_permissions(dir, Permissions::from_mode(mode & 0o700));
    }
    Ok(())
}

/// Makes the names in a directory durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Writes a whole file, readable by its owner alone: aside, synced, renamed, its directory synced. After a crash there is
/// the old file or the new one and nothing between.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let Some(name) = path.file_name() else { return Err(io::ErrorKind::InvalidInput.into()) };
    let mut aside = name.to_owned();
    aside.push(".new");
    let aside = path.with_file_name(aside);
    // What a crash left there may have other rights.
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    create_private(&aside, &[bytes])?;
    fs::rename(&aside, path)?;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => sync_dir(parent),
        None => sync_dir(Path::new(".")),
    }
}

/// Makes a file that is not there yet, of these pieces, and syncs it. One that cannot be written whole is removed.
pub fn create_private(path: &Path, pieces: &[&[u8]]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path)?;
    let written = pieces.iter().try_for_each(|piece| file.write_all(piece)).and_then(|()| file.sync_all());
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(path);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_and_directories_are_private_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        make_private_dir(&inner).unwrap();
        assert_eq!((mode(&inner), mode(&dir.path().join("a"))), (0o700, 0o700));
        fs::set_permissions(&inner, Permissions::from_mode(0o755)).unwrap();
        make_private_dir(&inner).unwrap();
        assert_eq!(mode(&inner), 0o755);
        own_private_dir(&inner).unwrap();
        assert_eq!(mode(&inner), 0o700);
        let file = inner.join("name");
        fs::write(inner.join("name.new"), b"left by a crash").unwrap();
        write_private(&file, b"one").unwrap();
        write_private(&file, b"two").unwrap();
        assert_eq!((fs::read(&file).unwrap().as_slice(), mode(&file)), (&b"two"[..], 0o600));
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1);
        assert!(create_private(&file, &[b"three"]).is_err());
        assert_eq!(fs::read(&file).unwrap(), b"two");
    }
}
