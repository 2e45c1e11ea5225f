//! Disk, files and the process of the server, as this host sees them.

use std::fs;
use std::path::Path;

/// Bytes of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    /// What an ordinary user may still write.
    pub(super) free: u64,
    pub(super) size: u64,
}

/// The file system of a folder.
pub(super) fn disk(dir: &Path) -> std::io::Result<Disk> {
    let stat = rustix::fs::statvfs(dir)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok(Disk { free: bytes(stat.f_bavail), size: bytes(stat.f_blocks) })
}

/// Files below `DIR/version-2` whose name begins so.
pub(super) fn files(dir: &Path, prefix: &str) -> std::io::Result<u64> {
    let mut count = 0;
    for entry in fs::read_dir(dir.join("version-2"))? {
        count += u64::from(entry?.file_name().to_string_lossy().starts_with(prefix));
    }
    Ok(count)
}

/// When the server's process started, in seconds since 1970: the one that was started with this
/// configuration, where the host lets us see it (Linux).
pub(super) fn process_start(zoo_cfg: &Path) -> Option<f64> {
    let boot = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 =
        boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let wanted = zoo_cfg.canonicalize().ok()?;
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        let mut args = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let is_server = args.clone().any(|arg| arg.ends_with("QuorumPeerMain"));
        let is_ours = args.any(|arg| Path::new(&*arg).canonicalize().is_ok_and(|p| p == wanted));
        if is_server && is_ours {
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name may hold anything, even brackets: what counts comes after the last one.
            let after = stat.rsplit_once(')')?.1;
            let ticks: f64 = after.split_whitespace().nth(19)?.parse().ok()?;
            // Linux gives these in hundredths of a second on every machine that Java runs on.
            return Some(boot + ticks / 100.0);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folders_disk_and_files_are_counted() {
        let dir = tempfile::tempdir().expect("a folder");
        let disk = disk(dir.path()).expect("a file system");
        assert!(disk.size > 0 && disk.free <= disk.size);
        assert!(files(dir.path(), "log.").is_err(), "no version-2 yet");
        fs::create_dir(dir.path().join("version-2")).expect("made");
        for name in ["log.1", "log.2", "snapshot.0", "acceptedEpoch"] {
            fs::write(dir.path().join("version-2").join(name), "").expect("written");
        }
        assert_eq!(files(dir.path(), "log.").expect("read"), 2);
        assert_eq!(files(dir.path(), "snapshot.").expect("read"), 1);
    }
}
