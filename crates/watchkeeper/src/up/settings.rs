//! What `up` is told: options over watchkeeper.toml over defaults, as legal values.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use wk_monitor::{
    Channel, EnsembleConfig, FileConfig, GroupConfig, IncidentsConfig, Lang, RulesConfig,
    parse_notify,
};
use wk_web::WebError;

use super::Args;
use crate::exit::{Code, CodeExt as _};

const CLIENT_DEFAULT: &str = "127.0.0.1:2181";
const WEB_DEFAULT: &str = "127.0.0.1:7181";
const DATA_DEFAULT: &str = "watchkeeper-data";
/// Name of the ensemble given on the command line.
const GIVEN: &str = "main";

/// Everything that a [`super::stack::Stack`] is started with.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Where our own server takes clients; `None`: there is none.
    pub(crate) client: Option<SocketAddr>,
    /// The ensembles that are there already.
    pub(crate) ensembles: Vec<EnsembleConfig>,
    /// What is known of groups of nodes beforehand.
    pub(crate) groups: BTreeMap<String, GroupConfig>,
    /// Which rules judge beside the shipped ones.
    pub(crate) rules: RulesConfig,
    /// How incidents are grouped, held and kept.
    pub(crate) incidents: IncidentsConfig,
    /// Whether the transactions of our own server are followed.
    pub(crate) tap: bool,
    pub(crate) web: SocketAddr,
    pub(crate) insecure: bool,
    pub(crate) data: PathBuf,
    pub(crate) channels: Vec<Channel>,
    /// The language of texts.
    pub(crate) lang: Lang,
    /// Whether that language was asked for; otherwise pages follow the reader's browser.
    pub(crate) lang_given: bool,
}

impl Settings {
    /// Reads the options and the file that they name.
    ///
    /// # Errors
    /// Usage errors, which name key, value and rule.
    pub(crate) fn read(args: &Args) -> anyhow::Result<Self> {
        let env = |name: &str| std::env::var(name).ok();
        let file = match &args.config {
            Some(path) => FileConfig::read(path, &env).code(Code::Usage)?,
            None => FileConfig::default(),
        };
        let given = |option: &Option<String>, file: Option<String>, default: &str| {
            option.clone().or(file).unwrap_or_else(|| default.to_owned())
        };
        let web = address("--web", &given(&args.web, file.listen, WEB_DEFAULT))?;
        let insecure = args.insecure || file.insecure.unwrap_or(false);
        if !web.ip().is_loopback() && !insecure {
            return Err(Code::Usage.of(WebError::BeyondLoopback(web).into()));
        }
        let mut ensembles: Vec<_> = file.ensembles.into_values().collect();
        let client = if args.servers.is_empty() {
            Some(address("--client", &given(&args.client, file.client, CLIENT_DEFAULT))?)
        } else {
            for server in &args.servers {
                host_and_port(server)?;
            }
            // The servers of the command line win; what else the file says of that ensemble stays.
            let at = ensembles.iter().position(|ensemble| ensemble.name == GIVEN);
            let main = at.map(|at| ensembles.remove(at));
            let main = main.unwrap_or_else(|| EnsembleConfig::new(GIVEN, Vec::new()));
            ensembles.insert(0, EnsembleConfig { servers: args.servers.clone(), ..main });
            None
        };
        for ensemble in &mut ensembles {
            ensemble.tap |= args.tap;
        }
        let mut channels =
            parse_notify(&args.notify, &env).context("--notify").code(Code::Usage)?;
        // An option wins over the channel of the same name in the file.
        let of_file = file.channels.into_iter();
        let new = of_file.filter(|c| channels.iter().all(|own| own.name() != c.name()));
        let new: Vec<Channel> = new.collect();
        channels.extend(new);
        let data = args.data.clone().or(file.data).unwrap_or_else(|| DATA_DEFAULT.into());
        Ok(Self {
            client,
            ensembles,
            groups: file.groups,
            rules: file.rules,
            incidents: file.incidents,
            tap: args.tap,
            web,
            insecure,
            data,
            channels,
            lang: Lang::choose(args.lang, env),
            lang_given: args.lang.is_some(),
        })
    }
}

impl Settings {
    /// The settings of `demo`: our own server and nothing else.
    ///
    /// # Errors
    /// Usage errors, which name key, value and rule.
    pub(crate) fn for_demo(
        client: String,
        web: String,
        data: PathBuf,
        notify: &[String],
        lang: Option<Lang>,
    ) -> anyhow::Result<Self> {
        Self::read(&Args {
            servers: Vec::new(),
            client: Some(client),
            web: Some(web),
            data: Some(data),
            config: None,
            notify: notify.to_vec(),
            lang,
            tap: false,
            insecure: false,
            log: crate::logging::LogArgs::default(),
        })
    }
}

/// `HOST:PORT`, or a port alone on loopback.
fn address(option: &str, text: &str) -> anyhow::Result<SocketAddr> {
    let full = match text.parse::<u16>() {
        Ok(port) => format!("127.0.0.1:{port}"),
        Err(_) => text.to_owned(),
    };
    let found =
        full.to_socket_addrs().with_context(|| format!("{option} {text}: must be HOST:PORT"));
    let first = found.code(Code::Usage)?.next();
    first.ok_or_else(|| Code::Usage.of(anyhow!("{option} {text}: the host has no address")))
}

fn host_and_port(server: &str) -> anyhow::Result<()> {
    let port = server.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    let legal = port.is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if legal { Ok(()) } else { Err(Code::Usage.of(anyhow!("{server}: must be HOST:PORT"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_the_command_line_win_and_the_rest_of_their_table_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let config = dir.path().join("watchkeeper.toml");
        let text = "[ensemble.dev]\nservers = [\"dev:1\"]\n\
                    [ensemble.main]\nservers = [\"old:1\"]\nagents = [\"zk1:7182\"]\n";
        std::fs::write(&config, text).expect("written");
        let args = Args {
            servers: vec!["zk1:2181".to_owned()],
            client: None,
            web: None,
            data: None,
            config: Some(config),
            notify: Vec::new(),
            lang: None,
            tap: false,
            insecure: false,
            log: crate::logging::LogArgs::default(),
        };
        let settings = Settings::read(&args).expect("legal");
        let [main, dev] = &settings.ensembles[..] else { panic!("{:?}", settings.ensembles) };
        assert_eq!((&*main.name, &main.servers[..]), ("main", &args.servers[..]));
        assert_eq!((&main.agents[..], &*dev.name), (&["zk1:7182".to_owned()][..], "dev"));
    }
}
