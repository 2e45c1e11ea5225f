//! Four-letter words: one word on a connection of its own, text until the server closes.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::transport::{Connect, Tcp};

/// The longest answer taken; `dump` and `wchp` of a large server are cut there.
const ANSWER_MAX: u64 = 16 << 20;

/// Asks the server at `address` (`host:port`) a four-letter word and returns its whole answer.
///
/// # Errors
/// Any I/O error; `TimedOut` when the answer is not complete within `limit`.
pub async fn four_letter(address: &str, word: &str, limit: Duration) -> io::Result<String> {
    four_letter_over(&Tcp, address, word, limit).await
}

/// The same over connections of `connector`: a secure port answers words, too.
///
/// # Errors
/// As [`four_letter`].
pub async fn four_letter_over(
    connector: &dyn Connect,
    address: &str,
    word: &str,
    limit: Duration,
) -> io::Result<String> {
    let ask = async {
        let mut stream = connector.connect(address).await?;
        stream.write_all(word.as_bytes()).await?;
        stream.flush().await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    match timeout(limit, ask).await {
        Ok(answer) => answer,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
    }
}
