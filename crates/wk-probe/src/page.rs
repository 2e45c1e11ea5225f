//! A metrics page as a server prints it: Prometheus text 0.0.4 and OpenMetrics.
//!
//! The page comes from the network in pieces and may lie in every way: it may never end, hold lines
//! of a megabyte or a million series. [`PageReader`] takes the pieces, keeps what is sound within
//! [`PageLimits`], says of the first unsound lines where and why, and never panics. Exemplars and
//! timestamps are read and dropped: what counts is when we looked.

use std::collections::BTreeMap;
use std::fmt;

mod line;

use line::Line;

/// Bounds of one page. What goes beyond is left out and said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimits {
    /// Bytes read in all; the rest of the page is cut. Default 4 MiB (Apache's leader: 36 kB).
    pub bytes_max: usize,
    /// Bytes of a line; a longer one is skipped as unsound. Default 16 KiB.
    pub line_max: usize,
    /// Series kept; the rest of the page is cut. Default 20 000.
    pub series_max: usize,
    /// Labels of a series; one with more is skipped as unsound. Default 32.
    pub labels_max: usize,
    /// Bytes of a metric's or label's name and of a label's value. Default 1024.
    pub text_max: usize,
}

impl Default for PageLimits {
    fn default() -> Self {
        let (bytes_max, line_max) = (4 << 20, 16 << 10);
        Self { bytes_max, line_max, series_max: 20_000, labels_max: 32, text_max: 1024 }
    }
}

/// What the page says a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Quantiles, `_sum` and `_count`.
    Summary,
    /// Buckets, `_sum` and `_count`.
    Histogram,
    /// Anything else.
    Untyped,
}

/// One sample of the page.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The metric's name.
    pub name: String,
    /// Its labels as printed.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: f64,
}

impl Series {
    /// A series without labels.
    pub fn bare(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), labels: Vec::new(), value }
    }
}

/// A line that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageFault {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for PageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// What of a page was kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The sound samples, in order.
    pub series: Vec<Series>,
    /// What the page declares of its metrics.
    pub kinds: BTreeMap<String, Kind>,
    /// The first unsound lines, at most [`FAULTS_KEPT`].
    pub faults: Vec<PageFault>,
    /// How many lines were unsound.
    pub fault_count: usize,
    /// Why the page was not read to its end, if it was not.
    pub cut: Option<String>,
}

/// So many faults are kept with their reason; the others are counted.
pub const FAULTS_KEPT: usize = 4;

impl Page {
    /// Reads a whole page.
    pub fn parse(bytes: &[u8], limits: PageLimits) -> Self {
        let mut reader = PageReader::new(limits);
        reader.push(bytes);
        reader.finish()
    }

    /// The value of a series without labels.
    pub fn value(&self, name: &str) -> Option<f64> {
        let bare = |series: &&Series| series.labels.is_empty() && series.name == name;
        self.series.iter().find(bare).map(|series| series.value)
    }
}

/// Reads a page piece by piece.
#[derive(Clone, Debug)]
pub struct PageReader {
    limits: PageLimits,
    page: Page,
    /// The begun line; never longer than `line_max`.
    pending: Vec<u8>,
    /// The begun line is too long: its rest is skipped.
    skipping: bool,
    /// Lines begun so far.
    line: usize,
    bytes: usize,
    ended: bool,
}

/// Whether more of the page is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// Go on.
    Wanted,
    /// A bound is reached, or the page said `# EOF`: read no further.
    Enough,
}

impl PageReader {
    /// Begins a page.
    pub fn new(limits: PageLimits) -> Self {
        let page = Page::default();
        Self { limits, page, pending: Vec::new(), skipping: false, line: 0, bytes: 0, ended: false }
    }

    /// Takes the next piece.
    pub fn push(&mut self, piece: &[u8]) -> More {
        let room = self.limits.bytes_max - self.bytes;
        let taken = &piece[..piece.len().min(room)];
        self.bytes += taken.len();
        for part in taken.split_inclusive(|byte| *byte == b'\n') {
            if self.ended {
                return More::Enough;
            }
            match part.strip_suffix(b"\n") {
                Some(end) => {
                    self.hold(end);
                    self.end_line();
                }
                None => self.hold(part),
            }
        }
        if taken.len() < piece.len() {
            self.cut(format!("longer than {} bytes", self.limits.bytes_max));
        }
        if self.ended { More::Enough } else { More::Wanted }
    }

    /// The page is over.
    pub fn finish(mut self) -> Page {
        if !self.ended && (!self.pending.is_empty() || self.skipping) {
            self.end_line();
        }
        self.page
    }

    /// The page ended before its end, for a reason that the transport knows.
    pub fn finish_early(mut self, reason: String) -> Page {
        // The begun line may be half of a number: it is not read.
        self.cut(reason);
        self.page
    }

    fn hold(&mut self, part: &[u8]) {
        if self.skipping || self.pending.len() + part.len() > self.limits.line_max {
            self.skipping = true;
            self.pending.clear();
        } else {
            self.pending.extend_from_slice(part);
        }
    }

    fn end_line(&mut self) {
        self.line += 1;
        let bytes = std::mem::take(&mut self.pending);
        if std::mem::take(&mut self.skipping) {
            self.fault(format!("longer than {} bytes", self.limits.line_max));
        } else {
            match std::str::from_utf8(&bytes) {
                Ok(text) => self.read(text.strip_suffix('\r').unwrap_or(text)),
                Err(_) => self.fault("not UTF-8".to_owned()),
            }
        }
        self.pending = bytes;
        self.pending.clear();
    }

    fn read(&mut self, text: &str) {
        match line::read(text, &self.limits) {
            Ok(Line::Nothing) => (),
            Ok(Line::End) => self.ended = true,
            Ok(Line::Kind(name, kind)) => {
                // A page may declare without end what it never shows.
                if self.page.kinds.len() < self.limits.series_max {
                    self.page.kinds.insert(name.to_owned(), kind);
                }
            }
            Ok(Line::Series(series)) if self.page.series.len() < self.limits.series_max => {
                self.page.series.push(series);
            }
            Ok(Line::Series(_)) => {
                self.cut(format!("more than {} series", self.limits.series_max));
            }
            Err(reason) => self.fault(reason),
        }
    }

    fn cut(&mut self, reason: String) {
        self.ended = true;
        self.page.cut.get_or_insert(reason);
    }

    fn fault(&mut self, reason: String) {
        self.page.fault_count += 1;
        if self.page.faults.len() < FAULTS_KEPT {
            self.page.faults.push(PageFault { line: self.line, reason });
        }
    }
}

#[cfg(test)]
mod tests;
