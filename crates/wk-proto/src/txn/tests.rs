//! Txn records round-trip and never panic.

use super::*;
use crate::acl::{Acl, Perms};
use proptest::prelude::*;

fn text() -> impl Strategy<Value = Cow<'static, str>> {
    "(/[a-zé]{1,5}){1,3}".prop_map(Cow::Owned)
}

fn data() -> impl Strategy<Value = Option<Cow<'static, [u8]>>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20).prop_map(Cow::Owned))
}

fn acl() -> impl Strategy<Value = AclList<'static>> {
    proptest::collection::vec((0..32_i32, "[a-z]{1,6}", "[a-z:]{0,6}"), 0..3).prop_map(|v| {
        let acls: Vec<_> = v.iter().map(|(p, s, i)| Acl::new(Perms(*p), s, i)).collect();
        AclList::from_acls(&acls)
    })
}

fn create(ephemeral: bool) -> impl Strategy<Value = CreateTxn<'static>> {
    (text(), data(), acl(), any::<bool>(), any::<i32>()).prop_map(
        move |(path, data, acl, e, parent_cversion)| CreateTxn {
            path,
            data,
            acl,
            ephemeral: e && ephemeral,
            parent_cversion,
        },
    )
}

fn single() -> impl Strategy<Value = Txn<'static>> {
    prop_oneof![
        create(true).prop_map(Txn::Create),
        create(true).prop_map(Txn::Create2),
        create(false).prop_map(Txn::CreateContainer),
        (create(false), any::<i64>()).prop_map(|(create, ttl)| Txn::CreateTtl { create, ttl }),
        text().prop_map(|path| Txn::Delete { path }),
        text().prop_map(|path| Txn::DeleteContainer { path }),
        (text(), data(), any::<i32>()).prop_map(|(path, data, version)| Txn::SetData {
            path,
            data,
            version
        }),
        (text(), acl(), any::<i32>()).prop_map(|(path, acl, version)| Txn::SetAcl {
            path,
            acl,
            version
        }),
        (text(), any::<i32>()).prop_map(|(path, version)| Txn::Check { path, version }),
        any::<i32>().prop_map(|timeout| Txn::CreateSession { timeout }),
        any::<i32>().prop_map(|code| Txn::Error { code }),
    ]
}

fn any_txn() -> impl Strategy<Value = Txn<'static>> {
    prop_oneof![
        single(),
        proptest::collection::vec(single(), 0..4).prop_map(Txn::Multi),
        proptest::collection::vec(text(), 0..4)
            .prop_map(|paths| Txn::CloseSession { paths: Some(paths) }),
        Just(Txn::CloseSession { paths: None }),
    ]
}

proptest! {
    #[test]
    fn prop_records_round_trip(
        txn in any_txn(), session: i64, cxid: i32, zxid: i64, time: i64,
        digest in any::<Option<u64>>(),
    ) {
        let header = TxnHeader {
            session: SessionId(session), cxid, zxid: Zxid(zxid), time: Wall(time), op: txn.op(),
        };
        let digest = digest.map(|digest| TxnDigest { version: DIGEST_VERSION, digest });
        let record = Record { header, txn, digest };
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        // Without a digest the last txn of the old create format cannot be told from the new one's
        // end, which is why the strategies always write the new one.
        prop_assert_eq!(Record::decode(&bytes).unwrap(), record);
        for cut in 0..bytes.len() {
            let _ = Record::decode(&bytes[..cut]);
        }
    }

    #[test]
    fn prop_garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Record::decode(&bytes);
    }
}

#[test]
fn first_create_session_of_a_fresh_log() {
    let header = TxnHeader {
        session: SessionId(0x0100_0000_0000_0001),
        cxid: 0,
        zxid: Zxid(1),
        time: Wall(7),
        op: OpCode::CreateSession,
    };
    let mut bytes = Vec::new();
    let digest = Some(TxnDigest { version: 2, digest: 1_371_985_504 });
    encode_record(&header, &Txn::CreateSession { timeout: 30_000 }, digest, &mut bytes);
    assert_eq!(bytes.len(), 32 + 4 + 12);
    assert_eq!(&bytes[28..36], [0xff, 0xff, 0xff, 0xf6, 0, 0, 0x75, 0x30]);
}
