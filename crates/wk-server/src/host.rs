//! What only a server's own host knows: its disks, its files, its process, as a metrics page.
//!
//! One place reads these facts and one spells them, so that the agent's page, the metrics page of
//! our own server and the monitor in one process with it carry the same names. None of it runs on
//! the server's own threads: pages ask a [`HostReader`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Facts are read at most this often, whoever asks how often.
pub const READ_INTERVAL: Duration = Duration::from_secs(5);
/// While a disk does not answer, what was read before stands for so long; then nothing is shown.
pub const VALID: Duration = Duration::from_secs(15);
/// Clock ticks a second in /proc, on every machine that we build for.
const TICKS: f64 = 100.0;

/// Keys that differ from host to host by their nature: they are no drift.
const OWN_KEYS: &[&str] = &[
    "dataDir",
    "dataLogDir",
    "clientPort",
    "clientPortAddress",
    "secureClientPort",
    "secureClientPortAddress",
    "dynamicConfigFile",
    "peerType",
    "admin.serverAddress",
    "admin.serverPort",
    "metricsProvider.httpHost",
    "metricsProvider.httpPort",
];

/// Bytes of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// What an ordinary user may still write.
    pub free: u64,
    /// All of it.
    pub size: u64,
}

/// The file system of a folder.
///
/// # Errors
/// When the folder cannot be seen.
pub fn file_system(dir: &Path) -> io::Result<FileSystem> {
    let stat = rustix::fs::statvfs(dir)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok(FileSystem { free: bytes(stat.f_bavail), size: bytes(stat.f_blocks) })
}

/// How many files below `DIR/version-2` have names that begin so.
///
/// # Errors
/// When the folder cannot be listed.
pub fn files(dir: &Path, prefix: &str) -> io::Result<u64> {
    let mut count = 0;
    for entry in fs::read_dir(dir.join("version-2"))? {
        count += u64::from(entry?.file_name().to_string_lossy().starts_with(prefix));
    }
    Ok(count)
}

/// When the process whose folder in /proc this is started, in seconds since 1970 (Linux).
pub fn process_start(process: &Path) -> Option<f64> {
    let boot = fs::read_to_string("/proc/stat").ok()?;
    let boot = boot.lines().find_map(|line| line.strip_prefix("btime "))?;
    let boot: f64 = boot.trim().parse().ok()?;
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    // The name may hold anything, even brackets: what counts comes after the last one.
    let ticks: f64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    Some(boot + ticks / TICKS)
}

/// What may be a password, or is one's hash, whichever way its key is written.
fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    ["password", "superdigest"].iter().any(|word| key.contains(word))
}

/// The lines of a configuration that must be the same on every member, sorted. Where a member names
/// itself by the address of all its interfaces, its list of servers is like nobody else's: the list
/// does not count then.
pub fn common_lines(keys: &BTreeMap<String, String>) -> String {
    let is_anywhere =
        |address: &String| ["0.0.0.0:", "[::]:"].iter().any(|a| address.starts_with(a));
    let servers = |key: &str| key.starts_with("server.");
    let own_list = keys.iter().any(|(key, address)| servers(key) && is_anywhere(address));
    let counts = |key: &str| {
        let secret = is_secret(key) || key.contains("Store.location");
        !(OWN_KEYS.contains(&key) || secret || key == "version" || own_list && servers(key))
    };
    let lines = keys.iter().filter(|(key, _)| counts(key));
    lines.map(|(key, value)| format!("{key}={}\n", value.trim())).collect()
}

/// A hash of [`common_lines`] (FNV-1a, 64 bits): it tells configurations apart, it does not protect
/// them.
pub fn config_hash(keys: &BTreeMap<String, String>) -> String {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", common_lines(keys).bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

/// Labels and value of a sample.
pub type Row<'r> = (&'r [(&'r str, &'r str)], f64);

/// A page of gauges in Prometheus' text format, and notes on what could not be seen.
#[derive(Debug, Default)]
pub struct HostPage {
    text: String,
    notes: Vec<String>,
}

