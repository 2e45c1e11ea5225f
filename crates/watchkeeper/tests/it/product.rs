//! `watchkeeper up` as a child process, with its ports, its data and its API.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use wk_peers::{Process, wait};

use crate::harness::binary;

/// A running `up`, which may be killed and started again over the same data.
pub(crate) struct Product {
    dir: TempDir,
    pub(crate) client: u16,
    pub(crate) web: u16,
    args: Vec<String>,
    env: Vec<(String, String)>,
    process: Option<Process>,
}

impl Product {
    /// Starts `up` with a server of its own and waits until it is ready.
    pub(crate) fn start(args: &[&str], env: &[(&str, &str)]) -> Self {
        let [client, web] = wait::free_ports::<2>().unwrap();
        Self::launch(client, web, args, env, &["--client", &format!("127.0.0.1:{client}")])
    }

    /// Starts `up HOST:PORT` for a server that is there.
    pub(crate) fn start_for(address: &str, args: &[&str]) -> Self {
        let [web] = wait::free_ports::<1>().unwrap();
        Self::launch(0, web, args, &[], &[address])
    }

    fn launch(client: u16, web: u16, args: &[&str], env: &[(&str, &str)], own: &[&str]) -> Self {
        let own = own.iter().chain(args).map(|arg| (*arg).to_owned()).collect();
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let dir = tempfile::tempdir().unwrap();
        let mut product = Self { dir, client, web, args: own, env, process: None };
        product.run();
        product
    }

    /// Starts it again over the same data.
    pub(crate) fn run(&mut self) {
        let mut command = Command::new(binary());
        command.arg("up").args(&self.args).arg("--data").arg(self.dir.path().join("data"));
        command.args(["--web", &format!("127.0.0.1:{}", self.web)]);
        command.envs(self.env.iter().map(|(k, v)| (k, v)));
        let log = self.log();
        let mut process = Process::start("watchkeeper up", &mut command, &log).unwrap();
        wait::until("`up` to be ready", wait::LONG, || {
            assert!(process.ended()?.is_none(), "it ended:\n{}", process.tail());
            let (status, _) = wait::http_get(self.web, "/healthz")?;
            Ok(status.contains(" 200 ").then_some(()))
        })
        .unwrap();
        self.process = Some(process);
    }

    /// kill -9, and nothing else.
    pub(crate) fn kill(&mut self) {
        self.process.take().unwrap().kill().unwrap();
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("up.log")
    }

    /// What it printed so far, all runs.
    pub(crate) fn printed(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Where its data is.
    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// `HOST:PORT` of its own server.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.client)
    }

    /// A page.
    pub(crate) fn page(&self, path: &str) -> String {
        let (status, body) = wait::http_get(self.web, path).unwrap();
        assert!(status.contains(" 200 "), "{path}: {status}\n{body}");
        body
    }

    /// The API's JSON.
    pub(crate) fn api(&self, path: &str) -> serde_json::Value {
        serde_json::from_str(&self.page(&format!("/api/v1/{path}"))).unwrap()
    }

    /// The incidents of the API, newest first.
    pub(crate) fn incidents(&self) -> Vec<serde_json::Value> {
        self.api("incidents")["incidents"].as_array().unwrap().clone()
    }

    /// The state of a node, by its path; none if it is not known.
    pub(crate) fn node_state(&self, path: &str) -> Option<String> {
        let fleet = self.api("fleet");
        let nodes = fleet["ensembles"][0]["nodes"].as_array().cloned().unwrap_or_default();
        let node = nodes.iter().find(|node| node["path"] == path)?;
        node["state"].as_str().map(str::to_owned)
    }

    /// Waits until a node is in a state.
    pub(crate) fn until_state(&self, path: &str, state: &str) {
        let what = format!("{path} to be {state}");
        wait::until(&what, wait::LONG, || {
            Ok((self.node_state(path).as_deref() == Some(state)).then_some(()))
        })
        .unwrap_or_else(|err| panic!("{err:#}\n{:#}\n{}", self.api("fleet"), self.printed()));
    }

    /// Waits until the API shows as many incidents in a state; gives their ids.
    pub(crate) fn until_incidents(&self, state: &str, count: usize) -> Vec<String> {
        let what = format!("{count} incidents to be {state}");
        wait::until(&what, wait::LONG, || {
            let all = self.incidents();
            let ids = all.iter().filter(|one| one["state"] == state);
            let ids: Vec<String> = ids.filter_map(|one| Some(one["id"].as_str()?.into())).collect();
            Ok((ids.len() == count).then_some(ids))
        })
        .unwrap_or_else(|err| panic!("{err:#}\n{:#?}\n{}", self.incidents(), self.printed()))
    }

    /// Runs one of our verbs against it.
    pub(crate) fn verb(&self, args: &[&str]) -> Output {
        let monitor = format!("http://127.0.0.1:{}", self.web);
        Command::new(binary()).args(args).env("WATCHKEEPER_MONITOR", monitor).output().unwrap()
    }
}
