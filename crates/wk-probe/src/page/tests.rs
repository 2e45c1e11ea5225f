//! Sound pages, lying pages, and that neither breaks the reader.

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Page {
    Page::parse(text.as_bytes(), PageLimits::default())
}

fn shown(page: &Page) -> Vec<String> {
    let label = |(name, value): &(String, String)| format!("{name}={value}");
    let show = |series: &Series| {
        let labels: Vec<String> = series.labels.iter().map(label).collect();
        format!("{}{{{}}} {}", series.name, labels.join(","), series.value)
    };
    page.series.iter().map(show).collect()
}

#[test]
fn apaches_page_is_read() {
    let page = parse(
        "# HELP fsynctime fsynctime\n# TYPE fsynctime summary\n\
         fsynctime{quantile=\"0.5\",} NaN\nfsynctime_count 100.0\n\
         # TYPE quota_count_usage_per_namespace gauge\n\
         quota_count_usage_per_namespace{key=\"app\",} 2.0 1700000000000\n",
    );
    let want = [
        "fsynctime{quantile=0.5} NaN",
        "fsynctime_count{} 100",
        "quota_count_usage_per_namespace{key=app} 2",
    ];
    assert_eq!(shown(&page), want);
    assert_eq!(page.kinds["fsynctime"], Kind::Summary);
    assert_eq!((page.faults.len(), &page.cut), (0, &None));
    assert_eq!(page.value("fsynctime_count"), Some(100.0));
}

#[test]
fn openmetrics_is_read_up_to_its_end() {
    let page = parse(
        "# TYPE a counter\n# UNIT a seconds\na_total{x=\"1\"} 3e2 1.5 # {id=\"t\"} 1 2\n\
         # TYPE i info\ni_info{v=\"a\\\\b\\\"c\\nd\\x\"} 1\n# EOF\nafter 1\n",
    );
    assert_eq!(shown(&page), ["a_total{x=1} 300", "i_info{v=a\\b\"c\nd\\x} 1"]);
    assert_eq!((page.kinds["a"], page.kinds["i"]), (Kind::Counter, Kind::Untyped));
}

#[test]
fn every_unsound_line_is_named_with_its_reason_and_the_rest_stays() {
    let cases = [
        ("9lives 1", "\"9lives\": no name of a metric"),
        ("a", "no blank between name and value: \"a\""),
        ("a{} ", "\"a\": no value"),
        ("a one", "\"one\": not a number"),
        ("a 1 soon", "\"soon\": not a timestamp"),
        ("a 1 2 3", "\"3\" after the timestamp"),
        ("a{b} 1", "label without =: \"b} 1\""),
        ("a{b=1} 1", "label b: value without quotes"),
        ("a{b=\"1} 1", "label b: value without end"),
        ("a{b=\"1\"c=\"2\"} 1", "neither , nor } after label b"),
        ("a{b=\"1\",b=\"2\"} 1", "label b twice"),
        ("a{x:y=\"1\"} 1", "\"x:y\": no name of a label"),
        ("# TYPE a gage", "# TYPE \"gage\": no such type"),
        ("# TYPE a", "# TYPE wants a name and a type"),
        ("<html>", "\"\": no name of a metric"),
    ];
    for (line, reason) in cases {
        let page = parse(&format!("good 1\n{line}\nbetter 2\n"));
        assert_eq!(shown(&page), ["good{} 1", "better{} 2"], "{line}");
        assert_eq!(page.faults, [PageFault { line: 2, reason: reason.into() }], "{line}");
    }
    let page = Page::parse(b"a 1\n\xff\xfe 2\nb 3", PageLimits::default());
    assert_eq!(shown(&page), ["a{} 1", "b{} 3"]);
    assert_eq!(page.faults[0].to_string(), "line 2: not UTF-8");
}

