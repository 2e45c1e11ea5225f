//! A server on loopback that answers words and GETs as told, on one port.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What comes back.
#[derive(Clone)]
pub(crate) enum Say {
    /// These bytes, then the end.
    Bytes(Vec<u8>),
    /// The first, then the second for ever; `{}` in it is a number.
    Endless(String, String),
    /// The text, then a byte now and then for ever.
    Trickle(String),
    /// Nothing, and no end.
    Hang,
}

impl Say {
    pub(crate) fn text(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }

    /// As an HTTP answer.
    pub(crate) fn page(body: &str) -> Self {
        let length = body.len();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
        Self::text(&format!("{head}{body}"))
    }
}

#[derive(Default)]
struct Script {
    answers: BTreeMap<String, Say>,
    asked: BTreeMap<String, usize>,
}

pub(crate) struct Stub {
    port: u16,
    script: Arc<Mutex<Script>>,
    _listening: JoinSet<()>,
}

impl Stub {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = Arc::new(Mutex::new(Script::default()));
        let mut listening = JoinSet::new();
        let shared = Arc::clone(&script);
        listening.spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                serving.spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { port, script, _listening: listening }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What a word or a path is answered from now on.
    pub(crate) fn say(&self, what: &str, say: Say) {
        self.script.lock().unwrap().answers.insert(what.to_owned(), say);
    }

    /// How often it was asked.
    pub(crate) fn asked(&self, what: &str) -> usize {
        self.script.lock().unwrap().asked.get(what).copied().unwrap_or_default()
    }
}

async fn serve(mut stream: TcpStream, script: Arc<Mutex<Script>>) {
    let mut asked = Vec::new();
    let mut piece = [0; 1024];
    let what = loop {
        let Ok(length @ 1..) = stream.read(&mut piece).await else { return };
        asked.extend_from_slice(&piece[..length]);
        let text = String::from_utf8_lossy(&asked).into_owned();
        if let Some(rest) = text.strip_prefix("GET ") {
            if text.contains("\r\n\r\n") {
                break rest.split(' ').next().unwrap().to_owned();
            }
        } else if text.len() >= 4 {
            break text[..4].to_owned();
        }
    };
    let say = {
        let mut script = script.lock().unwrap();
        *script.asked.entry(what.clone()).or_default() += 1;
        script.answers.get(&what).cloned()
    };
    // A reader that goes away early is no fault of the stub.
    let _ = answer(stream, say).await;
}

async fn answer(mut stream: TcpStream, say: Option<Say>) -> std::io::Result<()> {
    match say {
        None => stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await?,
        Some(Say::Bytes(bytes)) => stream.write_all(&bytes).await?,
        Some(Say::Endless(head, more)) => {
            stream.write_all(head.as_bytes()).await?;
            for number in 0_u64.. {
                stream.write_all(more.replace("{}", &number.to_string()).as_bytes()).await?;
            }
        }
        Some(Say::Trickle(text)) => {
            stream.write_all(text.as_bytes()).await?;
            loop {
                tokio::time::sleep(Duration::from_millis(20)).await;
                stream.write_all(b"#").await?;
            }
        }
        Some(Say::Hang) => std::future::pending().await,
    }
    stream.shutdown().await
}
