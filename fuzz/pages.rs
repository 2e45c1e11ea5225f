//! What is done with a fuzzer's bytes as a page or an answer of a server that we look at.
//!
//! Included by the target and by the test that runs the corpus (`crates/wk-probe/tests/corpus.rs`).
//! Nothing here may panic, and the bounds hold, whatever the bytes.

use wk_probe::figures::Figures;
use wk_probe::page::{Page, PageLimits, PageReader};
use wk_probe::words::{Answer, Conf, Srvr};

/// A page in one piece and in many, a word's answer, AdminServer's answer.
pub(crate) fn page(bytes: &[u8]) {
    let limits = PageLimits { series_max: 50, line_max: 200, ..PageLimits::default() };
    let whole = Page::parse(bytes, limits);
    assert!(whole.series.len() <= 50);
    let mut reader = PageReader::new(limits);
    for piece in bytes.chunks(7) {
        reader.push(piece);
    }
    assert_eq!(format!("{:?}", reader.finish()), format!("{whole:?}"));
    let figures = Figures::from_page(whole);
    let _ = (figures.mode(), figures.serves());
    let text = String::from_utf8_lossy(bytes).into_owned();
    let _ = Figures::from_mntr(&text);
    let _ = Figures::from_srvr(&Srvr::parse(&text));
    let _ = Conf::parse(&text);
    if let Ok(serde_json::Value::Object(object)) = serde_json::from_str(&text) {
        let _ = Figures::from_monitor(&object);
    }
    let _ = Answer::read(text);
}
