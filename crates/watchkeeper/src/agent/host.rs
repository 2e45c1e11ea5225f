//! The process of a server on this host.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder in /proc of the server that was started with this configuration, where the host lets
/// us see it (Linux).
pub(super) fn server_process(zoo_cfg: &Path) -> Option<PathBuf> {
    let wanted = zoo_cfg.canonicalize().ok()?;
    let is_it = |process: &PathBuf| {
        let Ok(line) = fs::read(process.join("cmdline")) else { return false };
        let mut args = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let program = args.clone().next().unwrap_or_default();
        let ours =
            program.ends_with("watchkeeper") && args.clone().nth(1).as_deref() == Some("server");
        (ours || args.clone().any(|arg| arg.ends_with("QuorumPeerMain")))
            && args.any(|arg| Path::new(&*arg).canonicalize().is_ok_and(|path| path == wanted))
    };
    fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path()).find(is_it)
}
