//! What the outside sees over HTTP: pages, API, metrics, and Apache's admin commands.
//!
//! Everything is rendered from what the handles of monitor and server give; nothing is decided
//! here. Reading order: [`web`] (the listener of `up` and its routes), `guard` (who is answered),
//! `pages`, `api`, `metrics` (three pages for Prometheus), [`admin`] (the AdminServer and the
//! metrics page of `server`).

pub mod admin;
pub mod web;

mod acts;
mod api;
mod assets;
#[cfg(test)]
mod fixture;
mod guard;
mod handlers;
mod lang;
mod listener;
mod lone_page;
mod metrics;
mod pages;
mod runbook;

pub use lang::Lang;
pub use lone_page::{MakePage, serve_metrics};
pub use web::{Web, WebConfig, WebError};
