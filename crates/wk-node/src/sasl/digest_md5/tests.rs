//! The exchange: vectors, every directive that can be wrong, and what is no list at all.

use super::*;

/// User, password, nonce, cnonce, authzid, response, rspauth.
type Vector = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Option<&'static str>,
    &'static str,
    &'static str,
);

const JAVA: &[Vector] = &[
    (
        "bob",
        "bobsecret",
        "sVpZyGmzI7rH98N3j/xdea2rX4WuRuqGwpSdJTfI",
        "WsE2REES6EPwfwMLu0w1sqRi+68dlL/dI40288DN",
        None,
        "09df64cf6e291724484bef333b5c9351",
        "dd55d22c42a1ef422130298d703c51e3",
    ),
    (
        "Zoë",
        "ñandú",
        "xGLQASQSfvlszH6VS9+Lj3v6VbyrUUO5iSOlFRKO",
        "XtAlCyiTs8ESNl2Bk2Bwz4D/nR23B/fsquFZ8qYc",
        None,
        "259e136a8e13943e72c2f5ad991907e9",
        "8afc5372d411bf09a22f5f90d3ffc604",
    ),
    (
        "中",
        "国",
        "kQvHAyAF5AZy4mN3bJ+5CZEtUI8jTcPKXw0u5Sjn",
        "paZpXWizAv070IXM4OAEwLfc6Ic0pXUYCqTJhGmJ",
        None,
        "6d198467412311d1eb37a0664cfd465d",
        "293bae33fd0bd97ddbe938305c579265",
    ),
    (
        "bob",
        "bobsecret",
        "r7e3KXJIrc6XTNkrYMrckpRcgd6GztVJj3l0yU/v",
        "Pl3UKUmFZOfsw5eQ+iuzQerJbMDxxhsfMA8eYs2Z",
        Some("root"),
        "52ea6cceeb8bf6c84ec87f4d9b957637",
        "46cdd8fe342208fa4756c82b38b3abff",
    ),
];

fn options() -> SaslOptions {
    let user = |name: &str, password: &str| (name.to_owned(), Secret(password.to_owned()));
    SaslOptions {
        users: [user("bob", "bobsecret"), user("Zoë", "ñandú"), user("中", "国")].into(),
        supers: Vec::new(),
        failed_stay: false,
        nonce_secret: Secret("k".to_owned()),
    }
}

/// The challenge, and the nonce in it.
fn challenged(exchange: &mut Exchange, number: u64) -> String {
    let Ok(Step::Challenge(challenge)) = exchange.step(&options(), number, b"") else {
        panic!("no challenge");
    };
    let text = String::from_utf8(challenge).unwrap();
    let nonce = text.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let rest = text.replace(&nonce, "");
    assert_eq!(rest, "realm=\"zk-sasl-md5\",nonce=\"\",charset=utf-8,algorithm=md5-sess");
    nonce
}

/// An answer as Java's client writes it.
fn answer(user: &str, password: &str, nonce: &str) -> String {
    let proof = Proof {
        realm: REALM,
        user,
        password,
        nonce,
        cnonce: b"abc",
        uri: URI.as_bytes(),
        authzid: None,
    };
    format!(
        "charset=utf-8,username=\"{user}\",realm=\"{REALM}\",nonce=\"{nonce}\",nc=00000001,\
         cnonce=\"abc\",digest-uri=\"{URI}\",maxbuf=65536,response={},qop=auth",
        proof.hash("AUTHENTICATE")
    )
}

/// What becomes of an answer that `change` has changed.
fn refusal(change: impl FnOnce(String) -> String) -> Refusal {
    let mut exchange = Exchange::default();
    let nonce = challenged(&mut exchange, 1);
    let token = change(answer("bob", "bobsecret", &nonce));
    let refused = exchange.step(&options(), 2, token.as_bytes()).unwrap_err();
    assert_eq!(exchange.step(&options(), 3, b""), Err(Refusal::OutOfTurn), "it is over");
    refused
}

#[test]
fn hashes_are_those_of_java() {
    // An exchange of Java 17's client with its own server, whose values these are.
    for (user, password, nonce, cnonce, authzid, response, rspauth) in JAVA {
        let proof = Proof {
            realm: REALM,
            user,
            password,
            nonce,
            cnonce: cnonce.as_bytes(),
            uri: URI.as_bytes(),
            authzid: authzid.map(str::as_bytes),
        };
        assert_eq!(proof.hash("AUTHENTICATE"), *response, "{user}");
        assert_eq!(proof.hash(""), *rspauth, "{user}");
    }
}

