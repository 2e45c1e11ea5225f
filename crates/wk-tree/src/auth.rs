//! Who somebody is, and what an ACL lets him do: the schemes world, auth, digest, ip, x509, sasl
//! and super.

mod dn;

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use sha1::{Digest as _, Sha1};
use wk_proto::{AclList, AclRef, ErrorCode, Id, Perms};

/// Which identities there are.
#[derive(Clone, Debug)]
pub struct AuthOptions {
    /// Check nothing (`zookeeper.skipACL`). Default off.
    pub skip_acl: bool,
    /// Is there a scheme `digest` (`zookeeper.DigestAuthenticationProvider.enabled`)? Default on.
    pub digest: bool,
    /// Who proves to be this becomes `super`: `super:` and the Base64 of SHA-1
    /// (`zookeeper.DigestAuthenticationProvider.superDigest`).
    pub super_digest: Option<String>,
    /// Is there a scheme `x509`, whose identities the subjects of certificates are? Default off.
    pub x509: bool,
    /// The subject that is `super` (`zookeeper.X509AuthenticationProvider.superUser`).
    pub x509_super: Option<String>,
    /// Is there a scheme `sasl`? Default off.
    pub sasl: bool,
    /// Entries with this id are for everybody who has any identity of scheme `sasl`
    /// (`zookeeper.letAnySaslUserDoX`).
    pub any_sasl: Option<String>,
}

impl Default for AuthOptions {
    fn default() -> Self {
        Self {
            skip_acl: false,
            digest: true,
            super_digest: None,
            x509: false,
            x509_super: None,
            sasl: false,
            any_sasl: None,
        }
    }
}

/// The id of scheme `digest` for clear credentials `user:password`: `user:` and the Base64 of their
/// SHA-1.
pub fn digest_id(credentials: &str) -> String {
    let user = credentials.split(':').next().unwrap_or_default();
    let hash = Sha1::digest(credentials.as_bytes());
    format!("{user}:{}", base64::engine::general_purpose::STANDARD.encode(hash))
}

impl AuthOptions {
    /// The identities that an `auth` packet proves, to be added to the connection's own, `ids`.
    ///
    /// # Errors
    /// `AuthFailed` for a scheme that is not there, or `x509` without a certificate: the
    /// connection is then closed.
    pub fn authenticate(
        &self,
        scheme: &str,
        credentials: &[u8],
        peer_ip: &str,
        ids: &[Id],
    ) -> Result<Vec<Id>, ErrorCode> {
        match scheme {
            "ip" => Ok(vec![Id::new("ip", peer_ip)]),
            "digest" if self.digest => {
                let id = digest_id(&String::from_utf8_lossy(credentials));
                let mut ids = Vec::new();
                if self.super_digest.as_ref().is_some_and(|wanted| *wanted == id) {
                    ids.push(Id::new("super", ""));
                }
                ids.push(Id::new("digest", &id));
                Ok(ids)
            }
            // The handshake has proved it; Apache looks at the same certificate once more.
            "x509" if self.x509 && ids.iter().any(|id| id.scheme == "x509") => Ok(Vec::new()),
            _ => Err(ErrorCode::AuthFailed),
        }
    }

    /// The identities that a certificate with this subject proves.
    pub fn certified(&self, subject: &str) -> Vec<Id> {
        let is_super = self.x509_super.as_deref() == Some(subject);
        let id = |scheme| Id::new(scheme, subject);
        if is_super { vec![id("super"), id("x509")] } else { vec![id("x509")] }
    }

    /// Does the list let somebody with these identities do any of `perms`?
    /// An empty list lets everybody do everything.
    pub fn check(&self, list: &AclList<'_>, ids: &[Id], perms: Perms) -> bool {
        if list.is_open() || self.skip_acl || list.is_empty() {
            return true;
        }
        if ids.iter().any(|id| id.scheme == "super") {
            return true;
        }
        list.iter().filter(|entry| entry.perms.intersects(perms)).any(|entry| {
            is_anyone(&entry)
                || self.has_scheme(entry.scheme)
                    && ids
                        .iter()
                        .any(|id| id.scheme == entry.scheme && self.matches(&entry, &id.id))
        })
    }

