//! Notification URLs: what is read, what is refused, what is shown.

use super::*;
use crate::view::ChannelKind;

fn env(name: &str) -> Option<String> {
    match name {
        "PASSWORD" => Some("p@ss/w:rd#中".to_owned()),
        "WHOLE" => Some("webhook+http://127.0.0.1:9/hook?token=x".to_owned()),
        _ => None,
    }
}

fn parse_one(url: &str) -> Result<Target, UrlError> {
    parse(url, &env)
}

fn as_mail(url: &str) -> Mail {
    let target = parse_one(url).expect(url);
    let Target::Mail(mail) = target else { panic!("{target:?}") };
    mail
}

#[test]
fn smtp_in_three_ways() {
    let mail = as_mail("smtp://127.0.0.1:2525?from=a@x.test&to=b@x.test,c@x.test");
    assert_eq!((mail.port, mail.security, mail.to.len()), (2525, Security::Opportunistic, 2));
    let mail = as_mail("smtp+starttls://me:hush@mail.x.test?from=a@x.test&to=b@x.test");
    assert_eq!((mail.port, mail.security), (587, Security::StartTls));
    assert_eq!(mail.login, Some(("me".into(), "hush".into())));
    let mail = as_mail("smtps://[::1]:465?from=a@x.test&to=b@x.test");
    assert_eq!((mail.host.as_str(), mail.security), ("::1", Security::Implicit));
}

#[test]
fn any_password_comes_through_the_environment() {
    let mail = as_mail("smtp://me:${PASSWORD}@h:25?from=a@x.test&to=b@x.test");
    assert_eq!(mail.login, Some(("me".into(), "p@ss/w:rd#中".into())));
    let whole = parse_one("${WHOLE}").expect("a webhook");
    let Target::Webhook(webhook) = whole else { panic!("{whole:?}") };
    assert_eq!(webhook.url.as_str(), "http://127.0.0.1:9/hook?token=x");
    let missing = parse_one("dingtalk://${NO}?secret=x").map(|_| ());
    assert_eq!(missing, Err(UrlError::NotSet("NO".into())));
    assert_eq!(missing.expect_err("refused").to_string(), "${NO} is not set in the environment");
}

#[test]
fn dingtalk_token_keeps_its_case_and_base_is_taken() {
    let target = parse_one("dingtalk://AbC123?secret=SECx&base=http://127.0.0.1:8080");
    let Ok(Target::DingTalk(robot)) = target else { panic!("{target:?}") };
    assert_eq!((robot.token.as_str(), robot.secret.as_deref()), ("AbC123", Some("SECx")));
    assert_eq!(robot.base.as_str(), "http://127.0.0.1:8080/");
}

#[test]
fn errors_name_the_rule_and_show_no_secret() {
    for url in [
        "http://h/secret",
        "smtp://me:secret@h:99999?from=a@x.test&to=b@x.test",
        "smtp://me:secret@h?from=nobody&to=b@x.test",
        "smtp://me:secret@h?from=a@x.test",
        "smtps://me:secret@h?from=a@x.test&to=b@x.test&tls=secret",
        "dingtalk://?secret=secret",
        "dingtalk://secret?base=ftp://x",
        "webhook+http://me:secret@:80",
        "smtp://h?from=${",
    ] {
        let error = parse_one(url).map(|_| url).expect_err(url).to_string();
        assert!(!error.contains("secret@") && !error.contains("=secret"), "{error}");
        assert!(error.len() > 10, "{error}");
    }
}

#[test]
fn names_are_given_or_made() {
    let options = [
        "webhook+http://127.0.0.1:1/a",
        "smtp://h?from=a@x.test&to=b@x.test",
        "smtp://h?from=a@x.test&to=c@x.test",
        "ops=dingtalk://T?secret=S",
        "dingtalk://T",
    ];
    let options = options.map(str::to_owned);
    let channels = parse_notify(&options, &env).expect("all are fine");
    let names: Vec<&str> = channels.iter().map(Channel::name).collect();
    assert_eq!(names, ["webhook", "mail", "mail-2", "ops", "dingtalk"]);
    assert_eq!(channels[3].kind(), ChannelKind::Dingtalk);
    let twice = ["a=dingtalk://T".to_owned(), "a=dingtalk://U".to_owned()];
    assert_eq!(parse_notify(&twice, &env).map(|_| ()), Err(UrlError::Twice("a".into())));
}

#[test]
fn what_is_shown_has_no_secrets() {
    let options = [
        "webhook+https://me:hush@h.test/services/T0/abcdefghijklmnopqrst?token=hush".to_owned(),
        "dingtalk://hush?secret=hush".to_owned(),
        "smtps://me:hush@h.test?from=a@x.test&to=b@x.test".to_owned(),
    ];
    for channel in parse_notify(&options, &env).expect("all are fine") {
        let shown = format!("{} {channel:?}", channel.target());
        assert!(!shown.contains("hush") && !shown.contains("abcdefghij"), "{shown}");
    }
}
