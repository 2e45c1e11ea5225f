//! Wire and disk records.
