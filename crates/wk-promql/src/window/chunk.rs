//! Samples as bits: times as differences of differences, values as the bits that changed
//! (the scheme of Facebook's Gorilla). A sample on time whose value stays takes two bits.

use std::iter;

/// How many samples a chunk takes; expiry and eviction are by whole chunks.
pub(super) const CHUNK_SAMPLES: u16 = 240;

/// Widths of differences of differences, by their prefix: `10`, `110`, `1110`, `1111`.
const TIME_WIDTHS: [u32; 4] = [7, 12, 20, 64];

/// A run of samples of one series, oldest first.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    first: (i64, f64),
    bits: Vec<u8>,
    len: usize, // bits used of `bits`
    count: u16, // 1 to CHUNK_SAMPLES
    writer: Writer,
}

/// What the next sample is compared with.
#[derive(Clone, Copy, Debug)]
struct Writer {
    at: i64,
    delta: i64,
    value: u64,
    /// Leading zeros and width of the last value that was written in full; width 0 for none.
    window: (u32, u32),
}

impl Chunk {
    pub(super) fn new(at: i64, value: f64) -> Self {
        let writer = Writer { at, delta: 0, value: value.to_bits(), window: (0, 0) };
        Self { first: (at, value), bits: Vec::new(), len: 0, count: 1, writer }
    }

    /// Adds a sample younger than all others; false where the chunk is full.
    pub(super) fn push(&mut self, at: i64, value: f64) -> bool {
        if self.count >= CHUNK_SAMPLES {
            return false;
        }
        // Wrapping: the reader wraps the same way back.
        let delta = at.wrapping_sub(self.writer.at);
        self.push_time(delta.wrapping_sub(self.writer.delta));
        self.push_value(value.to_bits());
        self.writer.at = at;
        self.writer.delta = delta;
        self.writer.value = value.to_bits();
        self.count += 1;
        true
    }

    /// Gives back what its vector has taken beyond need.
    pub(super) fn close(&mut self) {
        self.bits.shrink_to_fit();
    }

    /// The oldest sample's time.
    pub(super) fn first_at(&self) -> i64 {
        self.first.0
    }

    /// The newest sample.
    pub(super) fn last(&self) -> (i64, f64) {
        (self.writer.at, f64::from_bits(self.writer.value))
    }

    pub(super) fn samples(&self) -> usize {
        usize::from(self.count)
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.bits.capacity()
    }

    /// All samples, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, f64)> + '_ {
        let mut reader = Reader { bits: &self.bits, at: 0 };
        let (at, value) = self.first;
        let mut state = Writer { at, delta: 0, value: value.to_bits(), window: (0, 0) };
        let others = (1..self.count).map_while(move |_| {
            state.delta = state.delta.wrapping_add(reader.time()?);
            state.at = state.at.wrapping_add(state.delta);
            state.value ^= reader.value(&mut state.window)?;
            Some((state.at, f64::from_bits(state.value)))
        });
        iter::once(self.first).chain(others)
    }

    fn push_bits(&mut self, value: u64, width: u32) {
        for bit in (0..width).rev() {
            let place = self.len % 8;
            if place == 0 {
                self.bits.push(0);
            }
            if value >> bit & 1 == 1
                && let Some(last) = self.bits.last_mut()
            {
                *last |= 0x80 >> place;
            }
            self.len += 1;
        }
    }

    fn push_time(&mut self, difference: i64) {
        if difference == 0 {
            return self.push_bits(0, 1);
        }
        for (prefix, width) in (1..).zip(TIME_WIDTHS) {
            let half = 1_i64.checked_shl(width - 1).filter(|_| width < 64);
            if half.is_none_or(|half| (-half..half).contains(&difference)) {
                // Ones, then a zero except after the last prefix.
                let ones = (1_u64 << prefix) - 1;
                match half {
                    Some(_) => self.push_bits(ones << 1, prefix + 1),
                    None => self.push_bits(ones, prefix),
                }
                return self.push_bits(difference.cast_unsigned(), width);
            }
        }
    }

    fn push_value(&mut self, value: u64) {
        let changed = value ^ self.writer.value;
        if changed == 0 {
            return self.push_bits(0, 1);
        }
        // Five bits hold the leading zeros.
        let leading = changed.leading_zeros().min(31);
        let trailing = changed.trailing_zeros();
        let (known_leading, known_width) = self.writer.window;
        let known_trailing = 64_u32.saturating_sub(known_leading + known_width);
        if known_width > 0 && leading >= known_leading && trailing >= known_trailing {
            self.push_bits(0b10, 2);
            return self.push_bits(changed >> known_trailing, known_width);
        }
        let width = 64 - leading - trailing;
        self.push_bits(0b11, 2);
        self.push_bits(u64::from(leading), 5);
        // 1 to 64 as 0 to 63.
        self.push_bits(u64::from(width - 1), 6);
        self.push_bits(changed >> trailing, width);
        self.writer.window = (leading, width);
    }
}

