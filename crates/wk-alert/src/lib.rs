//! The monitor's core.
