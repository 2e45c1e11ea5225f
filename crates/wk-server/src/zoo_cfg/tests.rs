//! Configuration: what is read, refused, warned of, and in which order sources win.

use super::*;
use crate::tls::{ClientAuth, TlsVersion};
use std::io::Write as _;
use std::time::Duration;

const MINIMAL: &str = "dataDir=/d\nclientPort=2181\n";

fn load_text(text: &str) -> Verdict {
    load_all(text, &[], "", "")
}

fn load_all(text: &str, set: &[&str], server_jvmflags: &str, jvmflags: &str) -> Verdict {
    let mut file = tempfile::Builder::new().prefix("zoo").suffix(".cfg").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    load(&Sources {
        file: Some(file.path().to_owned()),
        set: set.iter().map(|&s| s.to_owned()).collect(),
        server_jvmflags: Some(server_jvmflags.to_owned()),
        jvmflags: Some(jvmflags.to_owned()),
    })
}

fn minimal(more: &str) -> Verdict {
    load_text(&format!("{MINIMAL}{more}\n"))
}

/// The error that a line makes, "" if it makes none.
fn error_of(line: &str) -> String {
    minimal(line).config.err().map_or(String::new(), |error| error.to_string())
}

fn texts(verdict: &Verdict, severity: Severity) -> String {
    let of = verdict.findings.iter().filter(|finding| finding.severity == severity);
    of.map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn sample_file_of_apache_starts() {
    let verdict = load_text(
        "# The number of milliseconds of each tick\ntickTime=2000\ninitLimit=10\nsyncLimit=5\n\
         dataDir=/tmp/zookeeper\nclientPort=2181\n#maxClientCnxns=60\n",
    );
    assert_eq!(verdict.findings, []);
    let config = verdict.config.unwrap();
    assert_eq!(config.tick_time, Duration::from_secs(2));
    assert_eq!(config.min_session_timeout, Duration::from_secs(4));
    assert_eq!(config.max_session_timeout, Duration::from_secs(40));
    assert_eq!(config.client_addr.unwrap().to_string(), "[::]:2181");
    assert_eq!(config.storage.data_log_dir, Path::new("/tmp/zookeeper"));
    assert_eq!(config.words, WordList::Only([String::from("srvr")].into()));
    assert!(config.admin.enabled && config.admin.port == 8080);
}

#[test]
fn defaults_in_table_are_those_of_the_types() {
    let config = minimal("").config.unwrap();
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.tree, TreeConfig::default());
    assert_eq!(config.admin, AdminConfig::default());
    let storage = StorageConfig::for_directory(Path::new("/d"));
    assert_eq!(format!("{:?}", config.storage), format!("{storage:?}"));
    assert_eq!(config.tick_time, Duration::from_secs(3));
}

#[test]
fn wrong_value_names_key_value_and_rule() {
    for (line, want) in [
        ("tickTime=fast", "tickTime = \"fast\": must be a whole number"),
        ("tickTime=0", "tickTime = \"0\": must be at least 1"),
        ("clientPort=70000", "clientPort = \"70000\": must be at most 65535"),
        ("forceSync=maybe", "forceSync = \"maybe\": must be yes or no"),
        ("extendedTypesEnabled=1", "extendedTypesEnabled = \"1\": must be true or false"),
        ("electionAlg=1", "electionAlg = \"1\": must be one of \"3\""),
        ("minSessionTimeout=90000", "minSessionTimeout = \"90000\": must not be above"),
        ("peerType=boss", "peerType = \"boss\": must be participant or observer"),
        ("snapshotSizeFactor=x", "snapshotSizeFactor = \"x\": must be a number"),
    ] {
        let error = error_of(line);
        assert!(error.contains(want), "{line}: {error}");
        let digits = error.chars().filter(char::is_ascii_digit).count();
        assert!(error.contains(".cfg:3:") && digits > 0, "names the line: {error}");
    }
}

