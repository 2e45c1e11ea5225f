//! How the channels fare, as samples for the rules about notifications themselves.

use wk_alert::ChannelFigures;
use wk_promql::{Labels, Sample};

/// The samples of all channels at `at` (milliseconds since 1970).
pub(crate) fn samples(figures: &[ChannelFigures], at: i64) -> Vec<Sample> {
    let mut samples = Vec::with_capacity(figures.len() * 2);
    for one in figures {
        let labels = |name| Labels::metric(name, [("channel", one.channel.as_str())]);
        let age = one.oldest.map_or(0, |oldest| at.saturating_sub(oldest.0).max(0));
        // Counts and ages far below 2^53.
        #[allow(clippy::cast_precision_loss, reason = "as above")]
        let (failures, seconds) = (one.failures as f64, age as f64 / 1000.0);
        let name = "watchkeeper_notification_failures_total";
        samples.push(Sample { labels: labels(name), at, value: failures });
        let name = "watchkeeper_notification_oldest_pending_seconds";
        samples.push(Sample { labels: labels(name), at, value: seconds });
    }
    samples
}

#[cfg(test)]
mod tests {
    use wk_proto::ids::Wall;

    use super::*;

    #[test]
    fn failures_and_the_age_of_the_oldest() {
        let figures =
            |oldest| ChannelFigures { channel: "mail".into(), failures: 3, pending: 1, oldest };
        let shown = |oldest, at| -> Vec<String> {
            let samples = samples(&[figures(oldest)], at);
            samples.iter().map(|s| format!("{} {}", s.labels, s.value)).collect()
        };
        let failures = r#"watchkeeper_notification_failures_total{channel="mail"} 3"#;
        let age = r#"watchkeeper_notification_oldest_pending_seconds{channel="mail"}"#;
        assert_eq!(shown(Some(Wall(1000)), 4500), [failures.to_owned(), format!("{age} 3.5")]);
        assert_eq!(shown(None, 4500)[1], format!("{age} 0"));
        assert_eq!(shown(Some(Wall(9000)), 4500)[1], format!("{age} 0"), "the clock was set back");
    }
}
