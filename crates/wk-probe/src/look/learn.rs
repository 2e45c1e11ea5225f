//! What a server offers: AdminServer's port and the metrics page's, given, told or tried.
//!
//! A page on a default port may be another server's: AdminServer is believed once it says the right
//! client port, a metrics page once AdminServer named its port, or where no other watched server is
//! on that host and the page counts the same packets as the server's own word.

use std::sync::Arc;

use wk_client::{Connect, four_letter_over};

use crate::admin::{AdminAnswer, configuration};
use crate::fetch::Fetcher;
use crate::figures::as_float;
use crate::page::{Page, PageLimits};
use crate::words::{Conf, Srvr};

use super::{Pace, Target};

const ADMIN_PORT: u16 = 8080;
const METRICS_PORT: u16 = 7000;
/// A metric that every version with a metrics page shows, whether it serves or not.
const ALWAYS_SHOWN: [&str; 2] = ["looking_count", "connection_request_count"];

/// What is known to be offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Learned {
    /// The address of the metrics page.
    pub(super) metrics: Option<String>,
    /// `http://host:port/commands`.
    pub(super) admin: Option<String>,
    /// Another server's AdminServer is on that port; its client port.
    pub(super) foreign_admin: Option<(u16, String)>,
    /// All of it was tried at least once while the server answered.
    pub(super) looked: bool,
}

/// Finds out what is offered.
#[derive(Clone)]
pub(super) struct Learner {
    target: Target,
    pace: Pace,
    fetcher: Option<Fetcher>,
    connect: Arc<dyn Connect>,
    host: String,
    port: String,
}

impl Learner {
    pub(super) fn new(
        target: &Target,
        pace: Pace,
        fetcher: Option<Fetcher>,
        connect: Arc<dyn Connect>,
    ) -> Self {
        let (host, port) = target.instance.rsplit_once(':').unwrap_or((&target.instance, ""));
        let (host, port) = (host.to_owned(), port.to_owned());
        Self { target: target.clone(), pace, fetcher, connect, host, port }
    }

    /// Adds to what is known what can be found.
    pub(super) async fn learn(self, known: Learned) -> Learned {
        let Some(fetcher) = self.fetcher.clone() else { return known };
        let mut learned = Learned { foreign_admin: None, looked: true, ..known };
        if learned.admin.is_none() {
            self.find_admin(&fetcher, &mut learned).await;
        }
        if learned.metrics.is_none() {
            learned.metrics = self.find_metrics(&fetcher, learned.admin.as_deref()).await;
        }
        learned
    }

    async fn find_admin(&self, fetcher: &Fetcher, learned: &mut Learned) {
        let port = self.target.ports.admin.unwrap_or(ADMIN_PORT);
        let base = format!("http://{}:{port}/commands", self.host);
        let Some(answer) = self.ask(fetcher, &base, "configuration").await else { return };
        match answer {
            AdminAnswer::Said(object) => {
                let theirs = configuration(&object).keys.remove("clientPort").unwrap_or_default();
                let named = theirs == self.port || self.target.ports.admin.is_some();
                if named || self.is_own_secure(fetcher, &base).await {
                    learned.admin = Some(base);
                } else {
                    learned.foreign_admin = Some((port, theirs));
                }
            }
            // Whose it is cannot be told now.
            AdminAnswer::NotServing if self.target.ports.admin.is_some() => {
                learned.admin = Some(base);
            }
            AdminAnswer::NotServing => learned.looked = false,
            AdminAnswer::Failed(_) | AdminAnswer::Strange => (),
        }
    }

    /// Whether the AdminServer at `base` is this server's, which we know by its port with TLS.
    async fn is_own_secure(&self, fetcher: &Fetcher, base: &str) -> bool {
        if !self.target.ports.secure {
            return false;
        }
        let told = self.zoo_cfg(fetcher, base).await;
        match told.and_then(|mut conf| conf.keys.remove("secureClientPort")) {
            Some(theirs) => theirs == self.port,
            // Before 3.6 nobody says it.
            None => self.target.ports.alone_on_host,
        }
    }

    async fn find_metrics(&self, fetcher: &Fetcher, admin: Option<&str>) -> Option<String> {
        let given = self.target.ports.metrics;
        let told = match admin.filter(|_| given.is_none()) {
            Some(admin) => self.told_port(fetcher, admin).await,
            None => None,
        };
        let url = |port: u16| format!("http://{}:{port}/metrics", self.host);
        if let Some(port) = given.or(told) {
            let page = self.page(fetcher, &url(port)).await?;
            return is_a_servers(&page).then(|| url(port));
        }
        if !self.target.ports.alone_on_host {
            return None;
        }
        let before = self.packets().await?;
        let page = self.page(fetcher, &url(METRICS_PORT)).await?;
        let counted = page.value("packets_received")?;
        let own = before <= counted && counted <= self.packets().await?;
        (is_a_servers(&page) && own).then(|| url(METRICS_PORT))
    }

    async fn page(&self, fetcher: &Fetcher, url: &str) -> Option<Page> {
        fetcher.page(url, PageLimits::default(), self.pace.limit).await.ok()
    }

    /// The packets that the server itself says it has received.
    async fn packets(&self) -> Option<f64> {
        let (connect, instance) = (self.connect.as_ref(), &self.target.instance);
        let text = four_letter_over(connect, instance, "srvr", self.pace.limit).await.ok()?;
        Srvr::parse(&text).received.map(as_float)
    }

    /// The port that its zoo.cfg gives to the provider, as AdminServer shows it (3.6 and later).
    async fn told_port(&self, fetcher: &Fetcher, admin: &str) -> Option<u16> {
        let conf = self.zoo_cfg(fetcher, admin).await?;
        let class = conf.keys.get("metricsProvider.className")?;
        let port = conf.keys.get("metricsProvider.httpPort");
        match port {
            Some(port) => port.parse().ok(),
            None => class.ends_with("PrometheusMetricsProvider").then_some(METRICS_PORT),
        }
    }

    /// The text of its zoo.cfg, as AdminServer shows it (3.6 and later).
    async fn zoo_cfg(&self, fetcher: &Fetcher, admin: &str) -> Option<Conf> {
        let answer = self.ask(fetcher, admin, "initial_configuration").await?;
        let AdminAnswer::Said(object) = answer else { return None };
        Some(Conf::parse(object.get("initial_configuration")?.as_str()?))
    }

    async fn ask(&self, fetcher: &Fetcher, base: &str, command: &str) -> Option<AdminAnswer> {
        let answer = fetcher.body(&format!("{base}/{command}"), self.pace.limit).await;
        answer.ok().map(|(status, body)| AdminAnswer::read(status, &body))
    }
}

fn is_a_servers(page: &Page) -> bool {
    let shows = |name: &str| {
        page.series
            .iter()
            .any(|series| series.name.strip_suffix("_total").unwrap_or(&series.name) == name)
    };
    ALWAYS_SHOWN.iter().all(|name| shows(name))
}
