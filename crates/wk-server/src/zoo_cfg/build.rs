//! From judged values to a [`ServerConfig`]; the rules that join several keys are here.

use super::config::{
    AdminConfig, Limits, MetricsProvider, ServerConfig, StorageConfig, TreeConfig, WordList,
};
use super::values::Values;
use super::{logins, tls};
use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;
use wk_store::Compression;

/// Builds the configuration; what is missing or does not fit together is added to the findings.
pub(super) fn build(values: &mut Values) -> Option<ServerConfig> {
    let server_line = servers(values);
    let schemes = providers(values);
    let storage = storage(values)?;
    let tick_time = millis(values, "tickTime");
    let timeout = |name, ticks: u32| match values.int::<u64>(name) {
        Some(ms) => Duration::from_millis(ms),
        None => tick_time * ticks,
    };
    let min_session_timeout = timeout("minSessionTimeout", 2);
    let max_session_timeout = timeout("maxSessionTimeout", 20);
    if min_session_timeout > max_session_timeout {
        let text = format!(
            "minSessionTimeout = \"{}\": must not be above maxSessionTimeout = \"{}\"",
            min_session_timeout.as_millis(),
            max_session_timeout.as_millis()
        );
        values.error(&values.place("minSessionTimeout"), text);
    }
    let client_addr = client_addr(values, server_line.as_deref());
    let tls = tls::tls(values);
    let has_x509 = tls.is_some() || schemes.x509;
    let schemes_required = logins::required(values, has_x509, schemes.sasl);
    let sasl = logins::sasl(values);
    Some(ServerConfig {
        client_addr,
        listen_backlog: values.int::<u32>("clientPortListenBacklog").filter(|&n| n > 0),
        client_tcp_keep_alive: values.on("clientTcpKeepAlive"),
        tick_time,
        min_session_timeout,
        max_session_timeout,
        limits: limits(values),
        words: words(values),
        storage,
        tree: TreeConfig { x509_scheme: has_x509, sasl_scheme: schemes.sasl, ..tree(values) },
        tls,
        sasl,
        schemes_required,
        admin: AdminConfig {
            enabled: values.on("admin.enableServer"),
            address: values.text("admin.serverAddress").unwrap_or("0.0.0.0").to_owned(),
            port: values.int("admin.serverPort").unwrap_or_default(),
            command_url: values.text("admin.commandURL").unwrap_or("/commands").to_owned(),
            idle_timeout: millis(values, "admin.idleTimeout"),
        },
        metrics: metrics(values),
        reconfig_enabled: values.on("reconfigEnabled"),
        common_hash: crate::host::config_hash(&values.lines),
    })
}

fn millis(values: &Values, name: &'static str) -> Duration {
    Duration::from_millis(values.int(name).unwrap_or_default())
}

fn limits(values: &Values) -> Limits {
    let default = Limits::default();
    Limits {
        client_cnxns_max: values.int("maxClientCnxns").unwrap_or(default.client_cnxns_max),
        cnxns_max: values.int("maxCnxns").unwrap_or(default.cnxns_max),
        sessionless_timeout: millis(values, "nio.sessionlessCnxnTimeout"),
        outstanding_max: values.int("globalOutstandingLimit").unwrap_or(default.outstanding_max),
        request_bytes_max: values.int("jute.maxbuffer").unwrap_or(default.request_bytes_max),
        ..default
    }
}

fn words(values: &Values) -> WordList {
    let list = values.text("4lw.commands.whitelist").unwrap_or("");
    let mut words: std::collections::BTreeSet<String> = list
        .split(',')
        .map(|word| word.trim().to_owned())
        .filter(|word| !word.is_empty())
        .collect();
    if words.contains("*") {
        return WordList::All;
    }
    if values.on("readonlymode.enabled") {
        words.insert("isro".to_owned());
    }
    WordList::Only(words)
}

