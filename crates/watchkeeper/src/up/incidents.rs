//! A line on the terminal for every incident that opens or changes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use wk_monitor::{
    Change, Incident, IncidentFilter, IncidentState, Lang, MonitorHandle, Severity, Timestamp,
};

use super::{choose, padded};
use crate::print;

/// Follows a monitor and prints what is new.
#[derive(Debug)]
pub(crate) struct Incidents {
    monitor: MonitorHandle,
    changes: broadcast::Receiver<Change>,
    url: String,
    lang: Lang,
    colour: bool,
    /// The state last printed of each incident that is not closed.
    printed: BTreeMap<String, IncidentState>,
}

impl Incidents {
    /// Begins to follow; what is open already is printed first.
    pub(crate) fn follow(monitor: MonitorHandle, url: &str, lang: Lang) -> Self {
        let changes = monitor.subscribe();
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { monitor, changes, url: url.to_owned(), lang, colour, printed: BTreeMap::new() }
    }

    /// Prints until the monitor ends.
    pub(crate) async fn print_all(&mut self) {
        self.print_open();
        while let Some(incident) = self.next().await {
            self.print(&incident);
        }
    }

    /// Prints what has happened and is not printed yet, without waiting.
    pub(crate) fn print_rest(&mut self) {
        while let Ok(change) = self.changes.try_recv() {
            if let Change::Incident(incident) = change {
                self.print(&incident);
            }
        }
    }

    /// The next incident that changed, or `None` when the monitor has ended.
    async fn next(&mut self) -> Option<Arc<Incident>> {
        loop {
            match self.changes.recv().await {
                Ok(Change::Incident(incident)) => return Some(incident),
                Ok(Change::Fleet) => {}
                Err(RecvError::Lagged(_)) => self.print_open(),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn print_open(&mut self) {
        let hushed = Some(false);
        let open = IncidentFilter { open_only: true, hushed, ..IncidentFilter::default() };
        for incident in self.monitor.incidents(&open).iter().rev() {
            self.print(incident);
        }
    }

    /// Prints one incident if its state is not the one printed last.
    fn print(&mut self, incident: &Incident) {
        if self.printed.get(&incident.id) == Some(&incident.state) {
            return;
        }
        // Nobody is told of these either.
        if matches!(incident.state, IncidentState::Pending | IncidentState::Suppressed) {
            return;
        }
        if incident.state == IncidentState::Closed {
            self.printed.remove(&incident.id);
        } else {
            self.printed.insert(incident.id.clone(), incident.state);
        }
        // A closed terminal is no reason to stop watching.
        let _ = print::bytes(line(incident, &self.url, self.lang, self.colour).as_bytes());
    }
}

/// `12:03:04 DOWN ...`, then where to read on.
fn line(incident: &Incident, url: &str, lang: Lang, colour: bool) -> String {
    let when = match incident.state {
        IncidentState::Firing | IncidentState::Unknown => incident.last_seen,
        IncidentState::Resolved => incident.resolved_at.unwrap_or(incident.last_seen),
        // What somebody does changes nothing of what was seen: it is now.
        IncidentState::Acknowledged
        | IncidentState::Closed
        | IncidentState::Pending
        | IncidentState::Suppressed => Timestamp::now(),
    };
    let at = jiff::Timestamp::from_millisecond(when.0).map_or_else(
        |_| when.to_string(),
        |at| at.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S").to_string(),
    );
    let (word, code) = match (incident.state, incident.severity) {
        (IncidentState::Firing, Severity::Critical) => (choose(lang, "CRITICAL", "严重"), "1;31"),
        (IncidentState::Firing, Severity::Warning) => (choose(lang, "WARNING", "警告"), "1;33"),
        (IncidentState::Firing, Severity::Info) => (choose(lang, "INFO", "提示"), "1;36"),
        (IncidentState::Pending, _) => (choose(lang, "PENDING", "待定"), "2"),
        (IncidentState::Suppressed, _) => (choose(lang, "SUPPRESSED", "已抑制"), "2"),
        (IncidentState::Acknowledged, _) => (choose(lang, "TAKEN ON", "已认领"), "1;34"),
        (IncidentState::Unknown, _) => (choose(lang, "CANNOT SEE", "无法观察"), "1;35"),
        (IncidentState::Resolved, _) => (choose(lang, "RESOLVED", "已恢复"), "1;32"),
        (IncidentState::Closed, _) => (choose(lang, "CLOSED", "已关闭"), "2"),
    };
    let mut out = String::new();
    let (on, off) = if colour { (format!("\x1b[{code}m"), "\x1b[0m") } else { (String::new(), "") };
    // Names come from the registry: nothing in them may steer a terminal.
    let summary: String =
        incident.summary.chars().filter(|c| !wk_monitor::is_disturbing(*c)).collect();
    let _ = writeln!(out, "{at}  {on}{}{off}  {summary}", padded(word, 10));
    let _ = writeln!(out, "{:>10}{:<12}{url}/incidents/{}", "", "", incident.id);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident(summary: &str, state: IncidentState) -> Incident {
        Incident {
            id: "i-1".to_owned(),
            rule: "NodeDown".to_owned(),
            severity: Severity::Warning,
            state,
            ensemble: "local".to_owned(),
            instance: None,
            group: None,
            node: Some("one".to_owned()),
            summary: summary.to_owned(),
            evidence: Vec::new(),
            located: Vec::new(),
            first_seen: Timestamp(0),
            last_seen: Timestamp(0),
            ..Incident::default()
        }
    }

    #[test]
    fn line_says_what_and_where_to_read_on() {
        let incident = incident("Node one is down", IncidentState::Firing);
        let line = line(&incident, "http://127.0.0.1:7181", Lang::En, false);
        assert!(line.contains("WARNING     Node one is down\n"), "{line}");
        assert!(line.ends_with("http://127.0.0.1:7181/incidents/i-1\n"), "{line}");
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        let incident = incident("Node \x1b]0;x\x07one\n is down", IncidentState::Firing);
        let line = line(&incident, "http://h", Lang::En, false);
        assert!(!line.contains('\x1b') && !line.contains('\x07'), "{line:?}");
        assert_eq!(line.lines().count(), 2, "{line:?}");
    }
}
