//! Carrying out what a check found to be necessary. Nothing is thrown away: a file goes to the
//! backup before it is cut or taken.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::{Fsck, Step};
use crate::dirs::{Dirs, sync_dir};
use crate::disk::Disk;
use crate::error::{Context, StoreError};
use crate::frame::HEADER;
use crate::names::snapshot_zxid;

/// Does the steps of `found` and keeps what they take in `backup`, a new directory.
///
/// # Errors
/// [`StoreError`]: steps before the one that failed are done, and their backups are there.
pub fn repair(dirs: &Dirs, found: &Fsck, backup: &Path) -> Result<(), StoreError> {
    if found.steps.is_empty() {
        return Ok(());
    }
    fs::create_dir(backup).context(|| backup.into(), "make the backup")?;
    // Or a loss of power takes the copies with their directory's name.
    sync_dir(backup.parent().unwrap_or(backup)).context(|| backup.into(), "make the backup")?;
    for step in &found.steps {
        let file = step.file();
        let disk = if snapshot_zxid(file).is_some() { &*dirs.snapshots } else { &*dirs.logs };
        let from = disk.path(file);
        let kept = backup.join(file);
        // A file with a second step is no longer what it was.
        if !kept.exists() {
            copy(&from, &kept).context(|| from.clone(), "back up")?;
            sync_dir(backup).context(|| backup.into(), "sync")?;
        }
        match step {
            Step::Header { .. } => give_header(disk, file)?,
            Step::Cut { offset, .. } => cut(disk, file, *offset)?,
            Step::MoveAway { .. } => {
                disk.remove(file).context(|| from.clone(), "move away")?;
                disk.sync_dir().context(|| disk.path(""), "sync")?;
            }
        }
    }
    Ok(())
}

fn cut(disk: &dyn Disk, name: &str, offset: u64) -> Result<(), StoreError> {
    let path = || disk.path(name);
    let mut file = disk.open(name).context(path, "open")?;
    file.set_len(offset).context(path, "cut")?;
    file.sync_data().context(path, "sync")
}

fn give_header(disk: &dyn Disk, name: &str) -> Result<(), StoreError> {
    let path = || disk.path(name);
    let mut file = disk.open(name).context(path, "open")?;
    file.write_at(&HEADER, 0).context(path, "write the header of")?;
    file.sync_data().context(path, "sync")
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    File::open(to)?.sync_all()
}
