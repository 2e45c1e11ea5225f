//! Looks at servers from outside: pages and words, one set of names, discovery, the canary.

pub mod canary;
pub mod figures;
mod names;
pub mod page;
pub mod words;
