//! What `envi` says about the process. Java's keys are all there, because tools look for them;
//! those of a JVM say `<NA>`.

use crate::VERSION;
use std::fs;

/// Key and value, in Apache's order.
pub fn environment() -> Vec<(&'static str, String)> {
    let uname = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let variable = |name| std::env::var(name).unwrap_or_else(|_| "<NA>".to_owned());
    let here = std::env::current_dir();
    let mut all =
        vec![("zookeeper.version", VERSION.to_owned()), ("host.name", text(uname.nodename()))];
    let of_java =
        ["java.version", "java.vendor", "java.home", "java.class.path", "java.library.path"];
    all.extend(of_java.map(|key| (key, "<NA>".to_owned())));
    all.extend([
        ("java.io.tmpdir", std::env::temp_dir().display().to_string()),
        ("java.compiler", "<NA>".to_owned()),
        ("os.name", text(uname.sysname())),
        ("os.arch", java_arch().to_owned()),
        ("os.version", text(uname.release())),
        ("user.name", variable("USER")),
        ("user.home", variable("HOME")),
        ("user.dir", here.map_or_else(|_| "<NA>".to_owned(), |dir| dir.display().to_string())),
    ]);
    let memory = Memory::read();
    let mb = |kb: u64| format!("{}MB", kb / 1024);
    all.extend([
        ("os.memory.free", mb(memory.free_kb)),
        ("os.memory.max", mb(memory.total_kb)),
        ("os.memory.total", mb(memory.total_kb)),
    ]);
    all
}

/// Java's name of the architecture.
fn java_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        other => other,
    }
}

/// Memory of the machine: a process without a heap of fixed size has no other bound.
struct Memory {
    free_kb: u64,
    total_kb: u64,
}

impl Memory {
    fn read() -> Self {
        let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
        };
        Self {
            free_kb: field("MemAvailable").unwrap_or(0),
            total_kb: field("MemTotal").unwrap_or(0),
        }
    }
}

/// Open file descriptors of this process and the most that it may have.
pub(crate) fn file_descriptors() -> (u64, u64) {
    let open = fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    (open, limit.unwrap_or(u64::MAX))
}

/// Bytes of the files in a directory, as Apache sums them up: subdirectories included.
pub(crate) fn directory_size(dir: &std::path::Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => directory_size(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Figures of the process that Prometheus' Java client calls `process_*`.
pub(crate) struct ProcessFigures {
    pub(crate) cpu_seconds: f64,
    pub(crate) start_time_seconds: f64,
    pub(crate) resident_bytes: u64,
    pub(crate) virtual_bytes: u64,
}

impl ProcessFigures {
    /// Reads them from /proc; zeros where there is none.
    pub(crate) fn read() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The name in parentheses may hold blanks.
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let fields: Vec<u64> =
            rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        let field = |number: usize| fields.get(number - 3).copied().unwrap_or(0);
        let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
        let boot: u64 = boot
            .lines()
            .find_map(|line| line.strip_prefix("btime "))
            .and_then(|seconds| seconds.trim().parse().ok())
            .unwrap_or(0);
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        #[expect(clippy::cast_precision_loss, reason = "seconds with hundredths")]
        let seconds = |count: u64| count as f64 / ticks as f64;
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
        let start_time_seconds = boot as f64 + seconds(field(22));
        Self {
            cpu_seconds: seconds(field(14) + field(15)),
            start_time_seconds,
            virtual_bytes: field(23),
            resident_bytes: field(24) * rustix::param::page_size() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_apaches() {
        let keys: Vec<&str> = environment().iter().map(|(key, _)| *key).collect();
        let golden = include_str!("four_letter/golden/envi.txt");
        let want: Vec<&str> =
            golden.lines().skip(1).filter_map(|line| line.split_once('=')).map(|kv| kv.0).collect();
        assert_eq!(keys, want);
    }

    #[test]
    fn figures_of_this_process_are_plausible() {
        let figures = ProcessFigures::read();
        assert!(figures.resident_bytes > 100_000 && figures.virtual_bytes > figures.resident_bytes);
        assert!(figures.start_time_seconds > 1.6e9);
        let (open, max) = file_descriptors();
        assert!(open >= 3 && max > open);
    }
}
