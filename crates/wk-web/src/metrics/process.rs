//! The usual figures of a process, from /proc; where there is none, none are shown.

use std::fs;

use super::exposition::{Kind, Page, count};

/// Clock ticks a second in /proc: fixed at 100 for programs, whatever the kernel's own rate.
const TICKS: f64 = 100.0;
/// Bytes of a page on the machines that we build for.
const PAGE: u64 = 4096;

pub(super) fn write(page: &mut Page) {
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else { return };
    // The name of the program may hold blanks: the fields begin behind its last bracket.
    let Some((_, fields)) = stat.rsplit_once(") ") else { return };
    let fields: Vec<u64> = fields.split(' ').map(|field| field.parse().unwrap_or(0)).collect();
    let field = |at: usize| fields.get(at).copied().unwrap_or(0);

    let name = "process_cpu_seconds_total";
    page.family(name, Kind::Counter, "User and system time in seconds.");
    page.sample(name, &[], count(field(11) + field(12)) / TICKS);
    let name = "process_resident_memory_bytes";
    page.family(name, Kind::Gauge, "Resident memory.");
    page.sample(name, &[], count(field(21) * PAGE));
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        let name = "process_open_fds";
        page.family(name, Kind::Gauge, "Open file descriptors.");
        page.sample(name, &[], count(open.count() as u64));
    }
    if let Some(booted) = boot_time() {
        let name = "process_start_time_seconds";
        page.family(name, Kind::Gauge, "Start of this process as Unix time.");
        page.sample(name, &[], count(booted) + count(field(19)) / TICKS);
    }
}

fn boot_time() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}
