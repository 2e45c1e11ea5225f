//! The window against a plain list of samples, and its bounds.

use proptest::prelude::*;

use super::*;
use crate::labels::STALE;

fn sample(metric: &str, node: &str, at: i64, value: f64) -> Sample {
    Sample { labels: Labels::metric(metric, [("node", node)]), at, value }
}

type Found = Vec<(String, Vec<(i64, u64)>)>;

fn select(window: &Window, matchers: &[Matcher], after: i64, upto: i64) -> Found {
    let mut found = Found::new();
    window.select(matchers, after, upto, &mut |labels, samples| {
        let samples = samples.map(|(at, value)| (at, value.to_bits())).collect();
        found.push((labels.to_string(), samples));
    });
    found
}

fn latest(window: &Window, matchers: &[Matcher], after: i64, upto: i64) -> Found {
    let mut found = Found::new();
    window.latest(matchers, after, upto, &mut |labels, (at, value)| {
        found.push((labels.to_string(), vec![(at, value.to_bits())]));
    });
    found
}

/// What a plain list gives for the same question.
fn model(kept: &[Sample], matchers: &[Matcher], after: i64, upto: i64) -> Found {
    let mut all: BTreeMap<Labels, Vec<(i64, u64)>> = BTreeMap::new();
    for Sample { labels, at, value } in kept {
        if after < *at && *at <= upto && matchers.iter().all(|matcher| matcher.matches(labels)) {
            all.entry(labels.clone()).or_default().push((*at, value.to_bits()));
        }
    }
    all.into_iter().map(|(labels, samples)| (labels.to_string(), samples)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn prop_a_window_is_a_list_of_samples(
        steps in prop::collection::vec((0..2_u8, 0..3_u8, -200_i64..900, -3_i8..3), 0..1500),
        questions in prop::collection::vec((0_i64..400_000, 0_i64..400_000, 0..5_usize), 1..8),
        retention in 1_000_i64..200_000,
    ) {
        let mut window = Window::new(WindowPolicy {
            retention_default_ms: retention,
            ..WindowPolicy::default()
        });
        let mut kept: Vec<Sample> = Vec::new();
        let mut now = 0;
        for (metric, node, gap, value) in steps {
            let at = now + gap;
            let value = if value == 2 { STALE } else { f64::from(value) / 3.0 };
            let new = sample(["a", "b"][usize::from(metric)], &node.to_string(), at, value);
            let newest = kept.iter().rev().find(|old| old.labels == new.labels);
            let want = match newest {
                Some(old) if old.at > at => Err(AppendError::OutOfOrder { newest: old.at }),
                Some(old) if old.at == at && old.value.to_bits() != value.to_bits() => {
                    Err(AppendError::Duplicate)
                }
                Some(old) if old.at == at => Ok(()),
                _ => {
                    kept.push(new.clone());
                    Ok(())
                }
            };
            prop_assert_eq!(window.append(&new), want);
            now = now.max(at);
        }
        prop_assert_eq!(window.samples(), kept.len());
        let matchers = [
            vec![Matcher::metric("a")],
            vec![Matcher::new("node", MatchOp::NotEqual, "1").unwrap()],
            vec![Matcher::metric("b"), Matcher::new("node", MatchOp::Matches, "0|2").unwrap()],
            vec![Matcher::new(NAME, MatchOp::Matches, "a|b").unwrap()],
            vec![Matcher::metric("none")],
        ];
        for (after, length, which) in &questions {
            let (matchers, upto) = (&matchers[*which], after + length);
            let want = model(&kept, matchers, *after, upto);
            prop_assert_eq!(&select(&window, matchers, *after, upto), &want);
            let newest: Found = want
                .into_iter()
                .map(|(labels, samples)| (labels, samples.last().copied().into_iter().collect()))
                .collect();
            prop_assert_eq!(latest(&window, matchers, *after, upto), newest);
        }
        // Nothing within the retention is lost, and what is gone frees its bytes.
        window.trim(now);
        let all = [Matcher::new(NAME, MatchOp::Matches, "a|b").unwrap()];
        let cutoff = now - retention;
        let want = model(&kept, &all, cutoff - 1, now);
        prop_assert_eq!(select(&window, &all, cutoff - 1, now), want);
        window.trim(now + retention + 1);
        prop_assert_eq!((window.series(), window.samples(), window.bytes()), (0, 0, 0));
    }
}

#[test]
fn a_new_series_over_the_bounds_is_refused_and_counted() {
    let policy = WindowPolicy { series_max: 2, ..WindowPolicy::default() };
    let mut window = Window::new(policy);
    for node in ["1", "2"] {
        window.append(&sample("a", node, 1, 1.0)).unwrap();
    }
    let refused = window.append(&sample("a", "3", 1, 1.0));
    assert_eq!(refused, Err(AppendError::TooManySeries { max: 2 }));
    window.append(&sample("a", "1", 2, 1.0)).unwrap();
    assert_eq!((window.refused().series, window.series()), (1, 2));
}

#[test]
fn over_its_bytes_a_window_keeps_the_newest_of_each_series() {
    let policy = WindowPolicy { bytes_max: 20_000, ..WindowPolicy::default() };
    let mut window = Window::new(policy);
    let noisy = |n: i32| f64::from(n).sin();
    for n in 0..20_000 {
        window.append(&sample("a", "1", i64::from(n), noisy(n))).unwrap();
    }
    assert!(window.bytes() <= 20_000, "{}", window.bytes());
    assert!(window.refused().evicted > 10_000 && window.samples() > 240);
    let a = [Matcher::metric("a")];
    assert_eq!(latest(&window, &a, 0, 20_000)[0].1, [(19_999, noisy(19_999).to_bits())]);
    let refused =
        (0..100).filter_map(|n| window.append(&sample("b", &n.to_string(), 1, 1.0)).err());
    assert!(refused.into_iter().all(|err| err == AppendError::TooManyBytes { max: 20_000 }));
    assert!(window.refused().bytes > 0 && window.bytes() <= 20_000);
}

#[test]
fn hostile_label_sets_are_refused_with_a_reason() {
    let mut window = Window::new(WindowPolicy::default());
    let long = "x".repeat(5000);
    let names: Vec<String> = (0..100).map(|n| format!("l{n}")).collect();
    let many = names.iter().map(|name| (name.as_str(), "v"));
    let told = [
        Labels::metric("m", [("value", long.as_str())]),
        Labels::metric("m", [(long.as_str(), "v")]),
        Labels::metric("m", many),
        Labels::new([("a", "b")]),
    ]
    .map(|labels| window.append(&Sample { labels, at: 1, value: 1.0 }).unwrap_err().to_string());
    assert_eq!(told[0], "label \"value\": name or value too long");
    assert!(told[1].starts_with("label \"xxx") && told[1].len() < 120);
    assert_eq!(told[2..], ["101 labels: at most 64", "a series without a metric name"]);
    assert_eq!((window.refused().labels, window.bytes()), (4, 0));
}

/// The figures of docs/promql.md: constant series on a regular grid are nearly free.
#[test]
fn ten_thousand_constant_series_are_nearly_free() {
    let mut window = Window::new(WindowPolicy::default());
    let labels: Vec<Labels> = (0..10_000)
        .map(|n| {
            let node = format!("node-{n:05}");
            Labels::metric(
                "watchkeeper_node_alive",
                [("ensemble", "prod"), ("group", "web"), ("node", node.as_str())],
            )
        })
        .collect();
    for at in 0..120 {
        for labels in &labels {
            let sample = Sample { labels: labels.clone(), at: at * 1000, value: 1.0 };
            window.append(&sample).unwrap();
        }
    }
    let per_series = window.bytes() / labels.len();
    // Labels, the chunk's own fields, and 30 bytes of samples.
    assert!(per_series < 450, "{per_series} bytes a series of 120 samples");
}

#[test]
fn huge_label_sets_are_refused_by_name_and_the_rest_goes_on() {
    let mut window = Window::new(WindowPolicy { series_max: 4, ..WindowPolicy::default() });
    let pairs = |count: usize| (0..count).map(|n| (format!("l{n}"), "x".to_owned()));
    let labelled = |pairs: Vec<(String, String)>| {
        let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Sample { labels: Labels::metric("m", pairs), at: 1, value: 1.0 }
    };
    // Its name is a label, too.
    let refused = window.append(&labelled(pairs(64).collect())).unwrap_err();
    assert_eq!(refused.to_string(), "65 labels: at most 64");
    let long = "v".repeat(2049);
    let refused = window.append(&labelled(vec![("big".to_owned(), long.clone())])).unwrap_err();
    assert!(refused.to_string().contains("big"), "{refused}");
    let refused = window.append(&labelled(vec![(long, "x".to_owned())])).unwrap_err();
    assert!(refused.to_string().len() < 300, "{refused}");
    assert_eq!((window.series(), window.samples()), (0, 0), "nothing of them was kept");
    window.append(&labelled(pairs(63).collect())).unwrap();
    for node in ["1", "2", "3"] {
        window.append(&sample("a", node, 1, 1.0)).unwrap();
    }
    let refused = window.append(&sample("a", "4", 1, 1.0)).unwrap_err();
    assert_eq!(refused.to_string(), "more than 4 series");
    window.append(&sample("a", "3", 2, 2.0)).unwrap();
    assert_eq!((window.series(), window.samples()), (4, 5));
}