impl HostPage {
    /// Adds a gauge; without rows there is none.
    pub fn metric(&mut self, name: &str, help: &str, rows: &[Row<'_>]) {
        if rows.is_empty() {
            return;
        }
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in rows {
            let label = |(name, value): &(&str, &str)| format!("{name}=\"{}\"", escaped(value));
            let labels: Vec<String> = labels.iter().map(label).collect();
            let labels =
                if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(self.text, "{name}{labels} {value}");
        }
    }

    /// Adds a gauge with one label.
    pub fn by(&mut self, name: &str, help: &str, label: &str, rows: &[(String, f64)]) {
        let labels: Vec<[(&str, &str); 1]> = rows.iter().map(|(v, _)| [(label, &**v)]).collect();
        let rows: Vec<Row<'_>> =
            labels.iter().zip(rows).map(|(labels, (_, value))| (&labels[..], *value)).collect();
        self.metric(name, help, &rows);
    }

    /// Says what cannot be seen, and why.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Adds the disks and files of a server that keeps its data there.
    pub fn storage(&mut self, data_dir: &Path, log_dir: &Path) {
        let (mut free, mut size) = (Vec::new(), Vec::new());
        let dirs = if data_dir == log_dir { vec![data_dir] } else { vec![data_dir, log_dir] };
        for dir in dirs {
            let shown = dir.display().to_string();
            match file_system(dir) {
                Ok(found) => {
                    free.push((shown.clone(), float(found.free)));
                    size.push((shown, float(found.size)));
                }
                Err(err) => self.note(format!("{shown}: cannot see its file system: {err}")),
            }
        }
        let help = "Bytes that the server may still write.";
        self.by("watchkeeper_server_disk_free_bytes", help, "dir", &free);
        self.by("watchkeeper_server_disk_size_bytes", "Bytes of the file system.", "dir", &size);
        let mut rows = Vec::new();
        for (kind, prefix, dir) in [("snapshot", "snapshot.", data_dir), ("log", "log.", log_dir)] {
            match files(dir, prefix) {
                Ok(count) => rows.push((kind.to_owned(), float(count))),
                Err(err) => self.note(format!("{}/version-2: cannot list: {err}", dir.display())),
            }
        }
        self.by("watchkeeper_server_files", "Files of the server.", "kind", &rows);
    }

    /// Adds the hash of what must be the same on every member.
    pub fn config(&mut self, hash: &str) {
        let help = "Hash of all of zoo.cfg that must be the same on every member.";
        self.metric("watchkeeper_agent_config_info", help, &[(&[("config_hash", hash)], 1.0)]);
    }

    /// Adds the start of the process whose folder in /proc this is, where the host shows it.
    pub fn process(&mut self, process: &Path) {
        if let Some(start) = process_start(process) {
            let name = "watchkeeper_server_process_start_time_seconds";
            self.metric(name, "When the server's process started.", &[(&[], start)]);
        }
    }

    /// Adds the notes; what comes after them is no note any more.
    pub fn noted(&mut self) {
        let notes = std::mem::take(&mut self.notes);
        let labels: Vec<[(&str, &str); 1]> =
            notes.iter().map(|note| [("note", note.as_str())]).collect();
        let rows: Vec<Row<'_>> = labels.iter().map(|labels| (&labels[..], 1.0)).collect();
        self.metric("watchkeeper_agent_note_info", "What could not be seen, and why.", &rows);
    }

    /// The text.
    pub fn finish(mut self) -> String {
        self.noted();
        self.text
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[expect(clippy::cast_precision_loss, reason = "bytes and counts: the last digits do not matter")]
fn float(value: u64) -> f64 {
    value as f64
}

/// Reads the facts of the server in this process, seldom, for whoever asks.
#[derive(Debug)]
pub struct HostReader {
    data_dir: PathBuf,
    log_dir: PathBuf,
    config_hash: String,
    /// What was read last, and when.
    last: Mutex<Option<(Instant, Arc<str>)>>,
    /// Held while one reads: nobody else waits for a disk that hangs.
    reading: Mutex<()>,
}

impl HostReader {
    /// A reader that has not read: directories as zoo.cfg names them, without `version-2`.
    pub fn new(data_dir: &Path, log_dir: &Path, config_hash: &str) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            log_dir: log_dir.to_owned(),
            config_hash: config_hash.to_owned(),
            last: Mutex::new(None),
            reading: Mutex::new(()),
        }
    }

    /// The page; may wait for a disk. `None` while another caller has waited for it too long.
    pub fn page(&self) -> Option<Arc<str>> {
        let last = self.last();
        if let Some((_, page)) = last.as_ref().filter(|(at, _)| at.elapsed() < READ_INTERVAL) {
            return Some(Arc::clone(page));
        }
        let Ok(_reading) = self.reading.try_lock() else {
            return last.filter(|(at, _)| at.elapsed() < VALID).map(|(_, page)| page);
        };
        let mut page = HostPage::default();
        page.storage(&self.data_dir, &self.log_dir);
        page.config(&self.config_hash);
        page.process(Path::new("/proc/self"));
        let page: Arc<str> = page.finish().into();
        let read = (Instant::now(), Arc::clone(&page));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
        Some(page)
    }

    fn last(&self) -> Option<(Instant, Arc<str>)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folders_disk_and_files_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let found = file_system(dir.path()).unwrap();
        assert!(found.size > 0 && found.free <= found.size);
        files(dir.path(), "log.").expect_err("no version-2 yet");
        fs::create_dir(dir.path().join("version-2")).unwrap();
        for name in ["log.1", "log.2", "snapshot.0", "acceptedEpoch"] {
            fs::write(dir.path().join("version-2").join(name), "").unwrap();
        }
        assert_eq!(files(dir.path(), "log.").unwrap(), 2);
        assert_eq!(files(dir.path(), "snapshot.").unwrap(), 1);
    }

