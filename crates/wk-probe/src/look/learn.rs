//! What a server offers: AdminServer's port and the metrics page's, given, told or tried.
//!
//! A page on a default port may be another server's: AdminServer is believed once it says the right
//! client port, a metrics page once AdminServer named its port, or where no other watched server is
//! on that host.

use crate::admin::{AdminAnswer, configuration};
use crate::fetch::Fetcher;
use crate::page::{Page, PageLimits};
use crate::words::Conf;

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
#[derive(Clone, Debug)]
pub(super) struct Learner {
    target: Target,
    pace: Pace,
    fetcher: Option<Fetcher>,
    host: String,
    port: String,
}

impl Learner {
    pub(super) fn new(target: &Target, pace: Pace, fetcher: Option<Fetcher>) -> Self {
        let (host, port) = target.instance.rsplit_once(':').unwrap_or((&target.instance, ""));
        let (host, port) = (host.to_owned(), port.to_owned());
        Self { target: target.clone(), pace, fetcher, host, port }
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
                if theirs == self.port || self.target.ports.admin.is_some() {
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

    async fn find_metrics(&self, fetcher: &Fetcher, admin: Option<&str>) -> Option<String> {
        let given = self.target.ports.metrics;
        let told = match admin.filter(|_| given.is_none()) {
            Some(admin) => self.told_port(fetcher, admin).await,
            None => None,
        };
        let guess = self.target.ports.alone_on_host.then_some(METRICS_PORT);
        let url = format!("http://{}:{}/metrics", self.host, given.or(told).or(guess)?);
        let page = fetcher.page(&url, PageLimits::default(), self.pace.limit).await.ok()?;
        is_a_servers(&page).then_some(url)
    }

    /// The port that its zoo.cfg gives to the provider, as AdminServer shows it (3.6 and later).
    async fn told_port(&self, fetcher: &Fetcher, admin: &str) -> Option<u16> {
        let answer = self.ask(fetcher, admin, "initial_configuration").await?;
        let AdminAnswer::Said(object) = answer else { return None };
        let conf = Conf::parse(object.get("initial_configuration")?.as_str()?);
        let class = conf.keys.get("metricsProvider.className")?;
        let port = conf.keys.get("metricsProvider.httpPort");
        match port {
            Some(port) => port.parse().ok(),
            None => class.ends_with("PrometheusMetricsProvider").then_some(METRICS_PORT),
        }
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
