//! JSON as Jackson's pretty printer writes it: `"key" : value`, `[ a, b ]`, keys in the order given.
//!
//! Scripts that cut Apache's output with grep and sed see the spelling they know. A number that
//! JSON cannot hold becomes a word in quotes, as Jackson does.

use wk_server::metrics::java_double;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Json {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u64> for Json {
    fn from(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Json {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<i32> for Json {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<f64> for Json {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}

impl From<&str> for Json {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Json {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl Json {
    /// An object of these pairs.
    pub(crate) fn object<const N: usize>(pairs: [(&str, Json); N]) -> Self {
        Self::Object(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// The text.
    pub(crate) fn pretty(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out
    }

    fn write(&self, out: &mut String, depth: usize) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(value) => out.push_str(&value.to_string()),
            Self::Double(value) if value.is_finite() => out.push_str(&java_double(*value)),
            Self::Double(value) => write_text(out, &java_double(*value)),
            Self::Text(text) => write_text(out, text),
            Self::Array(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at == 0 { " " } else { ", " });
                    item.write(out, depth);
                }
                out.push_str(" ]");
            }
            Self::Object(pairs) if pairs.is_empty() => out.push_str("{ }"),
            Self::Object(pairs) => {
                out.push('{');
                for (at, (key, value)) in pairs.iter().enumerate() {
                    out.push_str(if at == 0 { "\n" } else { ",\n" });
                    out.push_str(&"  ".repeat(depth + 1));
                    write_text(out, key);
                    out.push_str(" : ");
                    value.write(out, depth + 1);
                }
                out.push('\n');
                out.push_str(&"  ".repeat(depth));
                out.push('}');
            }
        }
    }
}

fn write_text(out: &mut String, text: &str) {
    // serde_json escapes as JSON demands; a string cannot fail to serialise.
    out.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_spelled_as_jackson_does() {
        let inner = Json::object([("id", 1_i64.into()), ("none", Json::Object(Vec::new()))]);
        let json = Json::object([
            ("list", Json::Array(vec![inner])),
            ("empty", Json::Array(Vec::new())),
            ("ids", Json::Array(vec![Json::Int(1), Json::Int(2)])),
            ("nan", f64::NAN.into()),
            ("big", 7.156_531_2e7.into()),
            ("error", Json::Null),
        ]);
        let want = "{\n  \"list\" : [ {\n    \"id\" : 1,\n    \"none\" : { }\n  } ],\n  \
                    \"empty\" : [ ],\n  \"ids\" : [ 1, 2 ],\n  \"nan\" : \"NaN\",\n  \
                    \"big\" : 7.1565312E7,\n  \"error\" : null\n}";
        assert_eq!(json.pretty(), want);
    }
}
