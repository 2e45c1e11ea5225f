//! Where a server's files are: `version-2` below dataDir (snapshots) and dataLogDir (txn logs).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, OsDisk};
use crate::error::StoreError;
use crate::names::{LOG, SNAPSHOT, log_zxid, snapshot_zxid};

/// The folder below dataDir and dataLogDir that says which format the files have.
const VERSION_DIR: &str = "version-2";

/// The two directories of a server, which may be one and the same.
#[derive(Clone)]
pub struct Dirs {
    /// Where snapshots are.
    pub snapshots: Arc<dyn Disk>,
    /// Where txn logs are.
    pub logs: Arc<dyn Disk>,
    /// Are they two?
    separate: bool,
    /// Held for as long as any clone lives: no second server writes here.
    _locks: Arc<Vec<File>>,
}

impl Dirs {
    /// One directory for both.
    pub fn same(disk: Arc<dyn Disk>) -> Self {
        Self { snapshots: disk.clone(), logs: disk, separate: false, _locks: Arc::default() }
    }

    /// A directory each.
    pub fn separate(snapshots: Arc<dyn Disk>, logs: Arc<dyn Disk>) -> Self {
        Self { snapshots, logs, separate: true, _locks: Arc::default() }
    }

    /// A view of each of somebody's directories. Whether they hold what they should is the
    /// original's to say: two views of one directory both show all its files.
    pub(crate) fn views(snapshots: Arc<dyn Disk>, logs: Arc<dyn Disk>) -> Self {
        Self { snapshots, logs, separate: false, _locks: Arc::default() }
    }

    /// Refuses directories that hold the other's files: most likely dataDir or dataLogDir was
    /// changed, and starting would lose sight of data (`FileTxnSnapLog.checkLogDir`, 3.9).
    pub(crate) fn check_contents(&self) -> Result<(), StoreError> {
        if !self.separate {
            return Ok(());
        }
        refuse_files(&*self.logs, SNAPSHOT, "the txn log directory holds snapshots")?;
        refuse_files(&*self.snapshots, LOG, "the snapshot directory holds txn logs")
    }
}

fn refuse_files(disk: &dyn Disk, prefix: &str, what: &str) -> Result<(), StoreError> {
    let entries = disk.list().map_err(|e| data_dir(&disk.path(""), &e))?;
    let foreign = |name: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'));
    match entries.iter().find(|e| foreign(&e.name)) {
        None => Ok(()),
        Some(e) => Err(StoreError::DataDir {
            path: disk.path(""),
            reason: format!("{what} ({}): check dataDir and dataLogDir", e.name),
        }),
    }
}

fn data_dir(path: &Path, reason: &dyn ToString) -> StoreError {
    StoreError::DataDir { path: path.into(), reason: reason.to_string() }
}

/// Opens `version-2` below dataDir and dataLogDir, makes them where `autocreate`
/// (`datadir.autocreate`) allows it, and keeps a second server out of them.
///
/// # Errors
/// [`StoreError::DataDir`], exit code 3.
pub fn open_dirs(
    data_dir: &Path,
    data_log_dir: Option<&Path>,
    autocreate: bool,
) -> Result<Dirs, StoreError> {
    let snapshots = open_dir(data_dir, autocreate)?;
    let logs = data_log_dir.map(|dir| open_dir(dir, autocreate)).transpose()?;
    let logs = logs.filter(|dir| *dir != snapshots);
    let separate = logs.is_some();
    let mut locks = vec![lock(&snapshots)?];
    if let Some(logs) = &logs {
        locks.push(lock(logs)?);
    }
    let snapshots: Arc<dyn Disk> = Arc::new(OsDisk::new(snapshots));
    let logs = logs.map_or_else(|| snapshots.clone(), |dir| Arc::new(OsDisk::new(dir)));
    let dirs = Dirs { snapshots, logs, separate, _locks: Arc::new(locks) };
    dirs.check_contents()?;
    Ok(dirs)
}

