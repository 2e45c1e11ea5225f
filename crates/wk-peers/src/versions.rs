//! The releases of Apache ZooKeeper that tests meet, and what each needs to run and can show.

use std::fmt;

/// A release of Apache ZooKeeper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 3.4.14: no AdminServer, no `;port` in the server list, log4j 1.2.
    V3_4,
    /// 3.5.10: AdminServer, no metrics provider.
    V3_5,
    /// 3.6.4.
    V3_6,
    /// 3.7.2.
    V3_7,
    /// 3.8.6.
    V3_8,
    /// 3.9.5, the release that we speak as.
    #[default]
    V3_9,
}

/// What a server of 3.6 and later logs through.
const LOGBACK: &str = "ch.qos.logback:logback-classic:1.3.15";
const SLF4J_SIMPLE: &str = "org.slf4j:slf4j-simple:1.7.36";
/// What 3.5 and 3.6 want for JSON beside Jackson.
const JSON_SIMPLE: &str = "com.googlecode.json-simple:json-simple:1.1.1";

impl Version {
    /// All of them, the newest first.
    pub const ALL: [Self; 6] =
        [Self::V3_9, Self::V3_8, Self::V3_7, Self::V3_6, Self::V3_5, Self::V3_4];

    /// `3.9.5`.
    pub fn number(self) -> &'static str {
        match self {
            Self::V3_4 => "3.4.14",
            Self::V3_5 => "3.5.10",
            Self::V3_6 => "3.6.4",
            Self::V3_7 => "3.7.2",
            Self::V3_8 => "3.8.6",
            Self::V3_9 => "3.9.5",
        }
    }

    /// Its number, found by the text of it.
    pub fn find(number: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.number() == number)
    }

    /// The name for messages.
    pub fn title(self) -> &'static str {
        match self {
            Self::V3_4 => "Apache ZooKeeper 3.4.14",
            Self::V3_5 => "Apache ZooKeeper 3.5.10",
            Self::V3_6 => "Apache ZooKeeper 3.6.4",
            Self::V3_7 => "Apache ZooKeeper 3.7.2",
            Self::V3_8 => "Apache ZooKeeper 3.8.6",
            Self::V3_9 => "Apache ZooKeeper 3.9.5",
        }
    }

    /// Whether it has an AdminServer.
    pub fn has_admin(self) -> bool {
        self >= Self::V3_5
    }

    /// Whether its jars here hold the Prometheus provider. That of 3.9.5 was never published (3.9.4's
    /// runs unchanged), those of 3.7 and 3.8 neither; 3.6 is not tested with one.
    pub fn has_metrics(self) -> bool {
        self >= Self::V3_9
    }

    /// Maven coordinates, `group:artifact:version` each. A real server needs what its jar calls
    /// "provided": Jetty and Jackson for the AdminServer, metrics-core, snappy, JLine and
    /// commons-cli for zkCli, a logger.
    pub(crate) fn jars(self) -> Vec<String> {
        const JETTY_NEW: &str = "9.4.58.v20250814";
        let (logger, jetty, rest): (&[&str], _, &[&str]) = match self {
            Self::V3_4 => (&[], None, &[]),
            Self::V3_5 => (&[SLF4J_SIMPLE], Some("9.4.46.v20220331"), &FOR_3_5),
            Self::V3_6 => (&[SLF4J_SIMPLE], Some("9.4.49.v20220914"), &FOR_3_6),
            Self::V3_7 => (&[SLF4J_SIMPLE], Some("9.4.52.v20230823"), &FOR_3_7),
            Self::V3_8 => (&[LOGBACK], Some(JETTY_NEW), &FOR_3_8),
            Self::V3_9 => (&[PROMETHEUS, LOGBACK], Some(JETTY_NEW), &FOR_3_8),
        };
        let mut jars = vec![format!("org.apache.zookeeper:zookeeper:{}", self.number())];
        jars.extend(logger.iter().map(|&jar| jar.to_owned()));
        for part in ["jetty-server", "jetty-servlet"] {
            jars.extend(jetty.map(|version| format!("org.eclipse.jetty:{part}:{version}")));
        }
        jars.extend(rest.iter().map(|&jar| jar.to_owned()));
        jars
    }
}

const PROMETHEUS: &str = "org.apache.zookeeper:zookeeper-prometheus-metrics:3.9.4";

const FOR_3_5: [&str; 5] = [
    "com.fasterxml.jackson.core:jackson-databind:2.13.3",
    JSON_SIMPLE,
    "org.xerial.snappy:snappy-java:1.1.7",
    "jline:jline:2.14.6",
    "commons-cli:commons-cli:1.2",
];

const FOR_3_6: [&str; 6] = [
    "com.fasterxml.jackson.core:jackson-databind:2.13.4.2",
    JSON_SIMPLE,
    "io.dropwizard.metrics:metrics-core:3.2.5",
    "org.xerial.snappy:snappy-java:1.1.8.4",
    "jline:jline:2.14.6",
    "commons-cli:commons-cli:1.4",
];

const FOR_3_7: [&str; 5] = [
    "com.fasterxml.jackson.core:jackson-databind:2.15.2",
    "io.dropwizard.metrics:metrics-core:4.1.12.1",
    "org.xerial.snappy:snappy-java:1.1.10.5",
    "jline:jline:2.14.6",
    "commons-cli:commons-cli:1.5.0",
];

const FOR_3_8: [&str; 5] = [
    "com.fasterxml.jackson.core:jackson-databind:2.15.2",
    "io.dropwizard.metrics:metrics-core:4.1.12.1",
    "org.xerial.snappy:snappy-java:1.1.10.5",
    "org.jline:jline:3.25.1",
    "commons-cli:commons-cli:1.5.0",
];

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}
