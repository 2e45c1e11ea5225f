//! Samples of one server: labels of ours, and an end for each series that is no more.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use wk_promql::{Labels, STALE, Sample};

use super::{Outcome, Target};
use crate::figures::Figures;
use crate::page::Series;

/// A fact beside the figures: metric, a label of its own, value.
pub(super) type Fact = (&'static str, Option<(&'static str, String)>, f64);

/// The series of one server that have a sample which is no end.
#[derive(Debug)]
pub(super) struct SeriesOfServer {
    common: Vec<(String, String)>,
    /// `up`, unless it cannot be told.
    up: BTreeSet<Labels>,
    figures: BTreeSet<Labels>,
    /// The labels of the last figures in the page's order, if each row was a series of its own: a
    /// page rarely changes its rows, and then nothing of them is made or compared anew.
    rows: Vec<Labels>,
    facts: BTreeSet<Labels>,
    leading_since: Option<Instant>,
}

impl SeriesOfServer {
    pub(super) fn new(target: &Target) -> Self {
        let labels = [
            ("ensemble", target.ensemble.as_str()),
            ("instance", &target.instance),
            ("job", "zookeeper"),
            ("site", target.site.as_deref().unwrap_or_default()),
        ];
        let common = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            common: common.into(),
            up: BTreeSet::new(),
            figures: BTreeSet::new(),
            rows: Vec::new(),
            facts: BTreeSet::new(),
            leading_since: None,
        }
    }

    /// Whether figures of it stand.
    pub(super) fn has_figures(&self) -> bool {
        !self.figures.is_empty()
    }

    /// How long it has been seen to lead.
    pub(super) fn leading_for(&self) -> Duration {
        self.leading_since.map(|since| since.elapsed()).unwrap_or_default()
    }

    /// The samples of one look. Where it serves and `figures` is `None`, those before still stand.
    pub(super) fn take(
        &mut self,
        at: i64,
        outcome: &Outcome,
        figures: Option<&Figures>,
        facts: &[Fact],
    ) -> Vec<Sample> {
        let leads = matches!(outcome, Outcome::Serving { mode } if mode == "leader");
        let since = self.leading_since.filter(|_| leads);
        self.leading_since = leads.then(|| since.unwrap_or_else(Instant::now));
        let (answers, up) = match outcome {
            Outcome::Serving { .. } | Outcome::NotServing { .. } => (true, Some(1.0)),
            Outcome::NoAnswer { .. } => (false, Some(0.0)),
            // Neither is true.
            Outcome::Barred { .. } => (false, None),
        };
        let up = up.map(|value| (Labels::metric("up", self.common()), value));
        let (mut samples, up) = (Vec::new(), up.into_iter().collect());
        replace(&mut self.up, up, at, &mut samples);
        if figures.is_some() || !matches!(outcome, Outcome::Serving { .. }) {
            let series = figures.map(|figures| figures.series.as_slice()).unwrap_or_default();
            if self.has_rows_of(series) {
                let rows = self.rows.iter().cloned().zip(series);
                samples.extend(rows.map(|(labels, row)| Sample { labels, at, value: row.value }));
            } else {
                let labelled = series.iter().map(|series| (self.labels(series), series.value));
                let labelled: Vec<_> = labelled.collect();
                let begin = samples.len();
                replace(&mut self.figures, labelled, at, &mut samples);
                let unique = self.figures.len() == series.len();
                let rows = samples[begin..].iter().take(series.len()).filter(|_| unique);
                self.rows = rows.map(|sample| sample.labels.clone()).collect();
            }
        }
        let labelled = facts.iter().filter(|_| answers).map(|(name, label, value)| {
            let own = label.as_ref().map(|(name, value)| (*name, value.as_str()));
            (Labels::metric(name, own.into_iter().chain(self.common())), *value)
        });
        let labelled: Vec<_> = labelled.collect();
        replace(&mut self.facts, labelled, at, &mut samples);
        samples
    }

    fn common(&self) -> impl Iterator<Item = (&str, &str)> {
        self.common.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether these are the rows of the last figures, in the same order.
    fn has_rows_of(&self, series: &[Series]) -> bool {
        let ours = self.common().filter(|(_, value)| !value.is_empty()).count();
        let is_of = |(labels, row): (&Labels, &Series)| {
            // No label of the page gave way to one of ours.
            labels.len() == 1 + row.labels.len() + ours
                && labels.name() == row.name
                && row.labels.iter().all(|(name, value)| labels.get(name) == value)
        };
        !series.is_empty()
            && self.rows.len() == series.len()
            && self.rows.iter().zip(series).all(is_of)
    }

    /// A label of the page that is called as one of ours gives way to it.
    fn labels(&self, series: &Series) -> Labels {
        let own = series.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let own = own.filter(|(name, _)| !name.starts_with("__"));
        Labels::metric(&series.name, own.chain(self.common()))
    }
}