    /// The list to store for one that a client wishes: without repetitions, `auth` replaced by the
    /// connection's authenticated identities.
    ///
    /// # Errors
    /// `InvalidAcl` for an empty list, an unknown scheme, an id that its scheme does not allow, or
    /// `auth` of a connection without such identities.
    pub fn fix_acl<'a>(&self, wished: &AclList<'a>, ids: &[Id]) -> Result<AclList<'a>, ErrorCode> {
        if wished.is_open() {
            return Ok(wished.clone());
        }
        let mut unique: Vec<AclRef<'_>> = Vec::new();
        for entry in wished.iter() {
            if !unique.contains(&entry) {
                unique.push(entry);
            }
        }
        let mut stored: Vec<AclRef<'_>> = Vec::with_capacity(unique.len());
        for entry in unique {
            if entry.scheme == "auth" {
                let proved = ids.iter().filter(|id| self.is_proof(&id.scheme));
                let before = stored.len();
                stored.extend(proved.map(|id| AclRef {
                    perms: entry.perms,
                    scheme: &id.scheme,
                    id: &id.id,
                }));
                if stored.len() == before {
                    return Err(ErrorCode::InvalidAcl);
                }
            } else if is_anyone(&entry) || self.is_valid(&entry) {
                stored.push(entry);
            } else {
                return Err(ErrorCode::InvalidAcl);
            }
        }
        if stored.is_empty() {
            return Err(ErrorCode::InvalidAcl);
        }
        Ok(AclList::from_entries(stored))
    }

    fn has_scheme(&self, scheme: &str) -> bool {
        scheme == "ip" || self.is_proof(scheme)
    }

    /// Is an identity of this scheme proved, and not only seen (as an address is)?
    fn is_proof(&self, scheme: &str) -> bool {
        match scheme {
            "digest" => self.digest,
            "x509" => self.x509,
            "sasl" => self.sasl,
            _ => false,
        }
    }

    fn is_valid(&self, entry: &AclRef<'_>) -> bool {
        match entry.scheme {
            "digest" => self.digest && is_digest_id(entry.id),
            "ip" => Subnet::parse(entry.id).is_some(),
            "x509" => self.x509 && dn::is_valid(entry.id),
            "sasl" => self.sasl && is_principal(entry.id),
            _ => false,
        }
    }

    fn matches(&self, entry: &AclRef<'_>, id: &str) -> bool {
        match entry.scheme {
            "ip" => Subnet::parse(entry.id).is_some_and(|subnet| subnet.contains(id)),
            "x509" => entry.id == id || self.x509_super.as_deref() == Some(id),
            "sasl" => entry.id == id || id == "super" || self.any_sasl.as_deref() == Some(entry.id),
            _ => entry.id == id,
        }
    }
}

fn is_anyone(entry: &AclRef<'_>) -> bool {
    entry.scheme == "world" && entry.id == "anyone"
}

/// Two parts when split at `:` as Java splits: empty parts at the end do not count.
fn is_digest_id(id: &str) -> bool {
    let parts: Vec<_> = id.split(':').collect();
    let filled = parts.iter().rposition(|part| !part.is_empty()).map_or(0, |last| last + 1);
    filled == 2
}

/// A name of Kerberos, `service/host@REALM`: without `@` everything is one.
fn is_principal(id: &str) -> bool {
    let Some((name, realm)) = id.split_once('@') else { return true };
    let plain = |part: &str| !part.contains(['/', '@']);
    let (service, host) = name.split_once('/').unwrap_or((name, ""));
    plain(service) && plain(host) && plain(realm)
}

/// An address with a number of leading bits that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Subnet {
    address: Address,
    bits: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Address {
    V4(u32),
    V6(u128),
}

impl Address {
    fn parse(text: &str) -> Option<Self> {
        if text.contains(':') {
            // Only hexadecimal groups: Java's reader does not know the dotted form.
            let plain = !text.contains('.');
            return text.parse::<Ipv6Addr>().ok().filter(|_| plain).map(|a| Self::V6(a.into()));
        }
        let mut octets = [0; 4];
        let mut parts = text.split('.');
        for octet in &mut octets {
            // Leading zeros and a plus sign are fine for Java, so they are here.
            *octet = u8::try_from(parts.next()?.parse::<i32>().ok()?).ok()?;
        }
        parts.next().is_none().then(|| Self::V4(Ipv4Addr::from(octets).into()))
    }

    fn len(self) -> u32 {
        match self {
            Self::V4(_) => 32,
            Self::V6(_) => 128,
        }
    }
}

