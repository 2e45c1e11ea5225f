//! The catalogue in docs/rules.md, made from the shipped rules: the page cannot say what they do not.

use std::fmt::Write as _;

use crate::catalogue::Catalogue;

/// The page has hand-written text up to this line, the catalogue below it.
const MARK: &str =
    "<!-- From here on made from the shipped rules: UPDATE_EXPECT=1 rewrites it. -->\n";

/// The catalogue as Markdown: a table, then each rule as its alerts' runbook.
fn catalogue() -> String {
    let mut out = String::from(
        "\n## Catalogue\n\n| rule | severity | for | for here | thresholds |\n\
         | --- | --- | --- | --- | --- |\n",
    );
    for rule in Catalogue::shipped().alerts() {
        let severity = if rule.severity.contains("{{") { "by its node" } else { &rule.severity };
        let numbers: Vec<String> =
            rule.thresholds.iter().map(|(name, value)| format!("`{name}` {value}")).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "| [{name}](#{anchor}) | {severity} | {} | {} | {} |",
            rule.hold,
            rule.own_hold,
            numbers.join(", "),
            name = rule.name,
            anchor = rule.name.to_lowercase(),
        );
    }
    for rule in Catalogue::shipped().alerts() {
        let note = |key: &str| rule.annotations.get(key).map(String::as_str).unwrap_or_default();
        let _ = writeln!(
            out,
            "\n### {}\n```promql\n{}\n```\n- Says: {}\n- 含义：{}\n- Where to look: {}\n\
             - 排查位置：{}\n- What to do: {}\n- 处理办法：{}",
            rule.name,
            rule.expr,
            note("summary_en"),
            note("summary_zh"),
            note("locate"),
            note("locate_zh"),
            note("action"),
            note("action_zh"),
        );
    }
    let _ = writeln!(out, "\n## Recording rules\n\n| metric | expression |\n| --- | --- |");
    for (name, expr) in Catalogue::shipped().recordings() {
        let _ = writeln!(out, "| `{name}` | `{expr}` |");
    }
    out
}

#[test]
fn the_page_shows_the_shipped_rules() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/rules.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (text, below) = page.split_once(MARK).expect("the mark is on the page");
    let want = catalogue();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(path, format!("{text}{MARK}{want}")).unwrap();
        return;
    }
    assert!(below == want, "docs/rules.md is not what is shipped: UPDATE_EXPECT=1 rewrites it");
}
