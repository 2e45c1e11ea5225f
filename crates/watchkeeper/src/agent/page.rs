//! The agent's page in Prometheus' text format.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use wk_server::host::{self, HostPage, Row};

use super::certificates::certificates;
use super::host::server_process;
use super::links::Link;
use super::zoo::Zoo;

/// The page as of now. What cannot be seen is said on it.
pub(super) fn page(zoo_cfg: &Path, links: &[Link]) -> String {
    let mut page = HostPage::default();
    match Zoo::read(zoo_cfg) {
        Ok(zoo) => facts(&mut page, &zoo, zoo_cfg, links),
        Err(err) => page.note(format!("{err:#}")),
    }
    page.noted();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    // Last: the time is compared with that of the pull.
    page.metric("watchkeeper_agent_time_seconds", "This host's clock.", &[(&[], now)]);
    page.finish()
}

fn facts(page: &mut HostPage, zoo: &Zoo, zoo_cfg: &Path, links: &[Link]) {
    let port = zoo.client_port().unwrap_or_default();
    let help = "Which server this host's facts are about.";
    page.metric("watchkeeper_agent_info", help, &[(&[("client_port", &port)], 1.0)]);
    page.storage(&zoo.data_dir(), &zoo.log_dir());
    let (found, notes) = certificates(zoo);
    for note in notes {
        page.note(note);
    }
    let rows: Vec<([(&str, &str); 2], f64)> = found
        .iter()
        .map(|one| ([("port", one.port), ("subject", one.subject.as_str())], number(one.not_after)))
        .collect();
    let rows: Vec<Row<'_>> = rows.iter().map(|(labels, value)| (&labels[..], *value)).collect();
    let help = "When the server's certificate ends.";
    page.metric("watchkeeper_server_cert_not_after_timestamp_seconds", help, &rows);
    page.config(&host::config_hash(&zoo.keys));
    if let Some(process) = server_process(zoo_cfg) {
        page.process(&process);
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
}
