//! What a long command shows while it runs, and its closing lines.
//!
//! On a terminal one line moves; elsewhere plain lines appear, a sign of life every ten seconds.
//! The very last line is `N passed, N failed`, alone, for people and programs.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Counts of one group of tests, or one check (which counts as one test).
#[derive(Clone, Debug, Default)]
struct Row {
    name: String,
    passed: u64,
    failed: u64,
    note: String,
}

/// Collects rows and shows progress.
pub(crate) struct Report {
    rows: Vec<Row>,
    bar: Option<ProgressBar>,
    started: Instant,
    step: Option<(String, Instant)>,
    last_sign: Instant,
}

impl Report {
    /// An empty report; the clock starts.
    pub(crate) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed:>4}  {wide_msg}") {
                bar.set_style(style);
            }
            bar
        });
        let now = Instant::now();
        Self { rows: Vec::new(), bar, started: now, step: None, last_sign: now }
    }

    /// Begins a step; its name is shown until the next one.
    pub(crate) fn begin(&mut self, name: &str) {
        self.step = Some((name.to_owned(), Instant::now()));
        self.last_sign = Instant::now();
        if let Some(bar) = &self.bar {
            bar.enable_steady_tick(Duration::from_millis(120));
            bar.set_message(name.to_owned());
        } else {
            println!("....  {name}");
        }
    }

    /// Shows how far the step is. Cheap: call it as often as there is news.
    pub(crate) fn progress(&mut self, news: &str) {
        let Some((name, _)) = &self.step else { return };
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{name}: {news}"));
        } else if self.last_sign.elapsed() >= Duration::from_secs(10) {
            println!("      {name}: {news}");
            self.last_sign = Instant::now();
        }
    }

    /// Prints a line that stays.
    pub(crate) fn say(&mut self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
        self.last_sign = Instant::now();
    }

    /// Ends a step that is one check and that holds.
    pub(crate) fn pass(&mut self, name: &str) {
        self.count(name, 1, 0, "");
    }

    /// Ends a step that is one check and that does not hold, with the reason.
    pub(crate) fn fail(&mut self, name: &str, why: &str) {
        self.say(why.trim_end());
        self.count(name, 0, 1, "");
    }

    /// Ends a step with the numbers of tests in it.
    pub(crate) fn count(&mut self, name: &str, passed: u64, failed: u64, note: &str) {
        let took = self.step.take().map_or(0, |(_, start)| start.elapsed().as_secs());
        let verdict = if failed == 0 { "ok  " } else { "FAIL" };
        let tests = if passed + failed == 1 { String::new() } else { format!(", {passed} passed") };
        let lost = if failed > 0 && passed + failed > 1 {
            format!(", {failed} failed")
        } else {
            String::new()
        };
        let note_text = if note.is_empty() { String::new() } else { format!(", {note}") };
        self.say(&format!("{verdict}  {name} ({took} s{tests}{lost}{note_text})"));
        self.rows.push(Row { name: name.to_owned(), passed, failed, note: note.to_owned() });
    }

    /// Prints the closing lines; the exit code says whether everything passed.
    pub(crate) fn close(mut self) -> ExitCode {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let sum = |get: fn(&Row) -> u64| self.rows.iter().map(get).sum::<u64>();
        let (passed, failed) = (sum(|row| row.passed), sum(|row| row.failed));
        let wide = self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        println!();
        for row in &self.rows {
            let Row { name, passed, failed, note } = row;
            let pad = " ".repeat(wide - name.chars().count());
            let note = if note.is_empty() { String::new() } else { format!("   {note}") };
            println!("{name}{pad}  {passed:>5} passed  {failed:>3} failed{note}");
        }
        let took = self.started.elapsed().as_secs();
        println!("in {} min {} s", took / 60, took % 60);
        println!("{passed} passed, {failed} failed");
        if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