struct Reader<'b> {
    bits: &'b [u8],
    at: usize,
}

impl Reader<'_> {
    fn bits(&mut self, width: u32) -> Option<u64> {
        let mut value = 0;
        let mut left = width;
        while left > 0 {
            let byte = u64::from(*self.bits.get(self.at / 8)?);
            let free = 8 - u32::try_from(self.at % 8).ok()?;
            let take = left.min(free);
            let part = byte >> (free - take) & ((1 << take) - 1);
            value = value << take | part;
            left -= take;
            self.at += usize::try_from(take).ok()?;
        }
        Some(value)
    }

    fn time(&mut self) -> Option<i64> {
        let mut ones = 0;
        while ones < TIME_WIDTHS.len() && self.bits(1)? == 1 {
            ones += 1;
        }
        let Some(width) = ones.checked_sub(1).and_then(|prefix| TIME_WIDTHS.get(prefix)) else {
            return Some(0);
        };
        let shift = 64 - width;
        // Its sign is the highest of its bits.
        Some((self.bits(*width)? << shift).cast_signed() >> shift)
    }

    /// The bits that changed.
    fn value(&mut self, window: &mut (u32, u32)) -> Option<u64> {
        if self.bits(1)? == 0 {
            return Some(0);
        }
        if self.bits(1)? == 1 {
            let leading = u32::try_from(self.bits(5)?).ok()?;
            let width = u32::try_from(self.bits(6)?).ok()? + 1;
            *window = (leading, width);
        }
        let (leading, width) = *window;
        Some(self.bits(width)? << 64_u32.saturating_sub(leading + width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::STALE;
    use proptest::prelude::*;

    fn chunk_of(samples: &[(i64, f64)]) -> Chunk {
        let mut chunk = Chunk::new(samples[0].0, samples[0].1);
        for (at, value) in &samples[1..] {
            assert!(chunk.push(*at, *value));
        }
        chunk
    }

    #[test]
    fn a_sample_on_time_that_stays_takes_two_bits() {
        let samples: Vec<(i64, f64)> =
            (0..240).map(|n| (1_700_000_000_000 + n * 1000, 1.0)).collect();
        let mut chunk = chunk_of(&samples);
        chunk.close();
        assert_eq!(chunk.iter().collect::<Vec<_>>(), samples);
        // 238 samples of 2 bits, and the first difference.
        assert!(chunk.bits.len() <= 238 * 2 / 8 + 4, "{} bytes", chunk.bits.len());
        assert!(!chunk.push(samples[239].0 + 1000, 1.0), "a full chunk takes no more");
    }

    #[test]
    fn times_at_the_edges_of_every_width_come_back() {
        for half in [64_i64, 2048, 1 << 19, 1 << 40] {
            for difference in [-half - 1, -half, 1 - half, half - 1, half, half + 1] {
                let (first, delta) = (0, 1 << 41);
                let (second, third) = (delta, 2 * delta + difference);
                let samples = [(first, 1.0), (second, 1.0), (third, 2.0), (third + 1, 2.0)];
                let chunk = chunk_of(&samples);
                assert_eq!(chunk.iter().collect::<Vec<_>>(), samples, "{difference}");
            }
        }
    }

    fn values() -> impl Strategy<Value = f64> {
        prop_oneof![
            3 => (-50_i32..50).prop_map(f64::from),
            2 => any::<f64>(),
            1 => any::<u64>().prop_map(f64::from_bits),
            1 => Just(STALE),
        ]
    }

    fn gaps() -> impl Strategy<Value = i64> {
        prop_oneof![
            4 => 990_i64..1010,
            1 => 1_i64..5_000_000,
            1 => Just(1000_i64),
            1 => 1..i64::MAX / 512,
        ]
    }

    proptest! {
        #[test]
        fn prop_what_goes_in_comes_out(
            start in -1_000_000_i64..1_800_000_000_000,
            steps in prop::collection::vec((gaps(), values()), 1..240),
        ) {
            let mut at = start;
            let samples: Vec<(i64, f64)> = steps
                .into_iter()
                .map(|(gap, value)| {
                    at = at.saturating_add(gap);
                    (at, value)
                })
                .collect();
            let chunk = chunk_of(&samples);
            let bits = |samples: &[(i64, f64)]| -> Vec<(i64, u64)> {
                samples.iter().map(|(at, value)| (*at, value.to_bits())).collect()
            };
            prop_assert_eq!(bits(&chunk.iter().collect::<Vec<_>>()), bits(&samples));
        }
    }
}
