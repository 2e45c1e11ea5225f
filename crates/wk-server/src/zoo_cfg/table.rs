//! The table of keys: every one that ZooKeeper 3.9 reads from zoo.cfg or its system properties.

use super::key::{
    Effect::{self, Acts, Ensemble, Meaningless, Refused},
    Key,
    Kind::{Bool, Decimal, Int, OneOf, Path, Text, YesNo},
    Place::{Bare, Cfg, Property},
};

/// The largest Java int.
const I32: i64 = i32::MAX as i64;
/// Large enough for sizes in kB.
const I40: i64 = 1 << 40;

const TLS: Effect =
    Refused { off: &[], instead: "this part of Java's TLS is not there: take the key out" };
const PAGE_TLS: Effect = Refused {
    off: &[],
    instead: "HTTP pages have no TLS: take the key out, and put a proxy with TLS before them",
};
const NO_REVOCATION: Effect = Refused {
    off: &[],
    instead: "revocation is not checked: set it to false, and issue certificates that end soon",
};
const NO_PASSWORD: Effect =
    Meaningless("stores are PEM files with plain keys, which have no password");
const KERBEROS: Effect = Refused {
    off: &[],
    instead: "logins by Kerberos are not there: take the key out, and use DigestLoginModule in the \
              JAAS file, or certificates",
};
const QUORUM_TLS: Effect =
    Refused { off: &[], instead: "TLS between servers comes with ensembles: take the key out" };
const THROTTLING: Effect =
    Refused { off: &[], instead: "throttling is not there yet: set it to its off value" };
const NO_THROTTLE: Effect = Meaningless("it tunes a throttle that is off");
const NO_RESTORE: Effect = Meaningless("the commands snapshot and restore are not there yet");
const NO_QUEUE: Effect = Meaningless("metrics are counted where they happen, there is no queue");
const GROUPS: Effect =
    Refused { off: &[], instead: "hierarchical quorums come with ensembles: take the line out" };
const QUORUM_SASL: Effect =
    Refused { off: &[], instead: "SASL between servers comes with ensembles: take the key out" };
const NO_POOLS: Effect = Meaningless("one thread serves all connections, there is no pool to size");
const NO_CACHE: Effect =
    Meaningless("replies are encoded from the tree each time, there is no cache");
const NO_CLEANER: Effect = Meaningless("watches of a closed connection go at once");
const NO_SAMPLES: Effect = Meaningless("paths are not sampled");
const NO_JVM: Effect = Meaningless("there is no JVM");
const OUR_LOGS: Effect =
    Meaningless("logs go to standard error, in the form that --log-format names");

macro_rules! keys {
    ($(
        $name:literal $place:ident $kind:expr, = $default:literal, $effect:expr, $what:literal;
    )*) => {
        /// Every known key. A pattern (`ssl.*`) stands after the names that it would cover.
        pub const TABLE: &[Key] = &[$(Key {
            name: $name,
            place: $place,
            kind: $kind,
            default: $default,
            effect: $effect,
            what: $what,
        }),*];
    };
}

