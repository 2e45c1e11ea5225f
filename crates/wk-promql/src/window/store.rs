//! The chunks of one series.

use std::collections::VecDeque;

use super::chunk::Chunk;

/// One series' samples: full chunks and the one that grows, oldest first.
#[derive(Debug)]
pub(super) struct Store {
    full: VecDeque<Chunk>,
    open: Chunk,
}

impl Store {
    pub(super) fn new(at: i64, value: f64) -> Self {
        Self { full: VecDeque::new(), open: Chunk::new(at, value) }
    }

    /// The newest sample.
    pub(super) fn last(&self) -> (i64, f64) {
        self.open.last()
    }

    /// Adds a sample younger than all others. Gives the bytes of what changed, before and after.
    pub(super) fn push(&mut self, at: i64, value: f64) -> (usize, usize) {
        let before = self.open.bytes();
        if self.open.push(at, value) {
            return (before, self.open.bytes());
        }
        self.open.close();
        let full = std::mem::replace(&mut self.open, Chunk::new(at, value));
        let after = full.bytes() + self.open.bytes();
        self.full.push_back(full);
        (before, after)
    }

    /// Drops the oldest full chunk: its samples and its bytes. None where only the open one is
    /// left.
    pub(super) fn drop_oldest(&mut self) -> Option<(usize, usize)> {
        self.full.pop_front().map(|chunk| (chunk.samples(), chunk.bytes()))
    }

    /// Drops the chunks that end before `cutoff`, and says whether any sample is left.
    pub(super) fn trim(&mut self, cutoff: i64) -> bool {
        while self.full.front().is_some_and(|chunk| chunk.last().0 < cutoff) {
            self.full.pop_front();
        }
        !self.full.is_empty() || self.open.last().0 >= cutoff
    }

    pub(super) fn samples(&self) -> usize {
        self.chunks().map(Chunk::samples).sum()
    }

    pub(super) fn bytes(&self) -> usize {
        self.chunks().map(Chunk::bytes).sum()
    }

    fn chunks(&self) -> impl DoubleEndedIterator<Item = &Chunk> {
        self.full.iter().chain(std::iter::once(&self.open))
    }

    /// The samples with `after < at <= upto`, oldest first.
    pub(super) fn between(&self, after: i64, upto: i64) -> impl Iterator<Item = (i64, f64)> + '_ {
        self.chunks()
            .skip_while(move |chunk| chunk.last().0 <= after)
            .take_while(move |chunk| chunk.first_at() <= upto)
            .flat_map(Chunk::iter)
            .skip_while(move |(at, _)| *at <= after)
            .take_while(move |(at, _)| *at <= upto)
    }

    /// The newest sample with `after < at <= upto`.
    pub(super) fn latest(&self, after: i64, upto: i64) -> Option<(i64, f64)> {
        let last = self.last();
        let newest = if last.0 <= upto {
            Some(last)
        } else {
            let chunk = self.chunks().rev().find(|chunk| chunk.first_at() <= upto)?;
            chunk.iter().take_while(|(at, _)| *at <= upto).last()
        };
        newest.filter(|(at, _)| *at > after)
    }
}
