//! Fuzzes `expressions::expression`.
#![no_main]

#[path = "../expressions.rs"]
mod expressions;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| expressions::expression(bytes));
