//! One txn on one line: as `TxnLogToolkit` writes its fields, or as JSON.

use std::fmt::Write as _;

use anyhow::Context;
use serde_json::{Value, json};
use wk_proto::txn::{CreateTxn, Record};
use wk_proto::{AclList, AclRef, Txn};

use crate::shell::output::time;

/// Time, session, cxid, zxid, operation and the record's fields.
pub(super) fn text(record: &Record<'_>) -> String {
    let header = &record.header;
    let mut line = format!(
        "{} session {} cxid 0x{:x} zxid {} {} ",
        time(header.time.0),
        header.session,
        header.cxid,
        header.zxid,
        header.op.name()
    );
    line.push_str(&fields(&record.txn));
    line
}

fn fields(txn: &Txn<'_>) -> String {
    let data = |data: &Option<std::borrow::Cow<'_, [u8]>>| {
        String::from_utf8_lossy(data.as_deref().unwrap_or_default()).into_owned()
    };
    let create = |c: &CreateTxn<'_>| format!("{},{},[{}]", c.path, data(&c.data), acl(&c.acl));
    match txn {
        Txn::Create(c) | Txn::Create2(c) => {
            format!("{},{},{}", create(c), c.ephemeral, c.parent_cversion)
        }
        Txn::CreateContainer(c) => format!("{},{}", create(c), c.parent_cversion),
        Txn::CreateTtl { create: c, ttl } => format!("{},{},{ttl}", create(c), c.parent_cversion),
        Txn::Delete { path } | Txn::DeleteContainer { path } => quoted(path),
        Txn::SetData { path, data: d, version } | Txn::Reconfig { path, data: d, version } => {
            format!("{path},{},{version}", data(d))
        }
        Txn::SetAcl { path, acl: list, version } => {
            format!("{},v{{{}}},{version}", quoted(path), acl_vector(list))
        }
        Txn::Check { path, version } => format!("{},{version}", quoted(path)),
        Txn::CreateSession { timeout } => timeout.to_string(),
        Txn::CloseSession { paths: None } => String::new(),
        Txn::CloseSession { paths: Some(paths) } => {
            let paths: Vec<_> = paths.iter().map(|path| quoted(path)).collect();
            format!("v{{{}}}", paths.join(","))
        }
        Txn::Error { code } => code.to_string(),
        Txn::Multi(txns) => {
            let each = |txn: &Txn<'_>| format!("{}:{}", txn.op().name(), fields(txn));
            txns.iter().map(each).collect::<Vec<_>>().join(";")
        }
    }
}

/// The entries of a list, as a Java list prints records.
fn acl(list: &AclList<'_>) -> String {
    list.iter().map(|entry| acl_entry(&entry)).collect::<Vec<_>>().join(", ")
}

/// The entries of a vector, as jute prints it.
fn acl_vector(list: &AclList<'_>) -> String {
    let wrapped = list.iter().map(|entry| format!("s{{{}}}", acl_entry(&entry)));
    wrapped.collect::<Vec<_>>().join(",")
}

fn acl_entry(entry: &AclRef<'_>) -> String {
    format!("{},s{{{},{}}}", entry.perms.0, quoted(entry.scheme), quoted(entry.id))
}

/// A string as jute's text form has it.
fn quoted(text: &str) -> String {
    let mut out = String::from("'");
    for c in text.chars() {
        match c {
            '\0' | '\n' | '\r' | ',' | '}' | '%' => {
                let _ = write!(out, "%{:02X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// One JSON document on one line.
pub(super) fn json(record: &Record<'_>, offset: u64) -> anyhow::Result<String> {
    let header = &record.header;
    let mut value = txn_json(&record.txn);
    value["offset"] = json!(offset);
    value["zxid"] = json!(header.zxid.to_string());
    value["time"] = json!(time(header.time.0));
    value["session"] = json!(header.session.to_string());
    value["cxid"] = json!(header.cxid);
    value["digest"] = json!(record.digest.map(|digest| digest.digest.to_string()));
    serde_json::to_string(&value).context("write JSON")
}

fn txn_json(txn: &Txn<'_>) -> Value {
    use base64::Engine;
    let base64 = |data: &Option<std::borrow::Cow<'_, [u8]>>| {
        data.as_deref().map(|d| base64::engine::general_purpose::STANDARD.encode(d))
    };
    let mut value = json!({ "type": txn.op().name() });
    match txn {
        Txn::Create(c) | Txn::Create2(c) | Txn::CreateContainer(c) => {
            value["path"] = json!(c.path);
            value["data_b64"] = json!(base64(&c.data));
            value["acl"] = json!(acl(&c.acl));
            value["ephemeral"] = json!(c.ephemeral);
            value["parent_cversion"] = json!(c.parent_cversion);
        }
        Txn::CreateTtl { create: c, ttl } => {
            value["path"] = json!(c.path);
            value["data_b64"] = json!(base64(&c.data));
            value["acl"] = json!(acl(&c.acl));
            value["parent_cversion"] = json!(c.parent_cversion);
            value["ttl"] = json!(ttl);
        }
        Txn::Delete { path } | Txn::DeleteContainer { path } => value["path"] = json!(path),
        Txn::SetData { path, data, version } | Txn::Reconfig { path, data, version } => {
            value["path"] = json!(path);
            value["data_b64"] = json!(base64(data));
            value["version"] = json!(version);
        }
        Txn::SetAcl { path, acl: list, version } => {
            value["path"] = json!(path);
            value["acl"] = json!(acl(list));
            value["version"] = json!(version);
        }
        Txn::Check { path, version } => {
            value["path"] = json!(path);
            value["version"] = json!(version);
        }
        Txn::CreateSession { timeout } => value["timeout"] = json!(timeout),
        Txn::CloseSession { paths } => value["ephemerals"] = json!(paths),
        Txn::Error { code } => value["error"] = json!(code),
        Txn::Multi(txns) => value["ops"] = txns.iter().map(txn_json).collect(),
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_apaches() {
        let create = CreateTxn {
            path: "/a".into(),
            data: Some(b"x".as_slice().into()),
            acl: AclList::open(),
            ephemeral: true,
            parent_cversion: 3,
        };
        let text = fields(&Txn::Create(create));
        assert_eq!(text, "/a,x,[31,s{'world,'anyone}],true,3");
        let multi =
            Txn::Multi(vec![Txn::Delete { path: "/a,b".into() }, Txn::Error { code: -101 }]);
        assert_eq!(fields(&multi), "delete:'/a%2Cb;error:-101");
        let close = Txn::CloseSession { paths: Some(vec!["/x".into(), "/y".into()]) };
        assert_eq!(fields(&close), "v{'/x,'/y}");
        assert_eq!(txn_json(&multi)["ops"][0]["path"], "/a,b");
    }
}
