//! Fuzzes `pages::page`.
#![no_main]

#[path = "../pages.rs"]
mod pages;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pages::page(bytes));