#[test]
fn required_keys_are_asked_for() {
    let error = load_text("tickTime=2000\n").config.unwrap_err();
    assert!(error.to_string().contains("dataDir: must be set"));
    let error = load_text("dataDir=/d\n").config.unwrap_err();
    assert!(error.to_string().contains("clientPort: must be set"));
    let error = load_text("dataDir=/d\nclientPortAddress=127.0.0.1\n").config.unwrap_err();
    assert!(error.to_string().contains("clientPortAddress: needs clientPort"));
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn unreadable_file_is_an_error_with_exit_code_2() {
    let sources = Sources { file: Some("/does/not/exist/zoo.cfg".into()), ..Sources::default() };
    let error = load(&sources).config.unwrap_err();
    assert_eq!(error.to_string(), "/does/not/exist/zoo.cfg: cannot read the configuration");
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn unknown_key_warns_with_the_nearest_name() {
    let verdict = minimal("tickTme=2000\nsomething.else.entirely=1");
    assert!(verdict.config.is_ok());
    let warnings = texts(&verdict, Severity::Warning);
    assert!(warnings.contains("tickTme: unknown key, ignored; did you mean tickTime?"));
    assert!(warnings.contains("something.else.entirely: unknown key, ignored"));
}

#[test]
fn later_sources_win() {
    let of = |text: &str, set: &[&str], server: &str, jvm: &str| {
        load_all(&format!("{MINIMAL}{text}"), set, server, jvm).config.unwrap().storage.snap_count
    };
    assert_eq!(of("", &[], "-Dzookeeper.snapCount=10", ""), 10);
    assert_eq!(of("", &[], "-Dzookeeper.snapCount=10", "-Dzookeeper.snapCount=11"), 11);
    assert_eq!(of("snapCount=12", &[], "-Dzookeeper.snapCount=10", ""), 12);
    assert_eq!(of("snapCount=12", &["snapCount=13"], "-Dzookeeper.snapCount=10", ""), 13);
    assert_eq!(of("", &["snapCount=13", "snapCount = 14"], "", ""), 14);
}

#[test]
fn jvm_flags_act_or_are_noted() {
    let flags = "-Xmx512m -Djute.maxbuffer=4194304 -Dzookeeper.4lw.commands.whitelist=* \
                 -Dznode.container.checkIntervalMs=500 -Dreadonlymode.enabled=true -Dfile.enc=x";
    let verdict = load_all(MINIMAL, &[], flags, "-Dzookeeper.tickTime=9 -Dzookeeper.snapCont=1");
    let notes = texts(&verdict, Severity::Note);
    assert!(notes.contains("SERVER_JVMFLAGS: -Xmx512m: ignored, there is no JVM"), "{notes}");
    assert!(notes.contains("-Dfile.enc: ignored"), "{notes}");
    let warnings = texts(&verdict, Severity::Warning);
    let want = "JVMFLAGS: -Dzookeeper.tickTime: has no effect, tickTime is read from zoo.cfg only";
    assert!(warnings.contains(want), "{warnings}");
    assert!(warnings.contains("did you mean snapCount?"), "{warnings}");
    let config = verdict.config.unwrap();
    assert_eq!(config.limits.request_bytes_max, 4_194_304);
    assert_eq!(config.words, WordList::All);
    assert_eq!(config.tree.container_check_interval, Duration::from_millis(500));
    assert_eq!(config.tick_time, Duration::from_secs(3));
}

/// A legal value that is neither the default nor "off".
fn other_value(key: &Key, off: &[&str]) -> String {
    match key.kind {
        Kind::Bool => (!key.default.eq_ignore_ascii_case("true")).to_string(),
        Kind::YesNo => if key.default == "yes" { "no" } else { "yes" }.to_owned(),
        Kind::Int(_, max) => max.min(7).to_string(),
        Kind::OneOf(words) => words
            .iter()
            .find(|word| **word != key.default && !off.contains(word))
            .map_or(String::new(), ToString::to_string),
        Kind::Text | Kind::Path | Kind::Decimal => "something".to_owned(),
    }
}

#[test]
fn every_refused_key_stops_the_start_and_its_off_value_does_not() {
    let mut seen = 0;
    for key in TABLE {
        let Effect::Refused { off, instead } = key.effect else { continue };
        let name = key.name.replace('*', "x");
        let value = other_value(key, off);
        let error = error_of(&format!("{name}={value}"));
        assert!(error.contains(&name) && error.contains(instead), "{name}: {error}");
        for off in off.iter().copied().chain([key.default]) {
            assert_eq!(error_of(&format!("{name}={off}")), "", "{name}={off}");
        }
        seen += 1;
    }
    assert!(seen > 40, "the table lost its refused keys");
}

#[test]
fn every_meaningless_key_warns_and_starts() {
    for key in TABLE {
        let Effect::Meaningless(why) = key.effect else { continue };
        let value = if matches!(key.kind, Kind::Decimal) { "0.5" } else { &other_value(key, &[]) };
        let verdict = minimal(&format!("{}={value}", key.name));
        assert!(verdict.config.is_ok(), "{}: {:?}", key.name, verdict.config);
        let warnings = texts(&verdict, Severity::Warning);
        assert!(warnings.contains(why) && warnings.contains(key.name), "{}", key.name);
    }
}

#[test]
fn every_acting_key_is_read_and_every_default_is_legal() {
    let code = [
        include_str!("build.rs"),
        include_str!("mod.rs"),
        include_str!("tls.rs"),
        include_str!("logins.rs"),
    ]
    .concat();
    for (index, key) in TABLE.iter().enumerate() {
        let quoted = format!("\"{}\"", key.name.trim_end_matches('*'));
        let read = code.contains(&quoted);
        assert_eq!(read, key.effect == Effect::Acts, "{}: {:?}", key.name, key.effect);
        if !key.default.is_empty() {
            assert_eq!(key.broken_rule(key.default), None, "{}", key.name);
        }
        let first = TABLE.iter().position(|other| other.matches(key.name)).unwrap_or(index);
        assert_eq!(first, index, "{} is hidden by {}", key.name, TABLE[first].name);
    }
}

#[test]
fn one_server_line_runs_alone_and_several_are_refused() {
    let verdict = load_text("dataDir=/d\nserver.1=127.0.0.1:2888:3888:participant;2182\n");
    assert!(texts(&verdict, Severity::Warning).contains("one server alone runs standalone"));
    assert_eq!(verdict.config.unwrap().client_addr.unwrap().to_string(), "[::]:2182");
    let error = error_of("server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2");
    assert!(error.contains("server.N: there are 3 lines"), "{error}");
    assert!(error_of("standaloneEnabled=false").contains("ensembles are not there yet"));
    assert!(error_of("peerType=observer").contains("ensembles are not there yet"));
}

#[test]
fn providers_that_are_not_there_are_refused() {
    let package = "org.apache.zookeeper.server.auth";
    let own = error_of("authProvider.1=com.example.Mine");
    assert!(own.contains("classes of Java cannot be loaded"), "{own}");
    for scheme in ["IP", "Digest", "X509", "SASL"] {
        let line = format!("authProvider.1={package}.{scheme}AuthenticationProvider");
        assert_eq!(error_of(&line), "");
    }
    let own = error_of("metricsProvider.className=com.example.Mine");
    assert!(own.contains("must be DefaultMetricsProvider"), "{own}");
}

#[test]
fn address_is_resolved_and_unspecified_means_both_families() {
    let addr = |line: &str| minimal(line).config.unwrap().client_addr.unwrap().to_string();
    assert_eq!(addr("clientPortAddress=127.0.0.1"), "127.0.0.1:2181");
    assert_eq!(addr("clientPortAddress=0.0.0.0"), "[::]:2181");
    assert_eq!(addr("clientPortAddress=[::1]"), "[::1]:2181");
}

#[test]
fn limits_that_apache_mends_are_mended_with_a_warning() {
    let verdict = minimal("snapCount=1\nautopurge.snapRetainCount=1\nautopurge.purgeInterval=2");
    let warnings = texts(&verdict, Severity::Warning);
    assert!(warnings.contains("2 is used") && warnings.contains("3 are kept"), "{warnings}");
    let storage = verdict.config.unwrap().storage;
    assert_eq!((storage.snap_count, storage.snap_retain_count), (2, 3));
    assert_eq!(storage.purge_interval, Some(Duration::from_hours(2)));
}

#[test]
fn words_are_listed_and_read_only_mode_adds_one() {
    let words = |text: &str| minimal(text).config.unwrap().words;
    let some = words("4lw.commands.whitelist= ruok , mntr");
    assert!(some.allows("ruok") && some.allows("mntr") && some.allows("srvr"));
    assert!(!some.allows("isro") && !some.allows("stat"));
    assert!(words("readonlymode.enabled=true").allows("isro"));
    assert_eq!(words("4lw.commands.whitelist=ruok,*"), WordList::All);
}

#[test]
fn a_key_given_twice_is_said() {
    let verdict = minimal("snapCount=5\nsnapCount=6");
    assert!(texts(&verdict, Severity::Warning).contains("snapCount: given twice"));
    assert_eq!(verdict.config.unwrap().storage.snap_count, 6);
}

/// A secure port with both stores.
const SECURE: &str = "secureClientPort=2281\nssl.keyStore.location=/k.pem\n\
                      ssl.trustStore.location=/t.pem\n";

fn secure(more: &str) -> Verdict {
    minimal(&format!("{SECURE}{more}"))
}

#[test]
fn tls_has_apaches_defaults() {
    let config = secure("").config.unwrap();
    let tls = config.tls.unwrap();
    assert_eq!(tls.secure_addr.unwrap().to_string(), "[::]:2281");
    assert_eq!(tls.client_auth, ClientAuth::Need);
    assert_eq!(tls.versions, [TlsVersion::V13, TlsVersion::V12]);
    assert!(!tls.reload && !tls.unified && tls.handshakes_max.is_none());
    assert!(tls.cipher_suites.is_empty() && config.tree.x509_scheme);
    assert!(minimal("").config.unwrap().tls.is_none());
    assert!(minimal("ssl.keyStore.location=/k.pem").config.unwrap().tls.is_none(), "not asked for");
    let alone = load_text(&format!("dataDir=/d\n{SECURE}")).config.unwrap();
    assert!(alone.client_addr.is_none() && alone.tls.is_some());
}

#[test]
fn tls_is_set_by_keys_and_flags() {
    let config = secure(
        "secureClientPortAddress=127.0.0.1\nssl.clientAuth=WANT\nssl.protocol=TLSv1.2\n\
         ssl.ciphersuites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256\n\
         client.certReload=true\nclient.portUnification=true\n\
         netty.server.outstandingHandshake.limit=9\nX509AuthenticationProvider.superUser=CN=root\n\
         serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
    );
    let config = config.config.unwrap();
    let tls = config.tls.unwrap();
    assert_eq!(tls.secure_addr.unwrap().to_string(), "127.0.0.1:2281");
    assert_eq!(tls.client_auth, ClientAuth::Want);
    assert_eq!(tls.versions, [TlsVersion::V12]);
    assert_eq!(tls.cipher_suites.len(), 2);
    assert!(tls.reload && tls.unified && tls.handshakes_max == Some(9));
    assert_eq!(config.tree.x509_super.as_deref(), Some("CN=root"));
    let listed = secure("ssl.protocol=TLSv1.2\nssl.enabledProtocols=TLSv1.3,TLSv1.2");
    assert_eq!(listed.config.unwrap().tls.unwrap().versions.len(), 2, "the list wins");
    let flags = "-Dzookeeper.ssl.keyStore.location=/k.pem -Dzookeeper.ssl.clientAuth=none";
    let config = load_all(&format!("{MINIMAL}secureClientPort=1\n"), &[], flags, "").config;
    assert_eq!(config.unwrap().tls.unwrap().client_auth, ClientAuth::None);
}

#[test]
fn what_tls_cannot_do_stops_the_start_with_the_way_out() {
    for (line, want) in [
        ("ssl.clientAuth=perhaps", "ssl.clientAuth = \"perhaps\": must be none, want or need"),
        ("ssl.protocol=TLSv1.1", "ssl.protocol = \"TLSv1.1\": must name TLSv1.3 or TLSv1.2"),
        ("ssl.ciphersuites=TLS_RSA_WITH_AES_128_CBC_SHA", "_CBC_SHA\" is none of TLS_AES_256_GCM"),
        ("ssl.keyStore.type=PKCS12", "ssl.keyStore.type = \"PKCS12\": must be PEM; turn the store"),
        ("ssl.trustStore.type=JKS", "ssl.trustStore.type = \"JKS\": must be PEM; turn the store"),
        ("ssl.crl=true", "ssl.crl = \"true\": revocation is not checked: set it to false"),
        ("ssl.ocsp=true", "ssl.ocsp = \"true\": revocation is not checked"),
        ("ssl.clientHostnameVerification=true", "host names of clients are not looked up"),
        ("ssl.authProvider=mine", "ssl.authProvider = \"mine\": x509 is the only scheme"),
        ("ssl.context.supplier.class=a.B", "ssl.context.supplier.class"),
        ("secureClientPort=70000", "secureClientPort = \"70000\": must be at most 65535"),
    ] {
        let said = secure(line).config.map(drop).unwrap_err().to_string();
        assert!(said.contains(want), "{line}: {said}");
    }
    let error = error_of("secureClientPort=1");
    assert!(error.contains("ssl.keyStore.location: must be set for TLS"), "{error}");
    let error = error_of("secureClientPort=1\nssl.keyStore.location=/k.pem");
    assert!(error.contains("or set ssl.clientAuth = none"), "{error}");
    let error = error_of("secureClientPortAddress=127.0.0.1");
    assert!(error.contains("needs secureClientPort"), "{error}");
    let warned = texts(&secure("ssl.keyStore.password=hush"), Severity::Warning);
    assert!(warned.contains("ssl.keyStore.password: has no effect") && !warned.contains("hush"));
}

#[test]
fn passwords_are_not_shown_where_they_are_refused() {
    for name in ["keyStore.password", "trustStore.password", "trustStore.PASSWORD"] {
        let error = error_of(&format!("metricsProvider.ssl.{name}=hush"));
        assert!(error.contains(&format!("metricsProvider.ssl.{name} = \"...\"")), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }
    let error = error_of("metricsProvider.ssl.want=hush");
    assert!(error.contains("metricsProvider.ssl.want = \"hush\""), "{error}");
}

/// A JAAS file with one user, and the line that names it.
fn jaas(text: &str) -> (tempfile::NamedTempFile, String) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let line = format!("java.security.auth.login.config={}", file.path().display());
    (file, line)
}

const DIGEST: &str = "{ org.apache.zookeeper.server.auth.DigestLoginModule required \
                      user_super=\"s\" user_bob=\"b\"; };";
const SASL_CLASS: &str =
    "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n";

#[test]
fn logins_come_from_the_jaas_file() {
    let (_file, line) = jaas(&format!("Server {DIGEST} Other {DIGEST}"));
    let config = minimal(&format!(
        "{line}\n{SASL_CLASS}superUser=super\nsuperUser.1=bob\nletAnySaslUserDoX=readers\n\
         SASLAuthenticationProvider.superPassword=other"
    ));
    let config = config.config.unwrap();
    let sasl = config.sasl.clone().unwrap();
    assert_eq!(sasl.users["super"].0, "other");
    assert_eq!(sasl.users["bob"].0, "b");
    assert_eq!(sasl.supers, ["bob", "super"]);
    assert!(config.tree.sasl_scheme && !sasl.failed_stay && config.schemes_required.is_empty());
    assert_eq!(config.tree.any_sasl.as_deref(), Some("readers"));
    assert!(!format!("{config:?}").contains("other"), "passwords are not shown");
    let flags = format!("-D{line} -Dzookeeper.sasl.serverconfig=Other");
    let named = load_all(MINIMAL, &[], &flags, "-Dzookeeper.allowSaslFailedClients=true");
    assert!(named.config.unwrap().sasl.unwrap().failed_stay);
    assert!(minimal("").config.unwrap().sasl.is_none());
}

#[test]
fn a_jaas_file_that_cannot_be_used_stops_the_start() {
    let (_file, line) = jaas(&format!("Client {DIGEST}"));
    let verdict = minimal(&line);
    assert!(verdict.config.as_ref().is_ok_and(|config| config.sasl.is_none()));
    assert!(texts(&verdict, Severity::Warning).contains("has no section Server"));
    let said = error_of(&format!("{line}\nsasl.serverconfig=Mine"));
    assert!(said.contains("sasl.serverconfig = \"Mine\""), "{said}");
    let (_file, line) = jaas("Server { com.sun.security.auth.module.Krb5LoginModule required; };");
    assert!(error_of(&line).contains("logins by Kerberos are not there"));
    let said = error_of("java.security.auth.login.config=/none");
    assert!(said.contains("\"/none\": cannot read"), "{said}");
    assert!(error_of("sasl.serverconfig=Mine").contains("needs java.security.auth.login.config"));
}

#[test]
fn demanded_schemes_must_be_there() {
    let of = |text: &str| minimal(text).config.unwrap().schemes_required;
    assert_eq!(of("enforce.auth.schemes=digest"), Vec::<String>::new(), "not switched on");
    let list = "enforce.auth.enabled=true\nenforce.auth.schemes=digest, ip";
    assert_eq!(of(list), ["digest", "ip"]);
    let only = format!("{SASL_CLASS}{list}\nsessionRequireClientSASLAuth=true");
    assert_eq!(of(&only), ["sasl"], "it alone counts");
    let with_x509 = "enforce.auth.enabled=true\nenforce.auth.schemes=x509";
    assert_eq!(secure(with_x509).config.unwrap().schemes_required, ["x509"]);
    for (line, want) in [
        ("enforce.auth.enabled=true", "needs enforce.auth.schemes"),
        ("sessionRequireClientSASLAuth=true", "the scheme \"sasl\" needs authProvider.sasl"),
        (with_x509, "the scheme \"x509\" needs secureClientPort"),
        ("enforce.auth.enabled=true\nenforce.auth.schemes=krb", "\"krb\" must be one of digest"),
        (
            "enforce.auth.enabled=true\nenforce.auth.schemes=digest\n\
             DigestAuthenticationProvider.enabled=false",
            "the scheme \"digest\" needs Digest",
        ),
    ] {
        assert!(error_of(line).contains(want), "{line}: {}", error_of(line));
    }
}
