//! Bars as an SVG picture, on a logarithmic scale, readable by day and by night.

use std::fmt::Write as _;

/// Values of the servers under one name.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) values: [Option<f64>; 3],
}

/// A picture: groups of bars, a bar for each server.
#[derive(Debug)]
pub(super) struct Bars {
    pub(super) title: &'static str,
    pub(super) unit: &'static str,
    pub(super) servers: [&'static str; 3],
    pub(super) groups: Vec<Group>,
}

/// Pixels.
const LEFT: f64 = 170.0;
const WIDTH: f64 = 560.0;
const RIGHT: f64 = 70.0;
const TOP: f64 = 64.0;
const BAR: f64 = 11.0;
const GAP: f64 = 11.0;
const COLOURS: [&str; 3] = ["#1f7a8c", "#c8553d", "#9aa0a6"];

impl Bars {
    /// The picture.
    pub(super) fn svg(&self) -> String {
        let (low, high) = self.scale();
        let height_of = |group: &Group| BAR * group.values.iter().flatten().count() as f64 + GAP;
        let bottom = TOP + self.groups.iter().map(height_of).sum::<f64>();
        let x = |value: f64| LEFT + WIDTH * (value.log10() - low) / (high - low);
        let mut out = head(LEFT + WIDTH + RIGHT, bottom + 34.0, self.title, self.unit);
        for (at, (server, colour)) in self.servers.iter().zip(COLOURS).enumerate() {
            let left = LEFT + 150.0 * at as f64;
            bar(&mut out, (left, 38.0), 10.0, colour);
            label(&mut out, (left + 15.0, 47.0), "", server);
        }
        let mut power = low;
        while power <= high {
            let at = x(10_f64.powf(power));
            let _ =
                writeln!(out, r#"<line x1="{at:.1}" y1="{TOP}" x2="{at:.1}" y2="{bottom:.0}"/>"#);
            label(&mut out, (at, bottom + 16.0), "m", &short(10_f64.powf(power)));
            power += 1.0;
        }
        let mut y = TOP + GAP / 2.0;
        for group in &self.groups {
            let middle = y + (height_of(group) - GAP) / 2.0 + 4.0;
            label(&mut out, (LEFT - 8.0, middle), "e", &group.name);
            for (value, colour) in group.values.iter().zip(COLOURS) {
                let Some(value) = value else { continue };
                let end = x(value.max(10_f64.powf(low)));
                bar(&mut out, (LEFT, y), end - LEFT, colour);
                label(&mut out, (end + 4.0, y + 8.5), "v", &short(*value));
                y += BAR;
            }
            y += GAP;
        }
        out.push_str("</svg>\n");
        out
    }

    /// Powers of ten that hold every value, with some room below the least.
    fn scale(&self) -> (f64, f64) {
        let values = || self.groups.iter().flat_map(|group| group.values).flatten();
        let positive = || values().filter(|value| *value > 0.0);
        let low = positive().fold(f64::INFINITY, f64::min).max(1e-3);
        let high = positive().fold(1.0, f64::max);
        let low = (low / 2.0).log10().floor();
        (low, high.log10().ceil().max(low + 1.0))
    }
}

fn head(width: f64, height: f64, title: &str, unit: &str) -> String {
    let style = include_str!("plot.css");
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" aria-label=\"{title}\">\n\
         <style>\n{style}</style>\n<rect class=\"bg\" width=\"100%\" height=\"100%\"/>\n"
    );
    label(&mut out, (16.0, 24.0), "t", &format!("{title}, {unit} (logarithmic)"));
    out
}

fn bar(out: &mut String, (x, y): (f64, f64), width: f64, colour: &str) {
    let height = BAR - 1.5;
    let _ = writeln!(
        out,
        r#"<rect x="{x:.1}" y="{y:.1}" height="{height}" fill="{colour}" width="{width:.1}"/>"#
    );
}

fn label(out: &mut String, (x, y): (f64, f64), class: &str, text: &str) {
    let text = escaped(text);
    let _ = writeln!(out, r#"<text x="{x:.1}" y="{y:.1}" class="{class}">{text}</text>"#);
}

/// A number with a suffix, three digits at most.
fn short(value: f64) -> String {
    let (value, suffix) = match value {
        v if v >= 1e6 => (v / 1e6, " M"),
        v if v >= 1e4 => (v / 1e3, " k"),
        v => (v, ""),
    };
    if value >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}{suffix}")
    } else {
        format!("{value:.1}{suffix}")
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_ten_times_the_other_is_one_mark_longer() {
        let groups = vec![
            Group { name: "a<b".to_owned(), values: [Some(1000.0), Some(100.0), None] },
            Group { name: "c".to_owned(), values: [None, None, Some(20.0)] },
        ];
        let servers = ["x", "y", "z"];
        let svg = Bars { title: "T", unit: "u", servers, groups }.svg();
        let widths: Vec<f64> = svg
            .lines()
            .skip_while(|line| !line.contains("class=\"m\""))
            .filter_map(|line| line.split_once("width=\"")?.1.trim_end_matches("\"/>").parse().ok())
            .collect();
        let mark = WIDTH / 2.0;
        assert_eq!(widths.len(), 3, "{svg}");
        assert!((widths[0] - widths[1] - mark).abs() < 0.2, "{widths:?}");
        assert!(svg.contains("a&lt;b") && svg.ends_with("</svg>\n"));
    }
}