fn tree(values: &Values) -> TreeConfig {
    TreeConfig {
        extended_types: values.on("extendedTypesEnabled"),
        container_check_interval: millis(values, "znode.container.checkIntervalMs"),
        container_per_minute: values.int("znode.container.maxPerMinute").unwrap_or(10_000),
        skip_acl: values.on("skipACL"),
        enforce_quota: values.on("enforceQuota"),
        super_digest: values
            .text("DigestAuthenticationProvider.superDigest")
            .map(ToOwned::to_owned),
        digest_scheme: values.on("DigestAuthenticationProvider.enabled"),
        x509_scheme: false,
        sasl_scheme: false,
        any_sasl: values.text("letAnySaslUserDoX").map(ToOwned::to_owned),
        x509_super: values.text("X509AuthenticationProvider.superUser").map(ToOwned::to_owned),
    }
}

fn metrics(values: &mut Values) -> MetricsProvider {
    let class = values.text("metricsProvider.className").unwrap_or("").to_owned();
    match class.rsplit('.').next().unwrap_or("") {
        "DefaultMetricsProvider" => MetricsProvider::Default,
        "NullMetricsProvider" => MetricsProvider::Null,
        "PrometheusMetricsProvider" => MetricsProvider::Prometheus {
            host: values.text("metricsProvider.httpHost").unwrap_or("0.0.0.0").to_owned(),
            port: values.int("metricsProvider.httpPort").unwrap_or_default(),
            export_jvm_info: values.on("metricsProvider.exportJvmInfo"),
        },
        _ => {
            let text = format!(
                "metricsProvider.className = \"{class}\": must be DefaultMetricsProvider, \
                 NullMetricsProvider or PrometheusMetricsProvider of Apache; classes of your own \
                 cannot be loaded, there is no JVM"
            );
            values.error(&values.place("metricsProvider.className"), text);
            MetricsProvider::Default
        }
    }
}

fn storage(values: &mut Values) -> Option<StorageConfig> {
    let Some(data_dir) = values.text("dataDir").map(PathBuf::from) else {
        values.error("zoo.cfg", "dataDir: must be set".to_owned());
        return None;
    };
    let snap_count = values.int::<i64>("snapCount").unwrap_or(100_000);
    if snap_count < 2 {
        values.warn(&values.place("snapCount"), format!("snapCount = \"{snap_count}\": 2 is used"));
    }
    let retain = values.int::<i64>("autopurge.snapRetainCount").unwrap_or(3);
    if retain < 3 {
        let text = format!("autopurge.snapRetainCount = \"{retain}\": 3 are kept");
        values.warn(&values.place("autopurge.snapRetainCount"), text);
    }
    if !values.on("forceSync") {
        let text = "forceSync = \"no\": acknowledged writes are lost when the machine stops";
        values.warn(&values.place("forceSync"), text.to_owned());
    }
    let kb = |name| values.int::<u64>(name).filter(|&kb| kb > 0).map(|kb| kb * 1024);
    Some(StorageConfig {
        data_log_dir: values.text("dataLogDir").map_or_else(|| data_dir.clone(), PathBuf::from),
        data_dir,
        autocreate: values.on("datadir.autocreate"),
        snap_count: u32::try_from(snap_count.max(2)).unwrap_or(u32::MAX),
        snap_size_limit: kb("snapSizeLimitInKb"),
        pre_alloc_bytes: kb("preAllocSize").unwrap_or(0),
        txn_log_size_limit: kb("txnLogSizeLimitInKb"),
        force_sync: values.on("forceSync"),
        fsync_warning: millis(values, "fsync.warningthresholdms"),
        flush_delay: millis(values, "flushDelay"),
        batch_max: values.int("maxBatchSize").unwrap_or(1000),
        trust_empty_snapshot: values.on("snapshot.trust.empty"),
        digest: values.on("digest.enabled"),
        serialize_last_zxid: values.on("serializeLastProcessedZxid.enabled"),
        snapshot_compression: match values.text("snapshot.compression.method") {
            Some("gz") => Compression::Gzip,
            Some("snappy") => Compression::Snappy,
            _ => Compression::None,
        },
        purge_interval: values
            .int::<u64>("autopurge.purgeInterval")
            .filter(|&hours| hours > 0)
            .map(Duration::from_hours),
        snap_retain_count: u32::try_from(retain.max(3)).unwrap_or(3),
    })
}