/// Ends those of `live` that are not in `now`, which takes their place.
fn replace(
    live: &mut BTreeSet<Labels>,
    now: Vec<(Labels, f64)>,
    at: i64,
    samples: &mut Vec<Sample>,
) {
    let mut known = BTreeSet::new();
    for (labels, value) in now {
        // The same set of labels, and not an equal one, takes no room again.
        let labels = live.get(&labels).cloned().unwrap_or(labels);
        // Two series of the page may become one under our labels: the first counts.
        if known.insert(labels.clone()) {
            samples.push(Sample { labels, at, value });
        }
    }
    let ended = live.difference(&known).cloned();
    samples.extend(ended.map(|labels| Sample { labels, at, value: STALE }));
    *live = known;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(names: &[&str]) -> Figures {
        let series = names.iter().map(|name| Series::bare(*name, 1.0)).collect();
        Figures { series, ..Figures::default() }
    }

    fn shown(samples: &[Sample]) -> Vec<String> {
        samples.iter().map(|s| format!("{} {}", s.labels.name(), s.value)).collect()
    }

    #[test]
    fn what_vanishes_ends_in_the_same_look_and_the_rest_stays() {
        let target = Target {
            ensemble: "e".into(),
            site: Some("x".into()),
            instance: "h:1".into(),
            ..Target::default()
        };
        let mut series = SeriesOfServer::new(&target);
        let serving = Outcome::Serving { mode: "leader".into() };
        let deaf = Outcome::NotServing { answer: "no".into() };
        let version = |v: &str| {
            vec![("watchkeeper_server_version_info", Some(("version", v.to_owned())), 1.0)]
        };
        let all = figures(&["znode_count", "looking_count"]);
        let first = series.take(1, &serving, Some(&all), &version("3.9.5"));
        let up = r#"up{ensemble="e", instance="h:1", job="zookeeper", site="x"}"#;
        assert_eq!(first[0].labels.to_string(), up);
        assert_eq!(first.len(), 4);
        let between = series.take(2, &serving, None, &version("3.9.5"));
        assert_eq!(shown(&between), ["up 1", "watchkeeper_server_version_info 1"]);
        let lost = figures(&["looking_count"]);
        let lost = series.take(3, &deaf, Some(&lost), &version("3.8.6"));
        let want = [
            "up 1",
            "looking_count 1",
            "znode_count NaN",
            "watchkeeper_server_version_info 1",
            "watchkeeper_server_version_info NaN",
        ];
        assert_eq!(shown(&lost), want);
        assert!(wk_promql::is_stale(lost[2].value));
        let silence = super::super::Silence::Full;
        let gone = Outcome::NoAnswer { reason: "refused".into(), silence };
        let gone = series.take(4, &gone, None, &version("3.8.6"));
        assert_eq!(
            shown(&gone),
            ["up 0", "looking_count NaN", "watchkeeper_server_version_info NaN"]
        );
        assert_eq!(shown(&series.take(5, &deaf, None, &[])), ["up 1"]);
        let barred = Outcome::Barred { reason: "TLS".into() };
        let ends = series.take(6, &barred, None, &[]);
        assert!(shown(&ends) == ["up NaN"] && wk_promql::is_stale(ends[0].value), "not down");
        assert_eq!(series.take(7, &barred, None, &[]).len(), 0);
    }

    #[test]
    fn rows_that_stay_keep_their_labels_and_any_change_is_noticed() {
        let target = Target { instance: "h:1".into(), ..Target::default() };
        let mut series = SeriesOfServer::new(&target);
        let serving = Outcome::Serving { mode: "leader".into() };
        let quantile = |quantile: &str, value| {
            let labels = vec![("quantile".to_owned(), quantile.to_owned())];
            Series { name: "a".into(), labels, value }
        };
        let mut take = |rows: Vec<Series>| {
            let page = Figures { series: rows, ..Figures::default() };
            let samples = series.take(1, &serving, Some(&page), &[]);
            samples[1..].iter().map(|s| format!("{} {}", s.labels, s.value)).collect::<Vec<_>>()
        };
        let row = |quantile: &str, value: &str| {
            format!("a{{instance=\"h:1\", job=\"zookeeper\", quantile=\"{quantile}\"}} {value}")
        };
        for value in [1.0, 2.0] {
            let shown = take(vec![quantile("0.5", value), quantile("0.9", value + 1.0)]);
            assert_eq!(
                shown,
                [row("0.5", &value.to_string()), row("0.9", &(value + 1.0).to_string())]
            );
        }
        // The same rows in another order, one that changes its label, one more, one less.
        let turned = take(vec![quantile("0.9", 1.0), quantile("0.5", 2.0)]);
        assert_eq!(turned, [row("0.9", "1"), row("0.5", "2")]);
        let other = take(vec![quantile("0.9", 1.0), quantile("0.99", 2.0)]);
        assert_eq!(other, [row("0.9", "1"), row("0.99", "2"), row("0.5", "NaN")]);
        let less = take(vec![quantile("0.9", 1.0)]);
        assert_eq!(less, [row("0.9", "1"), row("0.99", "NaN")]);
        // Twice the same: the first counts, as often as it is shown.
        for _ in 0..2 {
            assert_eq!(take(vec![quantile("0.9", 1.0), quantile("0.9", 5.0)]), [row("0.9", "1")]);
        }
        assert_eq!(take(vec![]), [row("0.9", "NaN")]);
    }

    #[test]
    fn a_page_cannot_pose_as_another_server() {
        let target = Target { instance: "h:1".into(), ..Target::default() };
        let mut series = SeriesOfServer::new(&target);
        let lie = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let labels = vec![lie("instance", "other:1"), lie("job", "x"), lie("__name__", "up")];
        let page = Figures {
            series: vec![Series { name: "a".into(), labels, value: 1.0 }],
            ..Figures::default()
        };
        let serving = Outcome::Serving { mode: "?".into() };
        let samples = series.take(1, &serving, Some(&page), &[]);
        assert_eq!(samples[1].labels.to_string(), r#"a{instance="h:1", job="zookeeper"}"#);
    }
}