#[test]
fn hashes_are_those_of_the_standard() {
    // RFC 2831, section 4.
    let proof = Proof {
        realm: "elwood.innosoft.com",
        user: "chris",
        password: "secret",
        nonce: "OA6MG9tEQGm2hh",
        cnonce: b"OA6MHXh6VqTrRk",
        uri: b"imap/elwood.innosoft.com",
        authzid: None,
    };
    assert_eq!(proof.hash("AUTHENTICATE"), "d388dad90d4bbd760a152321f2143af7");
    assert_eq!(proof.hash(""), "ea40f60335c427b5527b84dbabcdfffd");
}

#[test]
fn who_knows_the_password_is_let_in() {
    for (user, password) in [("bob", "bobsecret"), ("Zoë", "ñandú"), ("中", "国")] {
        let mut exchange = Exchange::default();
        let nonce = challenged(&mut exchange, 7);
        let token = answer(user, password, &nonce);
        let Ok(Step::Done { user: proved, token }) = exchange.step(&options(), 8, token.as_bytes())
        else {
            panic!("{user} was refused")
        };
        assert_eq!(proved, user);
        assert!(token.starts_with(b"rspauth=") && token.len() == 8 + 32);
        assert_eq!(exchange.step(&options(), 9, b""), Err(Refusal::OutOfTurn));
    }
}

#[test]
fn nonces_never_repeat_and_are_bound_to_their_exchange() {
    let mut first = Exchange::default();
    let nonce = challenged(&mut first, 1);
    let mut second = Exchange::default();
    assert_ne!(challenged(&mut second, 2), nonce);
    let replayed = answer("bob", "bobsecret", &nonce);
    let refused = second.step(&options(), 3, replayed.as_bytes());
    assert_eq!(refused, Err(Refusal::Wrong("nonce")));
}

#[test]
fn everything_else_is_refused() {
    let with = |from: &'static str, to: &'static str| refusal(move |a| a.replace(from, to));
    assert_eq!(with("response=", "response=0"), Refusal::WrongPassword);
    assert_eq!(with("username=\"bob\"", "username=\"eve\""), Refusal::UnknownUser);
    assert_eq!(with("cnonce=\"abc\"", "cnonce=\"abd\""), Refusal::WrongPassword);
    assert_eq!(with("nc=00000001", "nc=00000002"), Refusal::Wrong("nc"));
    assert_eq!(with("realm=\"zk-", "realm=\"other-"), Refusal::Wrong("realm"));
    assert_eq!(with("uri=\"zookeeper/", "uri=\"http/"), Refusal::Wrong("digest-uri"));
    assert_eq!(with("qop=auth", "qop=auth-int"), Refusal::Wrong("qop"));
    assert_eq!(with("charset=utf-8", "charset=latin"), Refusal::Wrong("charset"));
    assert_eq!(with("cnonce=", "other="), Refusal::Missing("cnonce"));
    assert_eq!(with("username=", "usernam="), Refusal::Missing("username"));
    assert_eq!(with("response=", "respons="), Refusal::Missing("response"));
    assert_eq!(refusal(|a| a + ",qop=auth"), Refusal::Garbage, "a directive twice");
    assert_eq!(refusal(|a| a + ",authzid=\"root\""), Refusal::WrongPassword, "is hashed too");
    assert_eq!(refusal(|a| a + ",x=\"open"), Refusal::Garbage);
    assert_eq!(refusal(|a| a + ",x=\"a\"b"), Refusal::Garbage);
    assert_eq!(refusal(|_| String::new()), Refusal::Missing("realm"));
    assert_eq!(refusal(|_| "no directive".to_owned()), Refusal::Garbage);
    assert_eq!(refusal(|a| a + "," + &"x".repeat(TOKEN_MAX)), Refusal::Garbage);
    let first = Exchange::Fresh.step(&options(), 1, b"x");
    assert!(matches!(first, Ok(Step::Challenge(_))), "Java does not look at the first token");
}

#[test]
fn lists_are_read_as_people_write_them() {
    let read = |text: &str| directives(text.as_bytes());
    let read = |text: &str| {
        let pairs = read(text).unwrap().into_iter();
        pairs.map(|(name, value)| (name, String::from_utf8(value).unwrap())).collect::<Vec<_>>()
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(read(""), []);
    assert_eq!(read(" A = b , c=\"d,\\\"e\\\\\" ,, "), [pair("a", "b"), pair("c", "d,\"e\\")]);
    assert_eq!(read("a=,b=\"\""), [pair("a", ""), pair("b", "")]);
}

#[test]
fn passwords_are_not_shown() {
    assert!(!format!("{:?}", options()).contains("bobsecret"));
}
