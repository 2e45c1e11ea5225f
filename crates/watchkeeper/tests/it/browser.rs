//! The pages in a real Chromium: no script error, no failed request, no sideways scroll, readable
//! contrast, in both languages, light and dark, wide and on a phone; live, and without JavaScript.
//!
//! The pictures stay in `target/tmp/pages`, to be looked at.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wk_peers::fetch::library_path;
use wk_peers::wait::{LONG, until};
use wk_peers::{Peer, Process};

use crate::harness::{binary, cache, peer};
use crate::up::Up;

/// The browser driven by `drive.js`. Its libraries are for it alone: they can break others, such
/// as the Node that starts it, so a wrapper of its own sets them.
struct Browser {
    dir: tempfile::TempDir,
    wrapper: PathBuf,
}

impl Browser {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let (root, dir) = (peer(Peer::Browser), tempfile::tempdir().unwrap());
        let wrapper = dir.path().join("chromium");
        let script = format!(
            "#!/bin/sh\nLD_LIBRARY_PATH='{}' XDG_DATA_HOME='{}' exec '{}' \"$@\"\n",
            library_path(&root).unwrap(),
            root.join("usr/share").display(),
            root.join("usr/lib/chromium/chromium-headless-shell").display(),
        );
        fs::write(&wrapper, script).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir, wrapper }
    }

    fn start(&self, name: &str, args: &[&str]) -> Process {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/browser/drive.js");
        let mut command = Command::new("node");
        command
            .arg(script)
            .args(args)
            .env("NODE_PATH", cache().path("playwright").join("node_modules"))
            .env("CHROMIUM", &self.wrapper);
        Process::start("browser", &mut command, &self.dir.path().join(name)).unwrap()
    }

    fn run(&self, args: &[&str]) {
        let mut process = self.start(args[0], args);
        let status = process.wait(2 * LONG).unwrap();
        assert!(status.success(), "{args:?}: {}", process.tail());
    }
}

#[test]
fn pages_look_right_in_every_shape() {
    let (up, browser) = (Up::start(), Browser::new());
    let mut member = up.member("shop/web-1");
    let _others = ["shop/web-2", "shop/web-3", "mailer"].map(|id| up.member(id));
    member.kill().unwrap();
    let id = up.incident("NodeDown", "firing")["id"].as_str().unwrap().to_owned();
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    fs::create_dir_all(&pictures).unwrap();
    let base = format!("http://127.0.0.1:{}", up.web);
    let shoot = |page: &str, path: &str, width: &str, scheme: &str, lang: &str| {
        let out = pictures.join(format!("{page}-{width}-{scheme}-{lang}.png"));
        let url = format!("{base}{path}?lang={lang}");
        let out = out.to_str().unwrap();
        browser.run(&["shot", &url, out, width, scheme, lang]);
        assert!(fs::metadata(out).unwrap().len() > 10_000, "{out} is empty");
    };
    for (page, path) in [("fleet", "/".to_owned()), ("incident", format!("/incidents/{id}"))] {
        for width in ["1280", "390"] {
            for scheme in ["light", "dark"] {
                for lang in ["en", "zh"] {
                    shoot(page, &path, width, scheme, lang);
                }
            }
        }
    }
    let silence = Command::new(binary())
        .args(["silence", "add", "rule=NodeDown", "group=shop", "--for", "1h", "--by", "Zhang Wei"])
        .args(["--reason", "load test of the shop", "--monitor", &base])
        .output()
        .unwrap();
    assert!(silence.status.success(), "{silence:?}");
    for page in ["silences", "rules", "audit"] {
        for (width, scheme, lang) in [("1280", "dark", "zh"), ("390", "light", "en")] {
            shoot(page, &format!("/{page}"), width, scheme, lang);
        }
    }
}

#[test]
fn page_follows_without_being_loaded_anew() {
    let (up, browser) = (Up::start(), Browser::new());
    let mut member = up.member("shop/web-1");
    let url = format!("http://127.0.0.1:{}/", up.web);
    let mut page = browser.start("live", &["live", &url, "One thing needs you"]);
    // What is unfolded there stays so, though the list is another afterwards.
    let rules = format!("{url}rules");
    let mut rules = browser.start("rules", &["live", &rules, "1 firing", "NodeDown"]);
    for page in [&page, &rules] {
        until("an open page", LONG, || Ok(page.output().contains("open").then_some(()))).unwrap();
    }
    member.kill().unwrap();
    for page in [&mut page, &mut rules] {
        let status = page.wait(2 * LONG).unwrap();
        assert!(status.success(), "{}", page.tail());
    }
}

#[test]
fn pages_are_read_without_javascript_and_answered_by_keyboard() {
    let (up, browser) = (Up::start(), Browser::new());
    up.member("shop/web-1").kill().unwrap();
    let id = up.incident("NodeDown", "firing")["id"].as_str().unwrap().to_owned();
    let url = format!("http://127.0.0.1:{}/incidents/{id}", up.web);
    browser.run(&["plain", &url, "What to do next"]);
    browser.run(&["ack", &url, "Zhang Wei"]);
    let taken = up.incident("NodeDown", "acknowledged");
    assert_eq!(taken["acknowledged_by"], "Zhang Wei");
    // A silence is asked for and ended by forms alone.
    let url = format!("http://127.0.0.1:{}/silences?matchers=rule%3DNodeDown", up.web);
    browser.run(&["silence", &url, "Zhang Wei"]);
    let silences = up.api("/api/v1/silences?all=true");
    let silence = &silences["silences"][0];
    assert_eq!((&silence["by"], &silence["ended_by"]), (&"Zhang Wei".into(), &"Zhang Wei".into()));
    // `rule` and `alertname` are one label.
    assert_eq!(silence["matchers"][0], "alertname=\"NodeDown\"");
}
