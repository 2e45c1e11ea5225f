//! The agent's page in Prometheus' text format.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::certificates::certificates;
use super::host;
use super::links::Link;
use super::zoo::Zoo;

/// The page as of now. What cannot be seen is said on it.
pub(super) fn page(zoo_cfg: &Path, links: &[Link]) -> String {
    let mut page = Page::default();
    let zoo = match Zoo::read(zoo_cfg) {
        Ok(zoo) => zoo,
        Err(err) => {
            page.notes.push(format!("{err:#}"));
            return page.end();
        }
    };
    facts(&mut page, &zoo, zoo_cfg, links);
    page.end()
}

fn facts(page: &mut Page, zoo: &Zoo, zoo_cfg: &Path, links: &[Link]) {
    let port = zoo.client_port().unwrap_or_default();
    let help = "Which server this host's facts are about.";
    page.metric("watchkeeper_agent_info", help, &[(&[("client_port", &port)], 1.0)]);
    disks(page, zoo);
    files(page, zoo);
    let (found, notes) = certificates(zoo);
    page.notes.extend(notes);
    let rows: Vec<([(&str, &str); 2], f64)> = found
        .iter()
        .map(|one| ([("port", one.port), ("subject", one.subject.as_str())], number(one.not_after)))
        .collect();
    let rows: Vec<Row<'_>> = rows.iter().map(|(labels, value)| (&labels[..], *value)).collect();
    let help = "When the server's certificate ends.";
    page.metric("watchkeeper_server_cert_not_after_timestamp_seconds", help, &rows);
    let hash = hash(&zoo.common());
    let help = "Hash of all of zoo.cfg that must be the same on every member.";
    page.metric("watchkeeper_agent_config_info", help, &[(&[("config_hash", &hash)], 1.0)]);
    if let Some(start) = host::process_start(zoo_cfg) {
        let help = "When the server's process started.";
        let name = "watchkeeper_server_process_start_time_seconds";
        page.metric(name, help, &[(&[], start)]);
    }
    let rows: Vec<([(&str, &str); 3], f64)> = links
        .iter()
        .map(|link| {
            let labels = [("from", &*link.from), ("to", &*link.to), ("port", link.port)];
            (labels, f64::from(u8::from(link.up)))
        })
        .collect();
    let rows: Vec<Row<'_>> = rows.iter().map(|(labels, value)| (&labels[..], *value)).collect();
    page.metric("watchkeeper_link_up", "Whether this host reaches a member's port.", &rows);
}

fn disks(page: &mut Page, zoo: &Zoo) {
    let (data, log) = (zoo.data_dir(), zoo.log_dir());
    let (mut free, mut size) = (Vec::new(), Vec::new());
    let dirs = if data == log { vec![data] } else { vec![data, log] };
    for dir in dirs {
        let shown = dir.display().to_string();
        match host::disk(&dir) {
            Ok(disk) => {
                free.push((shown.clone(), float(disk.free)));
                size.push((shown, float(disk.size)));
            }
            Err(err) => page.notes.push(format!("{shown}: cannot see its file system: {err}")),
        }
    }
    let help = "Bytes that the server may still write.";
    page.by("watchkeeper_server_disk_free_bytes", help, "dir", &free);
    page.by("watchkeeper_server_disk_size_bytes", "Bytes of the file system.", "dir", &size);
}

fn files(page: &mut Page, zoo: &Zoo) {
    let kinds = [("snapshot", "snapshot.", zoo.data_dir()), ("log", "log.", zoo.log_dir())];
    let mut rows = Vec::new();
    for (kind, prefix, dir) in kinds {
        match host::files(&dir, prefix) {
            Ok(count) => rows.push((kind.to_owned(), float(count))),
            Err(err) => {
                page.notes.push(format!("{}/version-2: cannot list: {err}", dir.display()));
            }
        }
    }
    page.by("watchkeeper_server_files", "Files of the server.", "kind", &rows);
}

type Row<'r> = (&'r [(&'r str, &'r str)], f64);

#[derive(Debug, Default)]
struct Page {
    text: String,
    notes: Vec<String>,
}

impl Page {
    fn metric(&mut self, name: &str, help: &str, rows: &[Row<'_>]) {
        if rows.is_empty() {
            return;
        }
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in rows {
            let labels: Vec<String> = labels
                .iter()
                .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
                .collect();
            let labels =
                if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(self.text, "{name}{labels} {value}");
        }
    }

    fn by(&mut self, name: &str, help: &str, label: &str, rows: &[(String, f64)]) {
        let labels: Vec<[(&str, &str); 1]> = rows.iter().map(|(v, _)| [(label, &**v)]).collect();
        let rows: Vec<Row<'_>> =
            labels.iter().zip(rows).map(|(labels, (_, value))| (&labels[..], *value)).collect();
        self.metric(name, help, &rows);
    }

    fn end(mut self) -> String {
        let notes = std::mem::take(&mut self.notes);
        let labels: Vec<[(&str, &str); 1]> =
            notes.iter().map(|note| [("note", note.as_str())]).collect();
        let rows: Vec<Row<'_>> = labels.iter().map(|labels| (&labels[..], 1.0)).collect();
        self.metric("watchkeeper_agent_note_info", "What the agent could not see, and why.", &rows);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        // Last: the time is compared with that of the pull.
        self.metric("watchkeeper_agent_time_seconds", "This host's clock.", &[(&[], now)]);
        self.text
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// FNV-1a, 64 bits: it tells configurations apart, it does not protect them.
fn hash(text: &str) -> String {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

#[expect(clippy::cast_precision_loss, reason = "bytes and counts: the last digits do not matter")]
fn float(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
fn number(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_what_is_there_and_what_is_not_seen() {
        let dir = tempfile::tempdir().expect("a folder");
        let cfg = dir.path().join("zoo.cfg");
        let data = dir.path().join("da\"ta");
        std::fs::create_dir_all(data.join("version-2")).expect("made");
        std::fs::write(data.join("version-2/snapshot.0"), "").expect("written");
        let text =
            format!("dataDir={}\ndataLogDir=/does/not/exist\nclientPort=2181\n", data.display());
        std::fs::write(&cfg, text).expect("written");
        let link = Link { from: "a:1".into(), to: "b:2".into(), port: "election", up: false };
        let page = page(&cfg, &[link]);
        let has = |line: &str| assert!(page.contains(line), "{line} in\n{page}");
        has("watchkeeper_agent_info{client_port=\"2181\"} 1\n");
        has("da\\\"ta\"} ");
        has("watchkeeper_server_files{kind=\"snapshot\"} 1\n");
        has("watchkeeper_link_up{from=\"a:1\",to=\"b:2\",port=\"election\"} 0\n");
        has("watchkeeper_agent_note_info{note=\"/does/not/exist: cannot see its file system");
        has("watchkeeper_agent_time_seconds 1");
        assert!(!page.contains("cert_not_after"), "no certificates, no metric");
    }

    #[test]
    fn a_configuration_that_went_away_is_a_note_on_the_page() {
        let page = page(Path::new("/does/not/exist/zoo.cfg"), &[]);
        assert!(page.contains("zoo.cfg: cannot read"), "{page}");
    }

    #[test]
    fn equal_configurations_have_equal_hashes() {
        assert_eq!(hash("a=1\n"), hash("a=1\n"));
        assert_ne!(hash("a=1\n"), hash("a=2\n"));
    }
}
