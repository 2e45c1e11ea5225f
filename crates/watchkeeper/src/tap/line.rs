//! How a txn of the stream is shown: JSON with stable names, or a line for people.

use std::fmt::Write as _;

use serde::Serialize;
use wk_client::{SessionId, Zxid};
use wk_tap::{Change, ChangeOp};

use super::Form;
use crate::shell::output;

/// What is printed; everything that is `None` or false asks for nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter<'a> {
    pub(crate) path: Option<&'a str>,
    pub(crate) session: Option<SessionId>,
    pub(crate) kind: Option<&'a str>,
    pub(crate) errors: bool,
}

impl Filter<'_> {
    /// A multi is taken for what any part of it is.
    pub(crate) fn takes(&self, change: &Change) -> bool {
        let is_kind = |kind: &str| {
            let mut ops = std::iter::once(&change.op).chain(&change.ops);
            ops.any(|op| op.kind.to_string().eq_ignore_ascii_case(kind))
        };
        self.path.is_none_or(|prefix| change.is_under(prefix))
            && self.session.is_none_or(|session| change.session == session)
            && self.kind.is_none_or(is_kind)
            && (!self.errors || change.op.error.is_some())
    }
}

#[derive(Serialize)]
struct OpJson<'a> {
    r#type: String,
    path: Option<&'a str>,
    size: Option<usize>,
    error: Option<String>,
}

impl<'a> OpJson<'a> {
    fn new(op: &'a ChangeOp) -> Self {
        Self {
            r#type: op.kind.to_string(),
            path: op.path.as_deref(),
            size: op.size,
            error: op.error.map(|error| error.to_string()),
        }
    }
}

#[derive(Serialize)]
struct ChangeJson<'a> {
    zxid: String,
    time: String,
    session: String,
    cxid: i32,
    #[serde(flatten)]
    op: OpJson<'a>,
    ops: Vec<OpJson<'a>>,
    ephemerals: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    expired: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[derive(Serialize)]
struct GapJson {
    r#type: &'static str,
    from: String,
    to: String,
}

/// The line of a txn.
pub(crate) fn of_change(change: &Change, form: Form) -> anyhow::Result<String> {
    match form {
        Form::Table => Ok(for_people(change)),
        Form::Jsonl => output::jsonl(&ChangeJson {
            zxid: change.zxid.to_string(),
            time: output::time(change.time.0),
            session: change.session.to_string(),
            cxid: change.cxid,
            op: OpJson::new(&change.op),
            ops: change.ops.iter().map(OpJson::new).collect(),
            ephemerals: &change.ephemerals,
            expired: change.expired,
            detail: change.detail.as_deref(),
        }),
    }
}

