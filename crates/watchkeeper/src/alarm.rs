//! The monitor's verbs: what is wrong, how bad it is, and whether anybody would hear of it.

pub(crate) mod api;
pub(crate) mod incidents;
pub(crate) mod notify;
pub(crate) mod quiet;
pub(crate) mod status;
pub(crate) mod top;
pub(crate) mod why;
