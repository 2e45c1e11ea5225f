//! What is done with a fuzzer's bytes where clients log in.
//!
//! Included by the target and by the test that runs the corpus (`crates/wk-node/tests/corpus.rs`).
//! Nothing here may panic, and nobody may get in who does not know the password, whatever the bytes.

use wk_node::sasl::{Exchange, SaslOptions, Secret, Step};

/// The answer to a challenge, which the bytes are.
pub(crate) fn sasl(bytes: &[u8]) {
    let users = [("bob".to_owned(), Secret("a password that no fuzzer has".to_owned()))].into();
    let nonce_secret = Secret("fixed, so that the corpus fits the nonce".to_owned());
    let options = SaslOptions { users, supers: Vec::new(), failed_stay: false, nonce_secret };
    let mut exchange = Exchange::default();
    assert!(matches!(exchange.step(&options, 1, b""), Ok(Step::Challenge(_))));
    assert!(exchange.step(&options, 2, bytes).is_err(), "let in");
    assert!(exchange.step(&options, 3, bytes).is_err(), "let in afterwards");
}
