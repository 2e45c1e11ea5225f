//! Channels against real receivers: SMTP in three ways to TLS with AUTH and refusals, DingTalk with
//! signature and clock, the webhook. All through `notify test`, which says what came of it.

use std::fs;
use std::path::Path;

use wk_peers::Peer;
use wk_peers::receivers::{DingTalk, Reply, Smtp, SmtpMode, Webhook};

use crate::harness::peer;
use crate::product::Product;

/// Any password must do; this one needs encoding in a URL and is outside ASCII.
const PASSWORD: &str = "p@ss:w/rd#中";

/// The exit code and what was printed.
fn test(product: &Product, channel: &str) -> (i32, String) {
    let output = product.verb(&["notify", "test", channel]);
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output.status.code().unwrap(), said)
}

/// A certificate for 127.0.0.1 and its key, as PEM files.
fn certificate(dir: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (cert, key)
}

fn folder(dir: &Path, name: &str) -> std::path::PathBuf {
    let folder = dir.join(name);
    fs::create_dir(&folder).unwrap();
    folder
}

#[test]
fn mail_in_three_ways_to_tls() {
    let dir = tempfile::tempdir().unwrap();
    let python = peer(Peer::Python).join("bin/python");
    let (cert, key) = certificate(dir.path());
    let files = Some((cert.as_path(), key.as_path()));
    let login = Some(("me", PASSWORD));
    let server = |name: &str, mode, login, files| {
        Smtp::start(&python, &folder(dir.path(), name), mode, login, files).unwrap()
    };
    let plain = server("plain", SmtpMode::Plain, None, None);
    let starttls = server("starttls", SmtpMode::StartTls, login, files);
    let tls = server("tls", SmtpMode::Tls, login, files);
    let ends = format!("from=wk@x.test&to=ops@x.test&ca={}", cert.display());
    let (plain_port, starttls_port, tls_port) = (plain.port(), starttls.port(), tls.port());
    let urls = [
        format!("plain=smtp://127.0.0.1:{plain_port}?from=wk@x.test&to=ops@x.test"),
        format!("offered=smtp://me:${{PASSWORD}}@127.0.0.1:{starttls_port}?{ends}"),
        format!("required=smtp+starttls://me:${{PASSWORD}}@127.0.0.1:{starttls_port}?{ends}"),
        format!("implicit=smtps://me:${{PASSWORD}}@127.0.0.1:{tls_port}?{ends}"),
        format!("downgraded=smtp+starttls://127.0.0.1:{plain_port}?{ends}"),
        format!("stranger=smtps://127.0.0.1:{tls_port}?from=wk@x.test&to=ops@x.test"),
        format!("wrong=smtps://me:guess@127.0.0.1:{tls_port}?{ends}"),
        format!("refused=smtp://127.0.0.1:{plain_port}?from=wk@x.test&to=x@reject.test"),
        format!("partly=smtp://127.0.0.1:{plain_port}?from=wk@x.test&to=x@reject.test,y@x.test"),
    ];
    let args: Vec<&str> = urls.iter().flat_map(|url| ["--notify", url]).collect();
    let product = Product::start(&args, &[("PASSWORD", PASSWORD)]);
    for channel in ["plain", "offered", "required", "implicit", "partly"] {
        let (code, said) = test(&product, channel);
        assert_eq!(code, 0, "{channel}: {said}");
        assert!(said.contains("delivered") && said.contains("250"), "{channel}: {said}");
        assert!(!said.contains(PASSWORD) && !said.contains("p%40ss"), "{channel}: {said}");
    }
    let tls_of = |smtp: &Smtp| {
        let mails = smtp.mails();
        mails.iter().map(|mail| mail.header("X-Test-Tls").unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(tls_of(&starttls), ["yes", "yes"]);
    assert_eq!(tls_of(&tls), ["yes"]);
    assert_eq!(tls_of(&plain), ["no", "no"]);
    let mail = plain.mails().remove(0);
    assert_eq!(mail.header("Auto-Submitted").as_deref(), Some("auto-generated"));
    assert!(mail.header("X-Watchkeeper-Incident").unwrap().starts_with("test-"));
    assert_eq!(plain.mails()[1].header("X-Test-Rcpt").as_deref(), Some("y@x.test"));
    for (channel, why) in [
        ("downgraded", "STARTTLS"),
        ("stranger", "certificate"),
        ("wrong", "535"),
        ("refused", "550"),
    ] {
        let (code, said) = test(&product, channel);
        assert_eq!(code, 1, "{channel}: {said}");
        assert!(said.to_lowercase().contains(&why.to_lowercase()), "{channel}: {said}");
    }
    assert_eq!(plain.mails().len(), 2, "nothing went in the clear that must not");
    assert_eq!(test(&product, "nonsense").0, 3);
}

#[test]
fn dingtalk_and_webhook_in_chinese() {
    let (webhook, robot) = (Webhook::start().unwrap(), DingTalk::start("TOKEN", "SECx").unwrap());
    let late = DingTalk::with_clock("TOKEN", "SECx", -7200).unwrap();
    webhook.script([Reply::Answer { status: 410, body: "gone away".into() }]);
    let urls = [
        webhook.url(),
        robot.url(),
        format!("bad={}", robot.url_with("SECy")),
        format!("late={}", late.url()),
    ];
    let mut args: Vec<&str> = urls.iter().flat_map(|url| ["--notify", url]).collect();
    args.extend(["--lang", "zh"]);
    let product = Product::start(&args, &[]);
    let (code, said) = test(&product, "webhook");
    assert!(code == 1 && said.contains("gone away") && said.contains("永久拒绝"), "{said}");
    let (code, said) = test(&product, "webhook");
    assert!(code == 0 && said.contains("已送达"), "{said}");
    let (code, said) = test(&product, "dingtalk");
    assert_eq!(code, 0, "{said}");
    assert!(robot.texts()[0].contains("测试消息"), "{:?}", robot.texts());
    assert!(!said.contains("TOKEN") && !said.contains("SECx"), "{said}");
    let (code, said) = test(&product, "bad");
    assert!(code == 1 && said.contains("310000") && said.contains("HTTP 200"), "{said}");
    let (code, said) = test(&product, "late");
    assert!(code == 1 && said.contains("invalid timestamp"), "{said}");
}
