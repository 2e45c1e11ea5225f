//! `[ensemble.NAME] metrics_port, admin_port` and `ports`: where the pages of its servers are.

use std::collections::BTreeMap;

use serde::Deserialize;
use wk_probe::look::Ports;

use super::EnsembleConfig;
use super::file::{Refusal, is_address};

/// Where the pages of servers are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PagePorts {
    /// Metrics page and AdminServer of each server, where that is the same for all.
    pub all: PortPair,
    /// Those of single servers, by `host:port` of the client port.
    pub single: BTreeMap<String, PortPair>,
}

/// Where the pages of one server are. `None`: as it says itself, else the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortPair {
    /// The metrics page. Default: as AdminServer says, else 7000.
    pub metrics: Option<u16>,
    /// AdminServer. Default 8080.
    pub admin: Option<u16>,
}

/// `{ metrics = 7000, admin = 8080 }`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPair {
    metrics: Option<i64>,
    admin: Option<i64>,
}

pub(super) fn ports(
    ensemble: &str,
    metrics: Option<i64>,
    admin: Option<i64>,
    single: BTreeMap<String, RawPair>,
) -> Result<PagePorts, Refusal> {
    let key = |end: &str| format!("ensemble.{ensemble}.{end}");
    let mut ports = PagePorts::default();
    ports.all.metrics = port(key("metrics_port"), metrics)?;
    ports.all.admin = port(key("admin_port"), admin)?;
    for (address, pair) in single {
        if !is_address(&address) {
            return Err(Refusal::new(key("ports"), &address, &"must be HOST:PORT"));
        }
        let metrics = port(key(&format!("ports.{address:?}.metrics")), pair.metrics)?;
        let admin = port(key(&format!("ports.{address:?}.admin")), pair.admin)?;
        ports.single.insert(address, PortPair { metrics, admin });
    }
    Ok(ports)
}

fn port(key: String, given: Option<i64>) -> Result<Option<u16>, Refusal> {
    let Some(given) = given else { return Ok(None) };
    match u16::try_from(given) {
        Ok(port) if port > 0 => Ok(Some(port)),
        _ => Err(Refusal::new(key, &given.to_string(), &"must be a port, 1 to 65535")),
    }
}

impl EnsembleConfig {
    /// What is known of the ports of `instance`.
    pub(crate) fn ports_of(&self, instance: &str) -> Ports {
        let own = self.ports.single.get(instance).copied().unwrap_or_default();
        Ports {
            metrics: own.metrics.or(self.ports.all.metrics),
            admin: own.admin.or(self.ports.all.admin),
            ..Ports::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_own_ports_go_before_those_of_all() {
        let single =
            BTreeMap::from([("b:2181".to_owned(), RawPair { metrics: Some(7001), admin: None })]);
        let Ok(read) = ports("e", Some(7000), Some(8081), single) else { panic!("legal") };
        let config = EnsembleConfig { ports: read, ..EnsembleConfig::default() };
        let of = |instance| (config.ports_of(instance).metrics, config.ports_of(instance).admin);
        assert_eq!(of("a:2181"), (Some(7000), Some(8081)));
        assert_eq!(of("b:2181"), (Some(7001), Some(8081)));
    }

    #[test]
    fn a_port_that_is_none_is_refused_by_key() {
        let refused = ports("e", Some(70_000), None, BTreeMap::new()).err().map(|r| r.key);
        assert_eq!(refused.as_deref(), Some("ensemble.e.metrics_port"));
        let single =
            BTreeMap::from([("b:2".to_owned(), RawPair { metrics: None, admin: Some(0) })]);
        let refused = ports("e", None, None, single).err().map(|r| r.key);
        assert_eq!(refused.as_deref(), Some("ensemble.e.ports.\"b:2\".admin"));
        let single = BTreeMap::from([("b".to_owned(), RawPair::default())]);
        assert!(ports("e", None, None, single).is_err());
    }
}
