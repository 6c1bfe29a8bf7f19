//! Where the journal of the run lies: a directory on a real disk, and what its fdatasync costs.

use std::{
    error::Error,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};

const SYNCS: usize = 200;

/// A directory of our own below `under`, removed at the end.
pub struct Scratch {
    pub path: PathBuf,
}

impl Scratch {
    pub fn new(under: &Path, name: &str) -> std::io::Result<Scratch> {
        let path = under.join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Scratch { path: path.canonicalize()? })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Name of the file system; an error when it lives in memory, where an fsync proves nothing.
pub fn file_system(path: &Path) -> Result<String, Box<dyn Error>> {
    // Magic numbers of statfs(2).
    let magic = rustix::fs::statfs(path)?.f_type as u32;
    let name = match magic {
        0xef53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0xf2f5_2010 => "f2fs",
        0x2fc1_2fc1 => "zfs",
        0x794c_7630 => "overlay",
        0x0102_1994 | 0x8584_58f6 => {
            let path = path.display();
            return Err(
                format!("{path} is in memory (tmpfs); name a directory on a disk with --data-dir").into()
            );
        }
        other => return Ok(format!("file system {other:#x}")),
    };
    Ok(name.to_owned())
}

/// Median of appending 4 KiB and waiting for fdatasync, in microseconds.
pub fn fdatasync_micros(dir: &Path) -> std::io::Result<u64> {
    let path = dir.join("fdatasync");
    let mut file = File::create(&path)?;
    let mut micros = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let start = Instant::now();
        file.write_all(&[0x5a; 4096])?;
        file.sync_data()?;
        micros.push(start.elapsed().as_micros() as u64);
    }
    fs::remove_file(path)?;
    micros.sort_unstable();
    Ok(micros[SYNCS / 2])
}