/// The line of a gap.
pub(crate) fn of_gap(from: Zxid, to: Zxid, form: Form) -> anyhow::Result<String> {
    match form {
        Form::Table => {
            Ok(format!("resync           {from} to {to}: txns between may be missing\n"))
        }
        Form::Jsonl => {
            output::jsonl(&GapJson { r#type: "resync", from: from.to_string(), to: to.to_string() })
        }
    }
}

fn for_people(change: &Change) -> String {
    let mut line = format!("{:<16} {} ", change.zxid.to_string(), output::time(change.time.0));
    let _ = write!(line, "{:<14}", change.op.kind);
    add_op(&mut line, &change.op);
    for op in &change.ops {
        let _ = write!(line, " [{}", op.kind);
        add_op(&mut line, op);
        line.push(']');
    }
    if let Some(expired) = change.expired {
        line.push_str(if expired { " expired" } else { " left" });
    }
    if !change.ephemerals.is_empty() {
        let _ = write!(line, " ephemerals: {}", change.ephemerals.join(" "));
    }
    if let Some(detail) = &change.detail {
        let _ = write!(line, " {}", detail.replace('\n', " "));
    }
    let _ = writeln!(line, "  session {} cxid {}", change.session, change.cxid);
    line
}

fn add_op(line: &mut String, op: &ChangeOp) {
    if let Some(path) = &op.path {
        let _ = write!(line, " {path}");
    }
    if let Some(size) = op.size {
        let _ = write!(line, " {size} B");
    }
    if let Some(error) = op.error {
        let _ = write!(line, " {error}");
    }
}

#[cfg(test)]
mod tests {
    use wk_proto::txn::{TxnHeader, encode_record};
    use wk_proto::{OpCode, Txn, Wall};

    use super::*;

    fn change(cxid: i32, txn: &Txn<'_>) -> Change {
        let header = TxnHeader {
            session: SessionId(0x11),
            cxid,
            zxid: Zxid(0x1_0000_0002),
            time: Wall(1_795_261_831_837),
            op: txn.op(),
        };
        let mut record = Vec::new();
        encode_record(&header, txn, None, &mut record);
        Change::read(&record)
    }

    fn set(path: &'static str) -> Txn<'static> {
        Txn::SetData { path: path.into(), data: Some(b"abc".into()), version: 1 }
    }

    #[test]
    fn lines_have_the_documented_form() {
        let json = |change: &Change| of_change(change, Form::Jsonl).expect("a line");
        let head = r#"{"zxid":"0x100000002","time":"2026-11-21T11:50:31.837Z","session":"0x11","#;
        assert_eq!(
            json(&change(4, &set("/a"))),
            format!(
                "{head}{}\n",
                r#""cxid":4,"type":"setData","path":"/a","size":3,"error":null,"ops":[],"#
                    .to_owned()
                    + r#""ephemerals":[]}"#
            )
        );
        let gone = Txn::CloseSession { paths: Some(vec!["/e".into()]) };
        assert_eq!(
            json(&change(0, &gone)),
            format!(
                "{head}{}\n",
                r#""cxid":0,"type":"closeSession","path":null,"size":null,"error":null,"#
                    .to_owned()
                    + r#""ops":[],"ephemerals":["/e"],"expired":true}"#
            )
        );
        let multi = Txn::Multi(vec![set("/a"), Txn::Error { code: -103 }]);
        let multi = json(&change(5, &multi));
        let whole = r#""type":"multi","path":null,"size":null,"error":"BADVERSION","ops":[{"#;
        assert!(multi.contains(whole), "{multi}");
        let part = r#"{"type":"setData","path":"/a","size":3,"error":null},{"type":"error","#;
        assert!(multi.contains(part), "{multi}");
        assert_eq!(
            of_gap(Zxid(1), Zxid(31), Form::Jsonl).expect("a line"),
            "{\"type\":\"resync\",\"from\":\"0x1\",\"to\":\"0x1f\"}\n"
        );
        assert_eq!(
            for_people(&change(0, &gone)),
            "0x100000002      2026-11-21T11:50:31.837Z closeSession   expired ephemerals: /e  \
             session 0x11 cxid 0\n"
        );
    }

    #[test]
    fn filters_take_a_multi_for_any_part_of_it() {
        let all = Filter { path: None, session: None, kind: None, errors: false };
        let multi = change(1, &Txn::Multi(vec![set("/a/b"), Txn::Delete { path: "/c".into() }]));
        let failed = change(1, &Txn::Error { code: -101 });
        let take = |filter: Filter<'_>| (filter.takes(&multi), filter.takes(&failed));
        assert_eq!(take(all), (true, true));
        assert_eq!(take(Filter { path: Some("/a"), ..all }), (true, false));
        assert_eq!(take(Filter { path: Some("/b"), ..all }), (false, false));
        assert_eq!(take(Filter { kind: Some("delete"), ..all }), (true, false));
        assert_eq!(take(Filter { kind: Some("SETDATA"), ..all }), (true, false));
        assert_eq!(take(Filter { errors: true, ..all }), (false, true));
        assert_eq!(take(Filter { session: Some(SessionId(0x11)), ..all }), (true, true));
        assert_eq!(take(Filter { session: Some(SessionId(0x12)), ..all }), (false, false));
        assert_eq!(failed.op.kind, wk_tap::Kind::Op(OpCode::Error));
    }
}