    #[test]
    fn equal_configurations_have_equal_hashes() {
        let keys = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let one = keys(&[("tickTime", "2000"), ("dataDir", "/a"), ("ssl.keyStore.password", "x")]);
        let other = keys(&[("tickTime", "2000 "), ("dataDir", "/b")]);
        assert_eq!(config_hash(&one), config_hash(&other));
        assert_ne!(config_hash(&one), config_hash(&keys(&[("tickTime", "2001")])));
        assert_eq!(common_lines(&one), "tickTime=2000\n");
        for (key, value) in [
            ("SASLAuthenticationProvider.superPassword", "x"),
            ("DigestAuthenticationProvider.superDigest", "super:x"),
            ("metricsProvider.ssl.keyStore.passwordPath", "/x"),
        ] {
            assert_eq!(common_lines(&keys(&[(key, value)])), "", "{key}");
        }
        let shown = keys(&[("DigestAuthenticationProvider.digestAlg", "SHA1")]);
        assert_ne!(common_lines(&shown), "", "names of hashes are no secrets");
        let list = |own: &str| keys(&[("server.1", own), ("server.2", "b:1:2"), ("a", "b")]);
        assert_eq!(common_lines(&list("0.0.0.0:1:2")), "a=b\n");
        assert_ne!(config_hash(&list("a:1:2")), config_hash(&list("c:1:2")));
    }

    #[test]
    fn foreign_text_cannot_leave_its_quotes() {
        let mut page = HostPage::default();
        page.by("a", "Help.", "dir", &[("x\"} 1\ny\\".to_owned(), 2.0)]);
        page.note("no \"such\" file".to_owned());
        assert_eq!(
            page.finish(),
            "# HELP a Help.\n# TYPE a gauge\na{dir=\"x\\\"} 1\\ny\\\\\"} 2\n\
             # HELP watchkeeper_agent_note_info What could not be seen, and why.\n\
             # TYPE watchkeeper_agent_note_info gauge\n\
             watchkeeper_agent_note_info{note=\"no \\\"such\\\" file\"} 1\n"
        );
    }

    #[test]
    fn it_is_read_seldom_and_nobody_waits_for_a_disk_that_hangs() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("version-2")).unwrap();
        let reader = HostReader::new(dir.path(), dir.path(), "00");
        let hung = reader.reading.lock().unwrap();
        assert_eq!(reader.page(), None, "somebody else waits for the first answer");
        drop(hung);
        let first = reader.page().unwrap();
        assert!(first.contains("watchkeeper_server_files{kind=\"log\"} 0\n"), "{first}");
        assert!(first.contains("watchkeeper_agent_config_info{config_hash=\"00\"} 1\n"), "{first}");
        fs::write(dir.path().join("version-2/log.1"), "").unwrap();
        assert_eq!(reader.page(), Some(first.clone()), "not again so soon");
        let long_ago = |by: Duration| {
            let at = Instant::now().checked_sub(by).expect("the machine is up longer");
            *reader.last.lock().unwrap() = Some((at, first.clone()));
        };
        long_ago(READ_INTERVAL);
        let hung = reader.reading.lock().unwrap();
        assert_eq!(reader.page(), Some(first.clone()), "it still stands");
        long_ago(VALID);
        assert_eq!(reader.page(), None, "too old to be true");
        drop(hung);
        let anew = reader.page().unwrap();
        assert!(anew.contains("watchkeeper_server_files{kind=\"log\"} 1\n"), "{anew}");
    }
}
