//! Java programs of the peers: zkCli, the snapshot and log tools, and compiled test programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::Cache;
use crate::fetch::Peer;
use crate::process::run;
use crate::versions::Version;

/// A `java` command that keeps start-up short and memory small.
pub fn java(classpath: &str) -> Command {
    let mut command = Command::new("java");
    command
        .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"])
        .args(["-cp", classpath]);
    command
}

/// A `java` command with ZooKeeper's jars whose log lines do not mix with its answers.
pub fn zookeeper_tool(cache: &Cache, zookeeper: &Path) -> Result<Command> {
    let off = cache.path("logback-off.xml");
    write_if_missing(&off, "<configuration><root level=\"OFF\"/></configuration>\n")?;
    let mut command = java(&format!("{}/*", zookeeper.display()));
    command.arg(format!("-Dlogback.configurationFile={}", off.display()));
    Ok(command)
}

/// The logback file of servers: everything from INFO up, on standard output.
pub fn server_logback(cache: &Cache) -> Result<PathBuf> {
    let path = cache.path("logback-server.xml");
    let text = "<configuration><appender name=\"C\" \
        class=\"ch.qos.logback.core.ConsoleAppender\"><encoder>\
        <pattern>%d{ISO8601} %-5p [%t] %c{1} - %m%n</pattern></encoder></appender>\
        <root level=\"INFO\"><appender-ref ref=\"C\"/></root></configuration>\n";
    write_if_missing(&path, text)?;
    Ok(path)
}

/// The log4j 1.2 file of servers of 3.4: everything from INFO up, on standard output.
pub fn server_log4j(cache: &Cache) -> Result<PathBuf> {
    let path = cache.path("log4j-server.properties");
    let text = "log4j.rootLogger=INFO, C\n\
        log4j.appender.C=org.apache.log4j.ConsoleAppender\n\
        log4j.appender.C.layout=org.apache.log4j.PatternLayout\n\
        log4j.appender.C.layout.ConversionPattern=%d{ISO8601} %-5p [%t] %c{1} - %m%n\n";
    write_if_missing(&path, text)?;
    Ok(path)
}

/// The command that runs an Apache server of `version`: its zoo.cfg is the only argument left.
///
/// # Errors
/// When its jars are not there and cannot be fetched.
pub fn server(cache: &Cache, version: Version, flags: &[String]) -> Result<Command> {
    let jars = Peer::ZooKeeperAt(version).ensure(cache, &|_| ())?;
    let mut command = java(&format!("{}/*", jars.display()));
    command
        .arg(format!("-Dlogback.configurationFile={}", server_logback(cache)?.display()))
        .arg(format!("-Dlog4j.configuration=file:{}", server_log4j(cache)?.display()))
        .arg("-Dzookeeper.jmx.log4j.disable=true")
        .args(flags)
        .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain");
    Ok(command)
}

/// Compiles one Java source file against the jars in `jars` into `out`.
pub fn compile(source: &Path, jars: &Path, out: &Path) -> Result<()> {
    let mut javac = Command::new("javac");
    javac.args(["-Xlint:none", "-nowarn", "-cp"]).arg(format!("{}/*", jars.display()));
    run("javac", javac.arg("-d").arg(out).arg(source)).map(drop)
}

fn write_if_missing(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|found| found == text) {
        return Ok(());
    }
    // Many processes may write the same text at once: each puts a whole file in place.
    let dir = path.parent().context("a file has a folder")?;
    let temp = tempfile::NamedTempFile::new_in(dir).context("make a temporary file")?;
    fs::write(temp.path(), text).with_context(|| format!("write {}", temp.path().display()))?;
    temp.persist(path).map(drop).with_context(|| format!("write {}", path.display()))
}