/// Opens the same directories for a look at them or a repair, and keeps servers out meanwhile.
/// `data_dir` may be `version-2` itself.
///
/// # Errors
/// [`StoreError::DataDir`], exit code 3.
pub fn open_dirs_to_check(
    data_dir: &Path,
    data_log_dir: Option<&Path>,
) -> Result<Dirs, StoreError> {
    let inner = |dir: &Path| {
        let below = dir.join(VERSION_DIR);
        let dir = if below.is_dir() { below } else { dir.to_path_buf() };
        let found = dir.canonicalize().map_err(|e| self::data_dir(&dir, &e))?;
        let named = |name: &str| log_zxid(name).or(snapshot_zxid(name)).is_some();
        let holds = OsDisk::new(&found).list().map_err(|e| self::data_dir(&found, &e))?;
        if found.ends_with(VERSION_DIR) || holds.iter().any(|entry| named(&entry.name)) {
            return Ok(found);
        }
        Err(self::data_dir(&found, &"it holds no version-2, no snapshot and no txn log"))
    };
    let snapshots = inner(data_dir)?;
    let logs = data_log_dir.map(inner).transpose()?.filter(|dir| *dir != snapshots);
    let separate = logs.is_some();
    let mut locks = vec![lock(&snapshots)?];
    if let Some(logs) = &logs {
        locks.push(lock(logs)?);
    }
    let snapshots: Arc<dyn Disk> = Arc::new(OsDisk::new(snapshots));
    let logs = logs.map_or_else(|| snapshots.clone(), |dir| Arc::new(OsDisk::new(dir)));
    Ok(Dirs { snapshots, logs, separate, _locks: Arc::new(locks) })
}

/// The canonical path of `version-2` below `parent`.
fn open_dir(parent: &Path, autocreate: bool) -> Result<PathBuf, StoreError> {
    let dir = parent.join(VERSION_DIR);
    if !dir.exists() {
        if !autocreate {
            let reason = "it is missing, and datadir.autocreate=false forbids to make it";
            return Err(self::data_dir(&dir, &reason));
        }
        std::fs::create_dir_all(&dir).map_err(|e| self::data_dir(&dir, &e))?;
        // The new folder's name must outlive a crash as its files do.
        sync_dir(parent).map_err(|e| self::data_dir(parent, &e))?;
    }
    let dir = dir.canonicalize().map_err(|e| self::data_dir(&dir, &e))?;
    rustix::fs::access(&dir, rustix::fs::Access::WRITE_OK | rustix::fs::Access::READ_OK)
        .map_err(|e| self::data_dir(&dir, &format!("it cannot be written: {e}")))?;
    Ok(dir)
}

pub(crate) fn sync_dir(dir: &Path) -> std::io::Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir)?.sync_all()
}

/// Locks the directory itself, so that no lock file lies about; Apache's server takes no lock.
fn lock(dir: &Path) -> Result<File, StoreError> {
    let file = File::open(dir).map_err(|e| data_dir(dir, &e))?;
    match file.try_lock() {
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(data_dir(dir, &"another server is running on it"))
        }
        // With an error: a file system without locks; go on as Apache's server does.
        Ok(()) | Err(std::fs::TryLockError::Error(_)) => Ok(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(result: Result<Dirs, StoreError>) -> String {
        let err = result.err().expect("refused");
        assert_eq!(err.exit_code(), 3);
        err.to_string()
    }

    #[test]
    fn directories_are_made_where_that_is_allowed() {
        let root = tempfile::tempdir().unwrap();
        let (data, logs) = (root.path().join("a/data"), root.path().join("logs"));
        let text = refusal(open_dirs(&data, None, false));
        assert!(text.contains("datadir.autocreate"), "{text}");
        let dirs = open_dirs(&data, Some(&logs), true).unwrap();
        assert!(
            dirs.separate && data.join("version-2").is_dir() && logs.join("version-2").is_dir()
        );
    }

    #[test]
    fn the_same_directory_twice_is_one() {
        let root = tempfile::tempdir().unwrap();
        let again = root.path().join("x/..");
        std::fs::create_dir(root.path().join("x")).unwrap();
        let dirs = open_dirs(root.path(), Some(&again), true).unwrap();
        assert!(!dirs.separate);
    }

    #[test]
    fn a_second_server_is_kept_out_until_the_first_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let first = open_dirs(root.path(), None, true).unwrap();
        let clone = first.clone();
        drop(first);
        assert!(refusal(open_dirs(root.path(), None, true)).contains("another server"));
        drop(clone);
        open_dirs(root.path(), None, true).unwrap();
    }

    #[test]
    fn files_in_the_wrong_directory_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let (data, logs) = (root.path().join("data"), root.path().join("logs"));
        drop(open_dirs(&data, Some(&logs), true).unwrap());
        let stray = logs.join("version-2/snapshot.0");
        std::fs::write(&stray, "").unwrap();
        assert!(refusal(open_dirs(&data, Some(&logs), true)).contains("holds snapshots"));
        std::fs::remove_file(stray).unwrap();
        std::fs::write(data.join("version-2/log.1"), "").unwrap();
        assert!(refusal(open_dirs(&data, Some(&logs), true)).contains("holds txn logs"));
        open_dirs(&data, None, true).unwrap();
    }

    #[test]
    fn a_file_in_place_of_a_directory_is_refused() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("file"), "").unwrap();
        refusal(open_dirs(&root.path().join("file"), None, true));
    }
}
