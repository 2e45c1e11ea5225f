//! Looks at servers from outside: pages and words, one set of names, discovery, the canary.
//!
//! [`look`] is where it comes together: one look at one server by what that server offers.
//! [`page`] reads metrics pages, [`figures`] brings what any version says to one set of names,
//! [`words`] and [`admin`] read answers, [`board`] holds what looks at one ensemble share.
//! [`canary`] writes, reads and watches instead of asking; [`doors`] tries the election ports.

pub mod admin;
pub mod board;
pub mod canary;
pub mod doors;
pub mod fetch;
pub mod figures;
pub mod look;
pub mod members;
mod names;
pub mod note;
pub mod page;
pub mod recipes;
pub mod words;
