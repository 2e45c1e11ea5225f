//! Captured pages of every version give one set of names.

use super::*;

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("../../../../golden/pages/", $name))
    };
}

fn page(text: &str) -> Figures {
    let page = Page::parse(text.as_bytes(), PageLimits::default());
    assert_eq!((&page.faults, &page.cut), (&vec![], &None));
    Figures::from_page(page)
}

fn monitor(text: &str) -> Figures {
    Figures::from_monitor(serde_json::from_str::<Value>(text).unwrap().as_object().unwrap())
}

fn names(figures: &Figures) -> BTreeSet<String> {
    let show = |series: &Series| {
        let labels: Vec<_> = series.labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
        format!("{}{{{}}}", series.name, labels.join(","))
    };
    figures.series.iter().map(show).collect()
}

/// The series that Apache's names have in common whatever the source; others of the JVM come from
/// the provider alone, and so do the quantiles that `mntr` does not have.
fn comparable(figures: &Figures) -> BTreeSet<String> {
    let foreign = |name: &String| {
        name.starts_with("jvm_") && !name.starts_with("jvm_pause")
            || name.starts_with("process_")
            || name.contains("quantile=")
    };
    names(figures).into_iter().filter(|name| !foreign(name)).collect()
}

#[test]
fn the_page_of_3_10_has_the_names_of_3_9() {
    let (old, new) =
        (page(golden!("3.9.5-leader-metrics.txt")), page(golden!("3.10-leader-metrics.txt")));
    let as_3_9 = |name: &String| name.replace("quantile=0.95", "quantile=0.9");
    let new_names: BTreeSet<_> = names(&new).iter().map(as_3_9).collect();
    let only_new: Vec<_> = new_names.difference(&names(&old)).cloned().collect();
    let expected =
        |name: &&String| !name.starts_with("op_count_") && !name.starts_with("ttl_node_");
    assert_eq!(only_new.iter().filter(expected).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(names(&old).difference(&new_names).count(), 0);
    assert_eq!(old.value("looking_count"), new.value("looking_count"));
    assert_eq!(new.mode(), Some("leader"));
    assert!(new_names.contains("op_count_create{}") && new_names.contains("op_count_total{}"));
}

#[test]
fn mntr_with_the_provider_and_its_page_say_the_same() {
    let (words, page) = (
        Figures::from_mntr(golden!("3.9.5-leader-mntr.txt")),
        page(golden!("3.9.5-leader-metrics.txt")),
    );
    // The page also tells of empty sets and sees one quota more or less as time goes.
    let missing: Vec<_> = names(&words).difference(&names(&page)).cloned().collect();
    assert_eq!(missing, Vec::<String>::new());
    assert_eq!(words.value("quorum_size"), Some(3.0));
    assert_eq!(words.mode(), Some("leader"));
    assert!(words.texts["version"].starts_with("3.9.5-"));
}

#[test]
fn mntr_without_the_provider_becomes_the_same_series() {
    let words = Figures::from_mntr(golden!("3.8.6-leader-mntr.txt"));
    let page = comparable(&page(golden!("3.9.5-leader-metrics.txt")));
    let admin = monitor(golden!("3.8.6-leader-admin-monitor.json"));
    assert_eq!(comparable(&words), comparable(&admin));
    // Keys of sets differ from ensemble to ensemble: compared by name. 3.9 has more names.
    let bare = |names: &BTreeSet<String>| -> BTreeSet<String> {
        names.iter().map(|name| name.split('{').next().unwrap_or_default().to_owned()).collect()
    };
    let strange: Vec<_> = bare(&comparable(&words)).difference(&bare(&page)).cloned().collect();
    let by_namespace =
        |name: &String| name.contains("_per_namespace") || name.contains("ack_latency");
    assert_eq!(strange.iter().filter(|name| !by_namespace(name)).count(), 0, "{strange:?}");
    let own = names(&words);
    for want in [
        "readlatency{quantile=0.99}",
        "readlatency{quantile=0.999}",
        "readlatency_count{}",
        "fsynctime_sum{}",
        "quorum_ack_latency{quantile=0.5}",
        "quorum_ack_latency_count{}",
        "learner_handler_qp_time_ms{key=1,quantile=0.5}",
        "learner_handler_qp_size_sum{key=2}",
        "quota_bytes_limit_per_namespace{key=app}",
        "read_per_namespace_count{key=app}",
        "snap_count{}",
        "avg_latency{}",
        "max_proposal_size{}",
        "leader_uptime{}",
    ] {
        assert!(own.contains(want), "{want}");
    }
    assert!(!own.iter().any(|name| name.starts_with("avg_fsynctime") || name.starts_with("p99_")));
    let empty =
        |series: &&Series| series.name == "jvm_pause_time_ms" && series.labels[0].1 == "0.99";
    let nan = words.series.iter().find(empty).map(|series| series.value.is_nan());
    assert_eq!(nan, Some(true), "nothing seen is NaN, as on the page");
}

#[test]
fn versions_before_3_6_say_what_they_can_under_the_same_names() {
    for (figures, mode) in [
        (Figures::from_mntr(golden!("3.4.14-leader-mntr.txt")), "leader"),
        (Figures::from_mntr(golden!("3.4.14-follower-mntr.txt")), "follower"),
        (Figures::from_mntr(golden!("3.5.10-leader-mntr.txt")), "leader"),
        (monitor(golden!("3.5.10-leader-admin-monitor.json")), "leader"),
    ] {
        assert_eq!(figures.mode(), Some(mode));
        let known = names(&page(golden!("3.9.5-leader-metrics.txt")));
        let strange: Vec<_> = names(&figures).difference(&known).cloned().collect();
        let own = ["fsync_threshold_exceed_count{}"];
        assert!(strange.iter().all(|name| own.contains(&name.as_str())), "{strange:?}");
        assert_eq!(figures.value("learners").is_some(), mode == "leader");
        assert!(figures.serves());
    }
}

#[test]
fn roles_are_read_from_the_page() {
    assert_eq!(page(golden!("3.9.5-leader-metrics.txt")).mode(), Some("leader"));
    assert_eq!(page(golden!("3.9.5-follower-metrics.txt")).mode(), Some("follower"));
    assert_eq!(page(golden!("3.9.5-observer-metrics.txt")).mode(), Some("observer"));
    assert_eq!(page(golden!("3.6.4-leader-metrics.txt")).mode(), Some("leader"));
    let deaf = page(golden!("3.9.5-noquorum-metrics.txt"));
    assert_eq!((deaf.mode(), deaf.serves()), (None, false));
    assert!(deaf.value("looking_count").is_some());
}

#[test]
fn srvr_alone_gives_the_serving_gauges() {
    let srvr = Srvr::parse(golden!("3.4.14-leader-srvr.txt"));
    let figures = Figures::from_srvr(&srvr);
    assert!(figures.serves());
    assert_eq!((figures.value("znode_count"), figures.mode()), (Some(9.0), Some("leader")));
    assert_eq!(figures.value("max_latency"), Some(3.0));
    let known = names(&page(golden!("3.9.5-leader-metrics.txt")));
    assert!(names(&figures).is_subset(&known));
}

#[test]
fn a_series_is_never_there_twice() {
    let figures = page("a 1\na 2\nsnap_count_total 1\nsnap_count 3\n");
    assert_eq!(names(&figures).len(), figures.series.len());
    assert_eq!(figures.value("snap_count"), Some(1.0));
}

#[test]
fn what_cannot_be_measured_is_nothing() {
    let leading = |value: &str| page(&format!("leader_uptime {value}\n")).leading_seconds();
    assert_eq!((leading("9000"), leading("0")), (Some(9.0), Some(0.0)));
    for nonsense in ["-1", "NaN", "+Inf", "-Inf", "1e300"] {
        assert_eq!(leading(nonsense), None, "{nonsense}");
    }
    assert_eq!(page("znode_count -5\n").measured("znode_count"), None);
}