#[test]
fn each_bound_cuts_and_says_so() {
    let limits =
        PageLimits { bytes_max: 64, line_max: 24, series_max: 3, labels_max: 2, text_max: 6 };
    let read = |text: &str| Page::parse(text.as_bytes(), limits);
    let page = read("a 1\nb 2\nc 3\nd 4\ne 5\n");
    assert_eq!((page.series.len(), page.cut.as_deref()), (3, Some("more than 3 series")));
    let page = read(&"# a comment, no more\n".repeat(4));
    assert_eq!(page.cut.as_deref(), Some("longer than 64 bytes"));
    let page = read(&format!("a 1\n{}\nb 2\n", "x".repeat(30)));
    assert_eq!(shown(&page), ["a{} 1", "b{} 2"]);
    assert_eq!(page.faults[0].to_string(), "line 2: longer than 24 bytes");
    let reason = |line: &str| read(line).faults[0].reason.clone();
    assert_eq!(reason("a{b=\"1\",c=\"2\",d=\"\"} 1"), "more than 2 labels");
    assert_eq!(reason("a{b=\"1234567\"} 1"), "label b: value longer than 6 bytes");
    assert_eq!(reason("abcdefg 1"), "name of a metric longer than 6 bytes");
    let page = read("1\n2\n3\n4\n5\n6\n");
    assert_eq!((page.faults.len(), page.fault_count), (FAULTS_KEPT, 6));
}

#[test]
fn a_page_that_never_ends_is_not_read_for_ever() {
    let mut reader = PageReader::new(PageLimits::default());
    let mut pieces = 0_usize;
    while reader.push(&[b'x'; 1000]) == More::Wanted {
        pieces += 1;
        assert!(pieces < 10_000, "reads without a bound");
        assert!(reader.pending.len() <= reader.limits.line_max);
    }
    assert!(reader.finish().cut.is_some());
}

#[test]
fn half_a_line_is_no_sample_when_the_page_broke_off() {
    let mut reader = PageReader::new(PageLimits::default());
    reader.push(b"a 1\nb 12");
    let page = reader.finish_early("the connection broke".into());
    assert_eq!(shown(&page), ["a{} 1"]);
    assert_eq!(page.cut.as_deref(), Some("the connection broke"));
}

fn any_line() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_]{1,8}(\\{[a-z]{1,3}=\"[a-z\\\\\"]{0,6}\",?\\})? [0-9a-z.+-]{1,6}",
        "# (TYPE|HELP|EOF)? ?[a-z ]{0,12}",
        "[ -~]{0,40}",
        ".{0,20}",
    ]
}

proptest! {
    #[test]
    fn prop_any_bytes_in_any_pieces_give_the_same_page(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        lines in proptest::collection::vec(any_line(), 0..20),
        size in 1_usize..50,
    ) {
        let bounds = PageLimits::default();
        let limits = PageLimits { bytes_max: 400, line_max: 60, series_max: 8, ..bounds };
        let text = [lines.join("\n").into_bytes(), bytes].concat();
        let whole = Page::parse(&text, limits);
        let mut reader = PageReader::new(limits);
        for piece in text.chunks(size) {
            if reader.push(piece) == More::Enough {
                break;
            }
        }
        let pieces = reader.finish();
        // NaN is not equal to itself: compared as text.
        prop_assert_eq!(format!("{pieces:?}"), format!("{whole:?}"));
        prop_assert!(whole.series.len() <= limits.series_max);
        prop_assert!(whole.faults.len() <= FAULTS_KEPT);
    }

    #[test]
    fn prop_what_is_printed_is_read_back(
        name in "[a-z_:][a-z0-9_:]{0,10}",
        label in "[a-z_][a-z0-9_]{0,5}",
        value in "\\PC{0,12}",
        number in any::<f64>(),
    ) {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let page = parse(&format!("{name}{{{label}=\"{escaped}\"}} {number}\n"));
        prop_assert_eq!(&page.faults, &[]);
        prop_assert_eq!(&page.series[0].labels, &[(label, value)]);
        prop_assert!(page.series[0].value.to_bits() == number.to_bits() || number.is_nan());
    }
}