impl Subnet {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address = Address::parse(address)?;
        let bits = match bits {
            None => address.len(),
            Some(text) => u32::try_from(text.parse::<i32>().ok()?).ok()?,
        };
        (bits <= address.len()).then_some(Self { address, bits })
    }

    fn contains(self, address: &str) -> bool {
        match (self.address, Address::parse(address)) {
            (Address::V4(a), Some(Address::V4(b))) => {
                (a ^ b).checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (Address::V6(a), Some(Address::V6(b))) => {
                (a ^ b).checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wk_proto::Acl;

    fn list(entries: &[(i32, &str, &str)]) -> AclList<'static> {
        let acls: Vec<_> =
            entries.iter().map(|(p, scheme, id)| Acl::new(Perms(*p), scheme, id)).collect();
        AclList::from_acls(&acls)
    }

    #[test]
    fn digest_ids_are_apaches() {
        assert_eq!(digest_id("super:admin"), "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=");
        assert_eq!(digest_id("u:p"), "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=");
    }

    #[test]
    fn auth_packets_prove_identities() {
        let auth = AuthOptions {
            super_digest: Some("super:xQJmxLMiHGwaqBvst5y6rkB6HQs=".to_owned()),
            ..AuthOptions::default()
        };
        let ids = auth.authenticate("digest", b"super:admin", "1.2.3.4", &[]).unwrap();
        assert_eq!(ids[0], Id::new("super", ""));
        assert_eq!(ids[1].scheme, "digest");
        assert_eq!(auth.authenticate("digest", b"u:p", "1.2.3.4", &[]).unwrap().len(), 1);
        assert_eq!(
            auth.authenticate("ip", b"", "1.2.3.4", &[]).unwrap(),
            [Id::new("ip", "1.2.3.4")]
        );
        for scheme in ["world", "auth", "super", "sasl", ""] {
            assert_eq!(auth.authenticate(scheme, b"x", "::1", &[]), Err(ErrorCode::AuthFailed));
        }
        let off = AuthOptions { digest: false, ..auth };
        assert_eq!(off.authenticate("digest", b"u:p", "::1", &[]), Err(ErrorCode::AuthFailed));
    }

    #[test]
    fn a_certificate_shown_already_answers_for_x509() {
        let auth = AuthOptions { x509: true, ..AuthOptions::default() };
        let asked = |auth: &AuthOptions, ids: &[Id]| auth.authenticate("x509", b"", "::1", ids);
        let shown = auth.certified("CN=a");
        assert_eq!(asked(&auth, &shown), Ok(Vec::new()));
        let others = [Id::new("ip", "::1"), Id::new("digest", "u:h"), Id::new("super", "")];
        assert_eq!(asked(&auth, &others), Err(ErrorCode::AuthFailed), "no certificate");
        assert_eq!(asked(&AuthOptions::default(), &shown), Err(ErrorCode::AuthFailed), "no scheme");
    }

    #[test]
    fn wished_lists_are_checked_and_filled_in() {
        let auth = AuthOptions::default();
        let me = [Id::new("ip", "10.0.0.1"), Id::new("digest", "u:h"), Id::new("super", "")];
        let fix = |entries: &[(i32, &str, &str)]| auth.fix_acl(&list(entries), &me);
        assert_eq!(fix(&[(31, "auth", "")]), Ok(list(&[(31, "digest", "u:h")])));
        assert_eq!(
            fix(&[(1, "world", "anyone"), (1, "world", "anyone")]).unwrap().iter().count(),
            1
        );
        for good in ["u:h", ":h", "u:h:"] {
            assert!(fix(&[(1, "digest", good)]).is_ok(), "{good}");
        }
        for bad in ["", "u", "u:", ":", "a:b:c"] {
            assert_eq!(fix(&[(1, "digest", bad)]), Err(ErrorCode::InvalidAcl), "{bad}");
        }
        for good in ["1.2.3.4", "1.2.3.0/24", "0.0.0.0/0", "::1", "fe80::/10", "1:2:3:4:5:6:7:8"] {
            assert!(fix(&[(1, "ip", good)]).is_ok(), "{good}");
        }
        for bad in [
            "",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.256",
            "1.2.3.4/33",
            "::1/129",
            ":::",
            "a",
            "1.2.3.4/x",
        ] {
            assert_eq!(fix(&[(1, "ip", bad)]), Err(ErrorCode::InvalidAcl), "{bad}");
        }
        assert_eq!(fix(&[]), Err(ErrorCode::InvalidAcl));
        assert_eq!(auth.fix_acl(&AclList::null(), &me), Err(ErrorCode::InvalidAcl));
        assert_eq!(fix(&[(1, "world", "somebody")]), Err(ErrorCode::InvalidAcl));
        assert_eq!(fix(&[(1, "super", "")]), Err(ErrorCode::InvalidAcl));
        assert_eq!(auth.fix_acl(&list(&[(31, "auth", "")]), &me[..1]), Err(ErrorCode::InvalidAcl));
    }

    #[test]
    fn the_first_entry_with_the_bit_that_matches_wins() {
        let auth = AuthOptions::default();
        let check = |entries: &[(i32, &str, &str)], id: &Id, perms| {
            auth.check(&list(entries), std::slice::from_ref(id), perms)
        };
        let user = Id::new("digest", "u:h");
        assert!(check(&[(1, "digest", "u:h")], &user, Perms::READ));
        assert!(!check(&[(1, "digest", "u:h")], &user, Perms::WRITE));
        assert!(!check(&[(31, "digest", "v:h")], &user, Perms::READ));
        assert!(check(&[(31, "digest", "v:h")], &Id::new("super", ""), Perms::READ));
        assert!(check(&[], &user, Perms::ADMIN));
        assert!(check(&[(2, "world", "anyone")], &user, Perms::WRITE));
        let peer = Id::new("ip", "10.1.2.3");
        assert!(check(&[(1, "ip", "10.1.0.0/16")], &peer, Perms::READ));
        assert!(check(&[(1, "ip", "9.9.9.9/0")], &peer, Perms::READ));
        assert!(!check(&[(1, "ip", "10.2.0.0/16")], &peer, Perms::READ));
        assert!(!check(&[(1, "ip", "::/0")], &peer, Perms::READ));
        let six = Id::new("ip", "0:0:0:0:0:0:0:1");
        assert!(check(&[(1, "ip", "::1")], &six, Perms::READ));
        let off = AuthOptions { skip_acl: true, ..AuthOptions::default() };
        assert!(off.check(&list(&[(31, "digest", "v:h")]), &[], Perms::READ));
    }

    #[test]
    fn subjects_and_principals_are_identities_where_their_schemes_are_there() {
        let auth = AuthOptions {
            x509: true,
            x509_super: Some("CN=root".to_owned()),
            sasl: true,
            any_sasl: Some("readers".to_owned()),
            ..AuthOptions::default()
        };
        let mine = auth.certified("CN=a,O=b");
        assert_eq!(mine, [Id::new("x509", "CN=a,O=b")]);
        assert_eq!(auth.certified("CN=root")[0], Id::new("super", "CN=root"));
        let wish = list(&[(31, "auth", ""), (1, "x509", "CN=b"), (1, "sasl", "u/h@R")]);
        let stored = auth.fix_acl(&wish, &mine).unwrap();
        let want = [(31, "x509", "CN=a,O=b"), (1, "x509", "CN=b"), (1, "sasl", "u/h@R")];
        assert_eq!(stored, list(&want));
        for bad in [(1, "x509", "nobody"), (1, "sasl", "a@b@c"), (1, "sasl", "a/b/c@d")] {
            assert_eq!(auth.fix_acl(&list(&[bad]), &mine), Err(ErrorCode::InvalidAcl), "{bad:?}");
        }
        let check = |entry, ids: &[Id]| auth.check(&list(&[entry]), ids, Perms::READ);
        assert!(check((1, "x509", "CN=a,O=b"), &mine));
        assert!(!check((1, "x509", "CN=a"), &mine));
        // A superuser's subject alone, without `super` beside it, passes x509 entries too.
        assert!(check((1, "x509", "CN=a"), &[Id::new("x509", "CN=root")]));
        let user = [Id::new("sasl", "bob")];
        assert!(check((1, "sasl", "bob"), &user) && check((1, "sasl", "readers"), &user));
        assert!(!check((1, "sasl", "eve"), &user));
        assert!(check((1, "sasl", "eve"), &[Id::new("sasl", "super")]));
        let off = AuthOptions::default();
        assert_eq!(off.fix_acl(&wish, &mine), Err(ErrorCode::InvalidAcl));
        assert!(!off.check(&list(&[(1, "x509", "CN=a,O=b")]), &mine, Perms::READ));
    }
}