keys! {
    // Directories and ports.
    "dataDir" Cfg Path, = "", Acts, "snapshots and myid, in version-2 below it; required";
    "dataLogDir" Cfg Path, = "", Acts, "txn logs, in version-2 below it; dataDir when absent";
    "clientPort" Cfg Int(0, 65535), = "", Acts, "port for clients";
    "clientPortAddress" Cfg Text, = "", Acts, "address of that port; all addresses when absent";
    "clientPortListenBacklog" Cfg Int(-1, I32), = "-1",
        Acts, "connections waiting to be accepted; -1 means 50, as in Java";
    "secureClientPort" Cfg Int(0, 65535), = "", Acts, "port for clients over TLS";
    "secureClientPortAddress" Cfg Text, = "",
        Acts, "address of the TLS port; all addresses when absent";
    "client.portUnification" Property Bool, = "false",
        Acts, "TLS and plain clients on clientPort, told by the first byte";
    "clientTcpKeepAlive" Property Bool, = "false", Acts, "TCP keep-alive on client connections";
    "serverCnxnFactory" Property Text, = "",
        Meaningless("NIO and Netty are Java's, sockets are served in one way here"),
        "Java class that serves sockets";
    // Sessions and limits.
    "tickTime" Cfg Int(1, I32), = "3000", Acts, "length of a tick in ms, the unit of timeouts";
    "minSessionTimeout" Cfg Int(-1, I32), = "-1",
        Acts, "smallest session timeout granted, in ms; -1 means 2 ticks";
    "maxSessionTimeout" Cfg Int(-1, I32), = "-1",
        Acts, "largest session timeout granted, in ms; -1 means 20 ticks";
    "maxClientCnxns" Cfg Int(0, I32), = "60",
        Acts, "connections from one address; 0 means no limit";
    "maxCnxns" Property Int(0, I32), = "0", Acts, "connections in all; 0 means no limit";
    "nio.sessionlessCnxnTimeout" Property Int(1, I32), = "10000",
        Acts, "ms after which a connection without a session is closed";
    "globalOutstandingLimit" Property Int(1, I32), = "1000",
        Acts, "requests in progress above which connections are no longer read";
    "jute.maxbuffer" Bare Int(1, I32), = "1048575", Acts, "longest request in bytes";
    "jute.maxbuffer.extrasize" Property Int(0, I32), = "1048575",
        Meaningless("stored txns are read whatever their length"),
        "what a stored txn may be longer than a request, in bytes";
    "4lw.commands.whitelist" Property Text, = "srvr",
        Acts, "four-letter words that are answered, separated by commas; * for all";
    "readonlymode.enabled" Bare Bool, = "false",
        Acts, "allows the word isro; serving reads without a quorum comes with ensembles";
    // Storage.
    "snapCount" Property Int(-I32, I32), = "100000",
        Acts, "txns between two snapshots, jittered by half; below 2 counts as 2";
    "snapSizeLimitInKb" Property Int(-1, I40), = "4194304",
        Acts, "size of the log in kB that forces a snapshot; not above 0 means never";
    "preAllocSize" Property Int(0, I32 * 2), = "65536",
        Acts, "kB by which a txn log file grows at a time";
    "txnLogSizeLimitInKb" Property Int(-1, I40), = "-1",
        Acts, "size in kB at which a new txn log file begins; not above 0 means no limit";
    "forceSync" Property YesNo, = "yes",
        Acts, "whether a txn is on the disk before it is acknowledged";
    "fsync.warningthresholdms" Property Int(0, I32), = "1000",
        Acts, "ms above which a sync is reported as slow";
    "flushDelay" Property Int(0, I32), = "0", Acts, "ms for which txns are gathered before a sync";
    "maxBatchSize" Property Int(0, I32), = "1000",
        Acts, "txns that force a sync before flushDelay is over; 0 means no limit";
    "maxWriteQueuePollTime" Property Int(0, I32), = "",
        Meaningless("the disk thread waits for flushDelay or a full batch, it does not poll"),
        "how long the sync thread polls, in ms";
    "autopurge.snapRetainCount" Cfg Int(-I32, I32), = "3",
        Acts, "snapshots kept by the purge, at least 3";
    "autopurge.purgeInterval" Cfg Int(0, I32), = "0",
        Acts, "hours between two purges; 0 means never";
    "snapshot.trust.empty" Property Bool, = "false",
        Acts, "start with txn logs but without any snapshot";
    "snapshot.compression.method" Property OneOf(&["", "gz", "snappy"]), = "",
        Acts, "compression of snapshots; what is there is read whatever its compression";
    "digest.enabled" Property Bool, = "true", Acts, "digests of the tree in snapshots and txns";
    "serializeLastProcessedZxid.enabled" Property Bool, = "true",
        Acts, "the last zxid at the end of snapshots";
    "closeSessionTxn.enabled" Property Bool, = "true",
        Refused { off: &[],
            instead: "ephemerals are always listed in these txns: set it to true" },
        "ephemerals listed in closeSession txns";
    "datadir.autocreate" Property Bool, = "true", Acts, "make missing data directories";
    "db.autocreate" Property Bool, = "true", Ensemble, "vote with an empty database";
    "commitLogCount" Property Int(0, I32), = "500",
        Ensemble, "txns kept in memory for followers that lag";
    "snapshotSizeFactor" Property Decimal, = "0.33",
        Ensemble, "share of the snapshot size up to which the log is sent instead";
    "forceSnapshotSync" Property Bool, = "false",
        Ensemble, "followers always get a whole snapshot";
    // Tree, ACLs and authentication.
    "extendedTypesEnabled" Property Bool, = "false", Acts, "TTL znodes";
    "emulate353TTLNodes" Property Bool, = "false",
        Refused { off: &[],
            instead: "the layout of 3.5.3 cannot be read: open the data with Apache 3.9 first" },
        "the layout of TTL znodes in 3.5.3";
    "znode.container.checkIntervalMs" Bare Int(1, I32), = "60000",
        Acts, "ms between two looks for empty containers and TTL znodes";
    "znode.container.maxPerMinute" Bare Int(1, I32), = "10000",
        Acts, "containers deleted in a minute at most";
    "znode.container.maxNeverUsedIntervalMs" Bare Int(0, I32), = "0",
        Refused { off: &[], instead: "containers that never had a child are kept: set it to 0" },
        "ms after which a container that never had children goes; 0 means never";
    "skipACL" Property OneOf(&["yes", "no"]), = "no", Acts, "switch all ACL checks off";
    "DigestAuthenticationProvider.superDigest" Property Text, = "",
        Acts, "user:digest of the superuser";
    "DigestAuthenticationProvider.enabled" Property Bool, = "true", Acts, "the scheme digest";
    "DigestAuthenticationProvider.digestAlg" Property Text, = "SHA1",
        Refused { off: &["SHA-1"], instead: "ids are made with SHA1 only: leave it at SHA1" },
        "hash of digest ids";
    "authProvider.*" Property Text, = "",
        Acts,
        "Java class of an authentication scheme: those of digest, ip, x509 and sasl are built in";
    "enforceQuota" Property Bool, = "false", Acts, "refuse writes beyond a hard quota";
    "enableEagerACLCheck" Property Bool, = "false",
        Ensemble, "check ACLs before a request goes to the leader";
    "reconfigEnabled" Cfg Bool, = "false",
        Acts, "the request reconfig; a standalone server answers it as unimplemented";
    "ensembleAuthName" Property Text, = "",
        Refused { off: &[], instead: "the ensemble scheme is a plug-in of Java: take it out" },
        "name that clients must present";
    "audit.enable" Property Bool, = "false",
        Refused { off: &[], instead: "the audit log is not there yet: set it to false" },
        "write an audit log";
    "audit.impl.class" Property Text, = "",
        Meaningless("the audit log is not there yet"), "Java class that writes the audit log";
    // Logins by SASL.
    "java.security.auth.login.config" Bare Text, = "",
        Acts, "JAAS file; its section Server has the users of DIGEST-MD5";
    "sasl.serverconfig" Property Text, = "", Acts, "another name of that section";
    "SASLAuthenticationProvider.superPassword" Property Text, = "",
        Acts, "password of the SASL user super, instead of that in the JAAS file";
    "superUser" Property Text, = "", Acts, "SASL user who is a superuser";
    "superUser.*" Property Text, = "", Acts, "further ones";
    "letAnySaslUserDoX" Property Text, = "", Acts, "id in ACLs that any SASL user matches";
    "allowSaslFailedClients" Property Bool, = "false",
        Acts, "keep clients whose login fails, without an identity";
    "sessionRequireClientSASLAuth" Property Bool, = "false",
        Acts, "refuse requests of clients that have not logged in by SASL";
    "enforce.auth.enabled" Property Bool, = "false",
        Acts, "refuse requests of clients that have no identity of enforce.auth.schemes";
    "enforce.auth.schemes" Property Text, = "",
        Acts, "schemes, separated by commas, one of which is enough";
    "kerberos.removeHostFromPrincipal" Property Bool, = "false", KERBEROS, "short Kerberos names";
    "kerberos.removeRealmFromPrincipal" Property Bool, = "false", KERBEROS, "short Kerberos names";
    "kerberos.canonicalizeHostNames" Property Bool, = "false",
        KERBEROS, "host names of Kerberos principals";
    "security.auth_to_local" Property Text, = "", KERBEROS, "rules for Kerberos names";
    "requireKerberosConfig" Property Bool, = "false",
        KERBEROS, "stop without a Kerberos configuration";
    "server.realm" Property Text, = "", KERBEROS, "Kerberos realm";
    "kinit" Property Text, = "/usr/bin/kinit", KERBEROS, "program that renews tickets";
    "java.security.krb5.conf" Bare Text, = "", KERBEROS, "Kerberos configuration";
    // TLS.
    "fips-mode" Property Bool, = "true",
        Meaningless("it chooses among Java's TLS providers"), "FIPS restrictions of Java's TLS";
    "client.certReload" Property Bool, = "false",
        Acts, "read key and trust store again when they change";
    "netty.server.outstandingHandshake.limit" Property Int(-1, I32), = "-1",
        Acts, "handshakes under way above which a new connection is closed; not above 0: no limit";
    "X509AuthenticationProvider.superUser" Property Text, = "",
        Acts, "certificate subject of the superuser";
    "ssl.keyStore.location" Property Text, = "",
        Acts, "PEM file with the server's private key and certificates";
    "ssl.keyStore.type" Property Text, = "", Acts, "PEM; stores of Java must be turned into it";
    "ssl.keyStore.password" Property Text, = "", NO_PASSWORD, "password of the key store";
    "ssl.keyStore.passwordPath" Property Text, = "", NO_PASSWORD, "file with that password";
    "ssl.trustStore.location" Property Text, = "",
        Acts, "PEM file with the authorities of clients' certificates";
    "ssl.trustStore.type" Property Text, = "", Acts, "PEM; stores of Java must be turned into it";
    "ssl.trustStore.password" Property Text, = "", NO_PASSWORD, "password of the trust store";
    "ssl.trustStore.passwordPath" Property Text, = "", NO_PASSWORD, "file with that password";
    "ssl.protocol" Property Text, = "",
        Acts, "the only version of TLS spoken, TLSv1.3 or TLSv1.2; both when absent";
    "ssl.enabledProtocols" Property Text, = "",
        Acts, "versions of TLS spoken, separated by commas; wins over ssl.protocol";
    "ssl.ciphersuites" Property Text, = "",
        Acts, "suites taken, separated by commas, the best first; all when absent";
    "ssl.clientAuth" Property Text, = "need",
        Acts, "none, want or need: whether clients must show a certificate";
    "ssl.authProvider" Property Text, = "",
        Refused { off: &["x509"], instead: "x509 is the only scheme of certificates: take it out" },
        "scheme of identities out of certificates";
    "ssl.hostnameVerification" Property Text, = "true",
        Meaningless("a standalone server connects to nobody whose host name it could check"),
        "check host names of servers";
    "ssl.clientHostnameVerification" Property Text, = "false",
        Refused { off: &[],
            instead: "host names of clients are not looked up: set it to false; ACLs say which \
                      subjects may do what" },
        "check host names of clients";
    "ssl.allowReverseDnsLookup" Property Text, = "",
        Meaningless("host names of clients are not looked up"), "look up names of addresses";
    "ssl.crl" Property Text, = "false", NO_REVOCATION, "check revocation lists";
    "ssl.ocsp" Property Text, = "false", NO_REVOCATION, "ask OCSP responders";
    "ssl.handshakeDetectionTimeoutMillis" Property Text, = "5000",
        Meaningless("nio.sessionlessCnxnTimeout bounds a handshake and what comes before it"),
        "ms for telling TLS from plain";
    "ssl.sslProvider" Property Text, = "",
        Meaningless("there is one implementation of TLS"), "Java's implementation of TLS";
    "ssl.quorum.clientAuth" Property Text, = "need", QUORUM_TLS, "TLS between servers";
    "ssl.quorum.hostnameVerification" Property Text, = "true", QUORUM_TLS, "TLS between servers";
    "ssl.quorum.clientHostnameVerification" Property Text, = "false",
        QUORUM_TLS, "TLS between servers";
    "ssl.quorum.crl" Property Text, = "false", QUORUM_TLS, "TLS between servers";
    "ssl.quorum.ocsp" Property Text, = "false", QUORUM_TLS, "TLS between servers";
    "ssl.quorum.handshakeDetectionTimeoutMillis" Property Text, = "5000",
        QUORUM_TLS, "TLS between servers";
    "ssl.quorum.*" Property Text, = "", QUORUM_TLS, "TLS between servers";
    "ssl.*" Property Text, = "", TLS, "further keys of Java's TLS";
    "sslQuorum" Cfg Bool, = "false", QUORUM_TLS, "TLS between servers";
    "portUnification" Cfg Bool, = "false", QUORUM_TLS, "TLS and plain between servers on one port";
    "sslQuorumReloadCertFiles" Cfg Bool, = "false",
        QUORUM_TLS, "read certificates again when they change";
    // Throttling.
    "connection_throttle_tokens" Property Int(0, I32), = "0", THROTTLING, "throttling; 0 is off";
    "request_throttle_max_requests" Property Int(0, I32), = "0",
        THROTTLING, "throttling; 0 is off";
    "throttled_op_wait_time" Property Int(0, I32), = "0", THROTTLING, "throttling; 0 is off";
    "largeRequestThreshold" Property Int(-1, I32), = "-1",
        THROTTLING, "bytes above which a request counts as large; -1 is off";
    "largeRequestMaxBytes" Property Int(-1, I40), = "104857600",
        NO_THROTTLE, "tuning of a throttle";
    "connection_throttle_fill_time" Property Int(-1, I40), = "1",
        NO_THROTTLE, "tuning of a throttle";
    "connection_throttle_fill_count" Property Int(-1, I40), = "1",
        NO_THROTTLE, "tuning of a throttle";
    "connection_throttle_freeze_time" Property Int(-1, I40), = "-1",
        NO_THROTTLE, "tuning of a throttle";
    "connection_throttle_global_session_weight" Property Int(-1, I40), = "3",
        NO_THROTTLE, "tuning of a throttle";
    "connection_throttle_local_session_weight" Property Int(-1, I40), = "1",
        NO_THROTTLE, "tuning of a throttle";
    "connection_throttle_renew_session_weight" Property Int(-1, I40), = "2",
        NO_THROTTLE, "tuning of a throttle";
    "request_throttle_stall_time" Property Int(-1, I40), = "100",
        NO_THROTTLE, "tuning of a throttle";
    "request_throttler.shutdownTimeout" Property Int(-1, I40), = "10000",
        NO_THROTTLE, "tuning of a throttle";
    "connection_throttle_drop_increase" Property Decimal, = "0.02",
        NO_THROTTLE, "tuning of a throttle";
    "connection_throttle_drop_decrease" Property Decimal, = "0.002",
        NO_THROTTLE, "tuning of a throttle";
    "connection_throttle_decrease_ratio" Property Decimal, = "0",
        NO_THROTTLE, "tuning of a throttle";
    "connection_throttle_weight_enabled" Property Bool, = "false",
        NO_THROTTLE, "tuning of a throttle";
    "request_throttle_drop_stale" Property Bool, = "true", NO_THROTTLE, "tuning of a throttle";
    "request_stale_latency_check" Property Bool, = "false", NO_THROTTLE, "tuning of a throttle";
    "request_stale_connection_check" Property Bool, = "true", NO_THROTTLE, "tuning of a throttle";
    // AdminServer and metrics.
    "admin.enableServer" Property Bool, = "true", Acts, "the AdminServer";
    "admin.serverAddress" Property Text, = "0.0.0.0", Acts, "its address";
    "admin.serverPort" Property Int(0, 65535), = "8080", Acts, "its port";
    "admin.commandURL" Property Text, = "/commands", Acts, "path below which its commands are";
    "admin.idleTimeout" Property Int(1, I32), = "30000",
        Acts, "ms after which its idle connections are closed";
    "admin.httpVersion" Property Int(0, I32), = "11",
        Meaningless("HTTP/1.1 is always spoken"), "HTTP version of the AdminServer";
    "admin.portUnification" Property Bool, = "false",
        PAGE_TLS, "TLS and plain on the AdminServer's port";
    "admin.forceHttps" Property Bool, = "false", PAGE_TLS, "only TLS on the AdminServer's port";
    "admin.needClientAuth" Property Bool, = "false",
        PAGE_TLS, "certificates of the AdminServer's clients";
    "admin.snapshot.enabled" Property Bool, = "true",
        Meaningless("the command snapshot is not there yet"), "the command snapshot";
    "admin.restore.enabled" Property Bool, = "true",
        Meaningless("the command restore is not there yet"), "the command restore";
    "admin.rateLimiterIntervalInMS" Property Int(0, I32), = "300000",
        NO_RESTORE, "pause between two snapshots or restores";
    "IPAuthenticationProvider.usexforwardedfor" Property Bool, = "false",
        NO_RESTORE, "take client addresses from X-Forwarded-For";
    "metricsProvider.className" Cfg Text,
        = "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider",
        Acts, "Java class of the metrics provider: the default, the null or the Prometheus one";
    "metricsProvider.httpHost" Cfg Text, = "0.0.0.0", Acts, "address of the metrics page";
    "metricsProvider.httpPort" Cfg Int(0, 65535), = "7000", Acts, "port of the metrics page";
    "metricsProvider.exportJvmInfo" Cfg Bool, = "true",
        Acts, "figures of the process on the metrics page; those of a JVM do not exist here";
    "metricsProvider.numWorkerThreads" Cfg Int(0, I32), = "1",
        NO_QUEUE, "threads and queue of the metrics provider";
    "metricsProvider.maxQueueSize" Cfg Int(0, I32), = "1000000",
        NO_QUEUE, "threads and queue of the metrics provider";
    "metricsProvider.workerShutdownTimeoutMs" Cfg Int(0, I32), = "1000",
        NO_QUEUE, "threads and queue of the metrics provider";
    "metricsProvider.httpsPort" Cfg Int(0, 65535), = "", PAGE_TLS, "TLS port of the metrics page";
    "metricsProvider.ssl.*" Cfg Text, = "", PAGE_TLS, "TLS of the metrics page";
    // Ensemble.
    "server.*" Cfg Text, = "",
        Acts, "a server of the ensemble; one line alone runs standalone, several are refused";
    "group.*" Cfg Text, = "", GROUPS, "servers of a group";
    "weight.*" Cfg Text, = "", GROUPS, "weight of a server";
    "standaloneEnabled" Cfg Bool, = "true",
        Acts, "one server may run alone; false asks for an ensemble, which is refused";
    "dynamicConfigFile" Cfg Path, = "", Acts, "file with the server lines";
    "peerType" Cfg Text, = "participant",
        Acts, "participant; observer asks for an ensemble, which is refused";
    "electionAlg" Cfg OneOf(&["3"]), = "3", Ensemble, "election algorithm";
    "oraclePath" Cfg Text, = "",
        Refused { off: &[],
            instead: "the oracle of two-server ensembles comes with ensembles: take the line out" },
        "oracle of two-server ensembles";
    "initLimit" Cfg Int(0, I32), = "", Ensemble, "ticks for a follower to join";
    "syncLimit" Cfg Int(0, I32), = "", Ensemble, "ticks a follower may lag";
    "connectToLearnerMasterLimit" Cfg Int(0, I32), = "0",
        Ensemble, "ticks for reaching the leader";
    "observerMasterPort" Cfg Int(0, 65535), = "0", Ensemble, "port for observers of a follower";
    "syncEnabled" Cfg Bool, = "true", Ensemble, "observers write to disk";
    "localSessionsEnabled" Cfg Bool, = "false", Ensemble, "sessions known to one server only";
    "localSessionsUpgradingEnabled" Cfg Bool, = "false",
        Ensemble, "make such a session global when it needs it";
    "quorumListenOnAllIPs" Cfg Bool, = "false", Ensemble, "quorum ports on all addresses";
    "multiAddress.enabled" Cfg Bool, = "false", Ensemble, "several addresses of a server";
    "multiAddress.reachabilityCheckEnabled" Cfg Bool, = "true",
        Ensemble, "check which address is reachable";
    "multiAddress.reachabilityCheckTimeoutMs" Cfg Int(0, I32), = "1000",
        Ensemble, "how long, in ms";
    "tcpKeepAlive" Property Bool, = "false", Ensemble, "TCP keep-alive between servers";
    "cnxTimeout" Property Int(0, I32), = "5000", Ensemble, "ms for opening election connections";
    "quorumCnxnTimeoutMs" Property Int(-1, I32), = "-1",
        Ensemble, "read timeout of election connections";
    "electionPortBindRetry" Property Int(0, I32), = "3",
        Ensemble, "attempts to bind the election port";
    "fastleader.minNotificationInterval" Property Int(0, I32), = "200",
        Ensemble, "pause in elections, ms";
    "fastleader.maxNotificationInterval" Property Int(0, I32), = "60000",
        Ensemble, "pause in elections, ms";
    "leader.maxConcurrentSnapSyncs" Property Int(0, I32), = "10",
        Ensemble, "snapshots sent at a time";
    "leader.maxConcurrentDiffSyncs" Property Int(0, I32), = "100",
        Ensemble, "diffs sent at a time";
    "leader.maxTimeToWaitForEpoch" Property Int(-1, I32), = "-1",
        Ensemble, "ms a leader waits for its epoch";
    "leader.ackLoggingFrequency" Property Int(1, I32), = "1000",
        Ensemble, "how often acks are logged";
    "leader.closeSocketAsync" Property Bool, = "false", Ensemble, "close sockets in a thread";
    "learner.closeSocketAsync" Property Bool, = "false", Ensemble, "close sockets in a thread";
    "learner.asyncSending" Property Bool, = "false", Ensemble, "send in a thread";
    "leaderServes" Property YesNo, = "yes", Ensemble, "whether the leader takes clients";
    "leaderConnectDelayDuringRetryMs" Property Int(0, I32), = "100",
        Ensemble, "pause between attempts to reach the leader";
    "observer.syncEnabled" Property Bool, = "true", Ensemble, "observers write to disk";
    "observer.reconnectDelayMs" Property Int(0, I32), = "0", Ensemble, "pause of an observer";
    "observer.election.DelayMs" Property Int(0, I32), = "200", Ensemble, "pause of an observer";
    "observerMaster.sizeLimit" Property Int(0, I32), = "33554432",
        Ensemble, "memory for observers of a follower";
    "follower.skipLearnerRequestToNextProcessor" Property Bool, = "false",
        Ensemble, "drop what learners sent twice";
    "follower.nodelay" Bare Bool, = "true", Ensemble, "TCP_NODELAY between servers";
    "leader.nodelay" Bare Bool, = "true", Ensemble, "TCP_NODELAY between servers";
    "forward_learner_requests_to_commit_processor_disabled" Property Bool, = "false",
        Ensemble, "path of requests of learners";
    "messageTracker.Enabled" Property Bool, = "false",
        Ensemble, "remember the last messages between servers";
    "messageTracker.BufferSize" Property Int(0, I32), = "10", Ensemble, "how many";
    "quorum.auth.enableSasl" Cfg Bool, = "false", QUORUM_SASL, "SASL between servers";
    "quorum.auth.serverRequireSasl" Cfg Bool, = "false", QUORUM_SASL, "SASL between servers";
    "quorum.auth.learnerRequireSasl" Cfg Bool, = "false", QUORUM_SASL, "SASL between servers";
    "quorum.auth.kerberos.servicePrincipal" Cfg Text, = "zkquorum/localhost",
        QUORUM_SASL, "SASL between servers";
    "quorum.auth.learner.saslLoginContext" Cfg Text, = "QuorumLearner",
        QUORUM_SASL, "SASL between servers";
    "quorum.auth.server.saslLoginContext" Cfg Text, = "QuorumServer",
        QUORUM_SASL, "SASL between servers";
    "quorum.cnxn.threads.size" Cfg Int(0, I32), = "20",
        NO_POOLS, "threads of SASL between servers";
    // Java's threads, buffers and caches.
    "nio.numSelectorThreads" Property Int(-1, I32), = "", NO_POOLS, "threads and buffers";
    "nio.numWorkerThreads" Property Int(-1, I32), = "", NO_POOLS, "threads and buffers";
    "nio.directBufferBytes" Property Int(-1, I32), = "65536", NO_POOLS, "threads and buffers";
    "nio.shutdownTimeout" Property Int(-1, I32), = "5000", NO_POOLS, "threads and buffers";
    "commitProcessor.numWorkerThreads" Property Int(-1, I32), = "",
        NO_POOLS, "threads and buffers";
    "commitProcessor.shutdownTimeout" Property Int(-1, I32), = "60000",
        NO_POOLS, "threads and buffers";
    "commitProcessor.maxReadBatchSize" Property Int(-1, I32), = "-1",
        NO_POOLS, "threads and buffers";
    "commitProcessor.maxCommitBatchSize" Property Int(-1, I32), = "1",
        NO_POOLS, "threads and buffers";
    "intBufferStartingSizeBytes" Property Int(-1, I32), = "1024", NO_POOLS, "threads and buffers";
    "netty.advancedFlowControl.enabled" Property Bool, = "false",
        Meaningless("there is no Netty"), "flow control of Netty";
    "netty.server.earlyDropSecureConnectionHandshakes" Property Bool, = "false",
        Meaningless("there is no Netty"), "flow control of Netty";
    "maxResponseCacheSize" Property Int(-1, I32), = "400", NO_CACHE, "size of a cache";
    "maxGetChildrenResponseCacheSize" Property Int(-1, I32), = "400", NO_CACHE, "size of a cache";
    "bitHashCacheSize" Property Int(-1, I32), = "10", NO_CACHE, "size of a cache";
    "watchManagerName" Property Text, = "",
        Meaningless("there is one kind of watch table, compact already"),
        "Java class of the watch table";
    "watcherCleanThreadsNum" Property Int(-1, I32), = "2", NO_CLEANER, "lazy cleaning of watches";
    "watcherCleanIntervalInSeconds" Property Int(-1, I32), = "600",
        NO_CLEANER, "lazy cleaning of watches";
    "watcherCleanThreshold" Property Int(-1, I32), = "1000",
        NO_CLEANER, "lazy cleaning of watches";
    "maxInProcessingDeadWatchers" Property Int(-1, I32), = "-1",
        NO_CLEANER, "lazy cleaning of watches";
    "pathStats.slotCapacity" Property Int(0, I32), = "60", NO_SAMPLES, "sampling of paths";
    "pathStats.slotDuration" Property Int(0, I32), = "15", NO_SAMPLES, "sampling of paths";
    "pathStats.maxDepth" Property Int(0, I32), = "6", NO_SAMPLES, "sampling of paths";
    "pathStats.initialDelay" Property Int(0, I32), = "5", NO_SAMPLES, "sampling of paths";
    "pathStats.delay" Property Int(0, I32), = "5", NO_SAMPLES, "sampling of paths";
    "pathStats.topPathMax" Property Int(0, I32), = "20", NO_SAMPLES, "sampling of paths";
    "pathStats.sampleRate" Property Decimal, = "0.1", NO_SAMPLES, "sampling of paths";
    "pathStats.enabled" Property Bool, = "false", NO_SAMPLES, "sampling of paths";
    "jvm.pause.monitor" Cfg Bool, = "false", NO_JVM, "watch for pauses of the JVM";
    "jvm.pause.info-threshold.ms" Cfg Int(0, I40), = "1000", NO_JVM, "watch for pauses of the JVM";
    "jvm.pause.warn-threshold.ms" Cfg Int(0, I40), = "10000",
        NO_JVM, "watch for pauses of the JVM";
    "jvm.pause.sleep.time.ms" Cfg Int(0, I40), = "500", NO_JVM, "watch for pauses of the JVM";
    "jmx.log4j.disable" Property Text, = "", NO_JVM, "JMX of log4j";
    "jmx.log4j.mbean" Property Text, = "", NO_JVM, "JMX of log4j";
    "log.dir" Property Text, = "", OUR_LOGS, "logging";
    "log.file" Property Text, = "", OUR_LOGS, "logging";
    "log.threshold" Property Text, = "", OUR_LOGS, "logging";
    "root.logger" Property Text, = "", OUR_LOGS, "logging";
    "console.threshold" Property Text, = "", OUR_LOGS, "logging";
    "log.maxfilesize" Property Text, = "", OUR_LOGS, "logging";
    "log.maxbackupindex" Property Text, = "", OUR_LOGS, "logging";
    "tracelog.dir" Property Text, = "", OUR_LOGS, "logging";
    "tracelog.file" Property Text, = "", OUR_LOGS, "logging";
    "auditlog.file" Property Text, = "", OUR_LOGS, "logging";
}
