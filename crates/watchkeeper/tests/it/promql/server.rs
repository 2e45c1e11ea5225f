//! Our evaluator behind a socket: JSON lines in, JSON lines out, one connection after the other.
//!
//! A line either replaces all samples or asks a question; floats travel as the bits of an IEEE
//! double in decimal, since JSON has neither NaN nor infinity.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;

use serde_json::{Value as Json, json};
use wk_promql::{
    Expr, Features, Labels, NameRemoval, Note, Options, Sample, Value, Window, WindowPolicy,
};

/// Serves one connection until it ends.
pub(crate) fn serve(listener: &TcpListener) -> io::Result<()> {
    let (stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut window = Window::new(policy());
    for line in BufReader::new(stream).lines() {
        let answer = match serde_json::from_str::<Json>(&line?) {
            Ok(request) => answer(&request, &mut window),
            Err(err) => json!({ "error": err.to_string() }),
        };
        writer.write_all(format!("{answer}\n").as_bytes())?;
    }
    Ok(())
}

fn policy() -> WindowPolicy {
    WindowPolicy { bytes_max: 1 << 30, retention_default_ms: i64::MAX, ..WindowPolicy::default() }
}

fn answer(request: &Json, window: &mut Window) -> Json {
    if let Some(data) = request["data"].as_array() {
        *window = Window::new(policy());
        return match data.iter().try_for_each(|series| fill(window, series)) {
            Ok(()) => json!({}),
            Err(err) => json!({ "error": err }),
        };
    }
    let mut notes = Vec::new();
    let mut answer = match ask(request, window, &mut notes) {
        Ok(value) => shown(&value),
        Err(err) => json!({ "error": err }),
    };
    let infos = notes.iter().filter_map(|note| match note {
        Note::Info(text) => Some(text),
        Note::Warning(_) => None,
    });
    answer["infos"] = infos.cloned().collect();
    let warnings = notes.iter().filter_map(|note| match note {
        Note::Warning(text) => Some(text),
        Note::Info(_) => None,
    });
    answer["warnings"] = warnings.cloned().collect();
    answer
}

fn fill(window: &mut Window, series: &Json) -> Result<(), String> {
    let labels = series["labels"].as_object().ok_or("no labels")?;
    let labels = Labels::new(
        labels.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default())),
    );
    for point in series["points"].as_array().ok_or("no points")? {
        let at = point["t"].as_i64().ok_or("no time")?;
        let bits = point["v"].as_str().and_then(|bits| bits.parse().ok()).ok_or("no value")?;
        let sample = Sample { labels: labels.clone(), at, value: f64::from_bits(bits) };
        window.append(&sample).map_err(|err| format!("{labels} at {at}: {err}"))?;
    }
    Ok(())
}

fn ask(request: &Json, window: &Window, notes: &mut Vec<Note>) -> Result<Value, String> {
    let text = request["query"].as_str().ok_or("no query")?;
    let expr = Expr::parse_with(text, Features::Experimental).map_err(|err| err.to_string())?;
    let time = |key: &str| request[key].as_i64().ok_or(format!("no {key}"));
    let delayed = request["delayed"].as_bool() == Some(true);
    let name_removal = if delayed { NameRemoval::Delayed } else { NameRemoval::AtOnce };
    let options = Options { name_removal, ..Options::default() };
    let (start, end, step) = (time("start")?, time("end")?, time("step")?);
    let value = if step == 0 {
        expr.instant_noted(window, start, &options, notes)
    } else {
        expr.range_noted(window, (start, end, step), &options, notes)
    };
    value.map_err(|err| err.to_string())
}

fn shown(value: &Value) -> Json {
    let point = |at: i64, value: f64| json!({ "t": at, "v": value.to_bits().to_string() });
    let series = |labels: &Labels, points: Vec<Json>| {
        let labels: serde_json::Map<String, Json> =
            labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        json!({ "labels": labels, "points": points })
    };
    match value {
        Value::Scalar(value) => {
            let series = [series(&Labels::default(), vec![point(0, *value)])];
            json!({ "kind": "scalar", "series": series })
        }
        Value::Text(text) => json!({ "kind": "text", "text": text }),
        Value::Vector(vector) => {
            let all = vector.iter().map(|(labels, value)| series(labels, vec![point(0, *value)]));
            json!({ "kind": "vector", "series": all.collect::<Vec<_>>() })
        }
        Value::Matrix(matrix) => {
            let all = matrix.iter().map(|(labels, points)| {
                let points = points.iter().map(|(at, value)| point(*at, *value));
                series(labels, points.collect())
            });
            json!({ "kind": "matrix", "series": all.collect::<Vec<_>>() })
        }
    }
}
