//! Fuzzes `logins::sasl`.
#![no_main]

#[path = "../logins.rs"]
mod logins;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| logins::sasl(bytes));
