//! The four-letter words: which exist, and their answers as Apache 3.9 spells them.
//!
//! Only text is made here, from the typed values of [`crate::report`]. Output differs from
//! Apache's in order only where Apache's own order is that of a hash table.

use crate::metrics::{Metrics, java_double};
use crate::report::{
    ConfigurationReport, ConnectionStats, DumpReport, ServerStats, WatchReport, WatchSummary,
};
use std::fmt::Write as _;

macro_rules! words {
    ($($variant:ident $text:literal $doc:literal;)*) => {
        /// A four-letter word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Word {
            $(#[doc = $doc] $variant,)*
        }

        impl Word {
            /// Every word.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The four letters.
            pub fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

words! {
    Conf "conf" "Settings.";
    Cons "cons" "Connections in detail.";
    Crst "crst" "Resets the counters of connections.";
    Dirs "dirs" "Sizes of the data directories.";
    Dump "dump" "Sessions, ephemerals, connections by expiry.";
    Envi "envi" "Environment of the process.";
    Gtmk "gtmk" "The trace mask.";
    Hash "hash" "Digests of the tree at past zxids.";
    Isro "isro" "Whether only reads are served.";
    Mntr "mntr" "All metrics.";
    Ruok "ruok" "Whether the process answers.";
    Srst "srst" "Resets the counters of the server.";
    Srvr "srvr" "The server's figures.";
    Stat "stat" "The server's figures and its connections in brief.";
    Stmk "stmk" "Sets the trace mask.";
    Wchc "wchc" "Watches by session.";
    Wchp "wchp" "Watches by path.";
    Wchs "wchs" "Number of watches.";
}

impl Word {
    /// The word that the first four bytes of a connection are, if they are one.
    pub fn from_bytes(bytes: [u8; 4]) -> Option<Self> {
        Self::ALL.iter().copied().find(|word| word.text().as_bytes() == bytes)
    }
}

/// What telnet sends when it closes; ignored as Apache does.
pub(crate) const TELNET_CLOSE: [u8; 4] = [0xff, 0xf4, 0xff, 0xfd];

/// The trace mask that Apache starts with; there is no tracing by mask here.
pub(crate) const TRACE_MASK: u64 = 306;

/// The answer to a word that is not on the list.
pub(crate) fn refused(word: Word) -> String {
    format!("{} is not executed because it is not in the whitelist.\n", word.text())
}

fn figures(stats: &ServerStats) -> String {
    format!(
        "Latency min/avg/max: {}/{}/{}\nReceived: {}\nSent: {}\nConnections: {}\n\
         Outstanding: {}\nZxid: 0x{:x}\nMode: {}\nNode count: {}\n",
        stats.min_latency_ms,
        java_double(stats.avg_latency_ms),
        stats.max_latency_ms,
        stats.packets_received,
        stats.packets_sent,
        stats.num_alive_connections,
        stats.outstanding_requests,
        stats.last_processed_zxid,
        stats.server_state,
        stats.node_count,
    )
}

/// The answer to `srvr`.
pub fn srvr(stats: &ServerStats) -> String {
    format!("Zookeeper version: {}\n{}", stats.version, figures(stats))
}

/// The answer to `stat`.
pub fn stat(stats: &ServerStats, connections: &[ConnectionStats]) -> String {
    let mut text = format!("Zookeeper version: {}\nClients:\n", stats.version);
    for connection in connections {
        let _ = writeln!(text, "{})", brief(connection));
    }
    text.push('\n');
    text.push_str(&figures(stats));
    text
}

/// The address of a client as Java prints one.
fn peer(connection: &ConnectionStats) -> String {
    match connection.peer {
        Some(addr) => format!("/{addr}"),
        None => "/in-process".to_owned(),
    }
}

/// A connection up to its closing parenthesis.
fn brief(connection: &ConnectionStats) -> String {
    format!(
        " {}[{}](queued={},recved={},sent={}",
        peer(connection),
        connection.interest_ops,
        connection.outstanding_requests,
        connection.packets_received,
        connection.packets_sent,
    )
}

/// The answer to `cons`.
pub fn cons(connections: &[ConnectionStats]) -> String {
    let mut text = String::new();
    for connection in connections {
        text.push_str(&brief(connection));
        if let Some(session) = connection.session {
            let _ = write!(
                text,
                ",sid=0x{:x},lop={},est={},to={}",
                session.id,
                connection.last_operation,
                connection.established_ms,
                session.timeout_ms
            );
            if connection.last_cxid >= 0 {
                let _ = write!(text, ",lcxid=0x{:x}", connection.last_cxid);
            }
            // Apache cuts the mean to a whole number.
            let _ = write!(
                text,
                ",lzxid=0x{:x},lresp={},llat={},minlat={},avglat={:.0},maxlat={}",
                connection.last_zxid,
                connection.last_response_time_ms,
                connection.last_latency_ms,
                connection.min_latency_ms,
                connection.avg_latency_ms.floor(),
                connection.max_latency_ms,
            );
        }
        text.push_str(")\n");
    }
    text.push('\n');
    text
}

/// The answer to `conf`.
pub fn conf(conf: &ConfigurationReport) -> String {
    format!(
        "clientPort={}\nsecureClientPort={}\ndataDir={}\ndataDirSize={}\ndataLogDir={}\n\
         dataLogSize={}\ntickTime={}\nmaxClientCnxns={}\nminSessionTimeout={}\n\
         maxSessionTimeout={}\nclientPortListenBacklog={}\nserverId={}\n",
        conf.client_port,
        conf.secure_client_port,
        conf.data_dir.display(),
        conf.data_dir_size,
        conf.data_log_dir.display(),
        conf.data_log_size,
        conf.tick_time_ms,
        conf.max_client_cnxns,
        conf.min_session_timeout_ms,
        conf.max_session_timeout_ms,
        conf.client_port_listen_backlog,
        conf.server_id,
    )
}

/// The answer to `mntr`.
pub fn mntr(metrics: &Metrics, prometheus: bool) -> String {
    let mut text = String::new();
    for (key, value) in metrics.rows(prometheus) {
        let _ = writeln!(text, "zk_{key}\t{value}");
    }
    text
}

/// The answer to `dirs`.
pub fn dirs(conf: &ConfigurationReport) -> String {
    format!("datadir_size: {}\nlogdir_size: {}\n", conf.data_dir_size, conf.data_log_size)
}

/// The answer to `wchs`.
pub fn wchs(watches: &WatchSummary) -> String {
    format!(
        "{} connections watching {} paths\nTotal watches:{}\n",
        watches.connections, watches.paths, watches.total
    )
}

/// The answer to `wchc`.
pub fn wchc(watches: &WatchReport) -> String {
    let mut text = String::new();
    for (session, paths) in watches.by_session() {
        let _ = writeln!(text, "0x{session:x}");
        for path in paths {
            let _ = writeln!(text, "\t{path}");
        }
    }
    text.push('\n');
    text
}

/// The answer to `wchp`.
pub fn wchp(watches: &WatchReport) -> String {
    let mut text = String::new();
    for (path, sessions) in watches.by_path() {
        let _ = writeln!(text, "{path}");
        for session in sessions {
            let _ = writeln!(text, "\t0x{session:x}");
        }
    }
    text.push('\n');
    text
}

/// The answer to `envi`.
pub fn envi(environment: &[(&'static str, String)]) -> String {
    let mut text = "Environment:\n".to_owned();
    for (key, value) in environment {
        let _ = writeln!(text, "{key}={value}");
    }
    text
}

/// The answer to `dump`.
pub fn dump(dump: &DumpReport) -> String {
    let mut text = "SessionTracker dump:\n".to_owned();
    let members: usize = dump.sessions.iter().map(|(_, ids)| ids.len()).sum();
    let _ = writeln!(text, "Session Sets ({})/({members}):", dump.sessions.len());
    for (expiry_ms, ids) in &dump.sessions {
        let _ = writeln!(text, "{} expire at {}:", ids.len(), java_date(*expiry_ms));
        for id in ids {
            let _ = writeln!(text, "\t0x{id:x}");
        }
    }
    text.push_str("ephemeral nodes dump:\n");
    let _ = writeln!(text, "Sessions with Ephemerals ({}):", dump.ephemerals.len());
    for (session, paths) in &dump.ephemerals {
        let _ = writeln!(text, "0x{session:x}:");
        for path in paths {
            let _ = writeln!(text, "\t{path}");
        }
    }
    text.push_str("Connections dump:\n");
    let members: usize = dump.connections.iter().map(|(_, of)| of.len()).sum();
    let _ = writeln!(text, "Connections Sets ({})/({members}):", dump.connections.len());
    for (expiry_ms, of) in &dump.connections {
        let _ = writeln!(text, "{} expire at {}:", of.len(), java_date(*expiry_ms));
        for connection in of {
            let session = connection.session.map_or(0, |session| session.id);
            let _ = writeln!(text, "\tip: {} sessionId: 0x{session:x}", peer(connection));
        }
    }
    text
}

/// A time of day as Java's `Date` prints it: `Sat Nov 21 11:53:32 UTC 2026`.
fn java_date(unix_ms: i64) -> String {
    let Ok(timestamp) = jiff::Timestamp::from_millisecond(unix_ms) else {
        return unix_ms.to_string();
    };
    let zoned = timestamp.to_zoned(jiff::tz::TimeZone::system());
    zoned.strftime("%a %b %d %H:%M:%S %Z %Y").to_string()
}

#[cfg(test)]
mod tests;
