//! The version that clients, probes and exporters see.

/// `3.9.5-watchkeeper-<version>-<commit>, built on <date>`: the release of Apache's server that
/// this one stands in for comes first, because clients parse the digits before the first dash.
pub const VERSION: &str = concat!(
    "3.9.5-watchkeeper-",
    env!("CARGO_PKG_VERSION"),
    "-",
    env!("WATCHKEEPER_COMMIT"),
    ", built on ",
    env!("WATCHKEEPER_COMMIT_DATE")
);

#[cfg(test)]
mod tests {
    use super::VERSION;

    #[test]
    fn digits_come_first_and_the_date_is_apaches_shape() {
        // What kazoo does with the line of `envi`.
        let digits: Vec<u32> =
            VERSION.split('-').next().unwrap().split('.').map(|n| n.parse().unwrap()).collect();
        assert_eq!(digits, [3, 9, 5]);
        let (_, date) = VERSION.split_once(", built on ").unwrap();
        let shape: String =
            date.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        assert_eq!(shape, "9999-99-99 99:99 UTC");
    }
}