/// Where clients are taken in: clientPort and clientPortAddress, else the client part of the
/// only server line.
fn client_addr(values: &mut Values, server_line: Option<&str>) -> Option<SocketAddr> {
    let host = values.text("clientPortAddress").map(str::to_owned);
    let Some(port) = values.int::<u16>("clientPort") else {
        if host.is_some() {
            let text = "clientPortAddress: needs clientPort".to_owned();
            values.error(&values.place("clientPortAddress"), text);
            return None;
        }
        let from_line = server_line.and_then(|line| line.split_once(';'));
        let Some((_, client)) = from_line else {
            let secure = values.text("secureClientPort").is_some();
            if values.text("clientPort").is_none() && !secure {
                values.error("zoo.cfg", "clientPort: must be set".to_owned());
            }
            return None;
        };
        let (host, port) = client.rsplit_once(':').unwrap_or(("0.0.0.0", client));
        let Ok(port) = port.parse() else {
            let text = format!("server line: \"{client}\": must be [address:]port for clients");
            values.error("zoo.cfg", text);
            return None;
        };
        return resolve(values, "server line", host.trim_matches(['[', ']']), port);
    };
    match host {
        None => Some((Ipv6Addr::UNSPECIFIED, port).into()),
        Some(host) => resolve(values, "clientPortAddress", &host, port),
    }
}

pub(super) fn resolve(
    values: &mut Values,
    name: &str,
    host: &str,
    port: u16,
) -> Option<SocketAddr> {
    match (host.trim_matches(['[', ']']), port).to_socket_addrs() {
        // Java binds both families for the unspecified address of either.
        Ok(mut all) => all.next().map(|addr| {
            if addr.ip().is_unspecified() { (Ipv6Addr::UNSPECIFIED, port).into() } else { addr }
        }),
        Err(err) => {
            let text = format!("{name} = \"{host}\": must be an address of this machine ({err})");
            values.error(&values.place(name), text);
            None
        }
    }
}

/// Checks the server lines; returns the only one.
fn servers(values: &mut Values) -> Option<String> {
    let lines = values.under("server.");
    if lines.len() > 1 {
        let text = format!(
            "server.N: there are {} lines, and ensembles are not there yet: leave one line or none \
             to run a standalone server",
            lines.len()
        );
        values.error(&lines[0].1.origin.to_string(), text);
        return None;
    }
    if !values.on("standaloneEnabled") {
        let text = "standaloneEnabled = \"false\": ensembles are not there yet: set it to true";
        values.error(&values.place("standaloneEnabled"), text.to_owned());
    }
    let role = values.text("peerType").unwrap_or("participant").to_lowercase();
    if role != "participant" {
        let text = if role == "observer" {
            "peerType = \"observer\": ensembles are not there yet: take the key out".to_owned()
        } else {
            format!("peerType = \"{role}\": must be participant or observer")
        };
        values.error(&values.place("peerType"), text);
    }
    let (id, given) = lines.into_iter().next()?;
    if given.value.contains(":observer") {
        let text = format!("server.{id}: an observer needs participants, which are not there");
        values.error(&given.origin.to_string(), text);
    }
    let text = format!("server.{id}: one server alone runs standalone, as in Apache");
    values.warn(&given.origin.to_string(), text);
    Some(given.value)
}

/// Schemes that a class asks for by name.
#[derive(Default)]
struct Schemes {
    x509: bool,
    sasl: bool,
}

/// Refuses classes of authentication schemes other than the built-in ones.
fn providers(values: &mut Values) -> Schemes {
    const BUILT_IN: [&str; 2] = ["DigestAuthenticationProvider", "IPAuthenticationProvider"];
    let mut schemes = Schemes::default();
    for (name, given) in values.under("authProvider.") {
        let class = given.value.rsplit('.').next().unwrap_or("");
        if class.is_empty() || BUILT_IN.contains(&class) {
            continue;
        }
        let instead = match class {
            "SASLAuthenticationProvider" => {
                schemes.sasl = true;
                continue;
            }
            "X509AuthenticationProvider" => {
                schemes.x509 = true;
                continue;
            }
            _ => "classes of Java cannot be loaded: take the key out",
        };
        let text = format!("authProvider.{name} = \"{}\": {instead}", given.value);
        values.error(&given.origin.to_string(), text);
    }
    schemes
}
