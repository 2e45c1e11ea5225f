//! The server's side of DIGEST-MD5 as Java's server speaks it: quality of protection `auth` alone,
//! one realm, one answer.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use md5::{Digest as _, Md5};
use sha1::Sha1;

use super::{SaslOptions, Secret};

/// The longest token that is read (RFC 2831, 2.1.2).
pub const TOKEN_MAX: usize = 4096;
/// Our realm: the name that every ZooKeeper has here.
const REALM: &str = "zk-sasl-md5";
/// What the answer must be for: protocol and server.
const URI: &str = "zookeeper/zk-sasl-md5";

/// Why a login is refused, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The exchange is over.
    OutOfTurn,
    /// The token is no list of directives, or longer than [`TOKEN_MAX`].
    Garbage,
    /// A directive is missing.
    Missing(&'static str),
    /// A directive has another value than it must have.
    Wrong(&'static str),
    /// There is no such user.
    UnknownUser,
    /// The password is another.
    WrongPassword,
}

/// What the server says next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The challenge; an answer is awaited.
    Challenge(Vec<u8>),
    /// The user has proved himself; the token proves the server to him.
    Done {
        /// Who he is.
        user: String,
        /// The last token.
        token: Vec<u8>,
    },
}

/// How far an exchange is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Exchange {
    /// Nothing has come.
    #[default]
    Fresh,
    /// The challenge with this nonce is out.
    Challenged(String),
    /// It is over, well or not.
    Over,
}

impl Exchange {
    /// Takes a token of the client. `number` is never the same twice on one server.
    ///
    /// # Errors
    /// [`Refusal`]; the exchange is over then.
    pub fn step(
        &mut self,
        options: &SaslOptions,
        number: u64,
        token: &[u8],
    ) -> Result<Step, Refusal> {
        match std::mem::replace(self, Self::Over) {
            // Whatever the first token says: Java does not look at it either.
            Self::Fresh => {
                let nonce = nonce(&options.nonce_secret, number);
                let challenge =
                    format!("realm=\"{REALM}\",nonce=\"{nonce}\",charset=utf-8,algorithm=md5-sess");
                *self = Self::Challenged(nonce);
                Ok(Step::Challenge(challenge.into_bytes()))
            }
            Self::Challenged(nonce) => verify(options, &nonce, token),
            Self::Over => Err(Refusal::OutOfTurn),
        }
    }
}

fn nonce(secret: &Secret, number: u64) -> String {
    let hash = Sha1::new().chain_update(secret.0.as_bytes()).chain_update(number.to_be_bytes());
    base64::engine::general_purpose::STANDARD.encode(hash.finalize())
}

fn verify(options: &SaslOptions, nonce: &str, token: &[u8]) -> Result<Step, Refusal> {
    let answer = directives(token)?;
    let of = |name: &'static str| answer.get(name).map(Vec::as_slice).ok_or(Refusal::Missing(name));
    let must = |name: &'static str, value: &[u8]| {
        if of(name)? == value { Ok(()) } else { Err(Refusal::Wrong(name)) }
    };
    if answer.contains_key("charset") {
        must("charset", b"utf-8")?;
    }
    if answer.contains_key("qop") {
        must("qop", b"auth")?;
    }
    must("realm", REALM.as_bytes())?;
    must("nonce", nonce.as_bytes())?;
    must("nc", b"00000001")?;
    if !of("digest-uri")?.eq_ignore_ascii_case(URI.as_bytes()) {
        return Err(Refusal::Wrong("digest-uri"));
    }
    let (cnonce, username, response) = (of("cnonce")?, of("username")?, of("response")?);
    let user = std::str::from_utf8(username).map_err(|_| Refusal::Wrong("username"))?;
    let password = options.users.get(user).ok_or(Refusal::UnknownUser)?;
    let proof = Proof {
        realm: REALM,
        user,
        password: &password.0,
        nonce,
        cnonce,
        uri: of("digest-uri")?,
        authzid: answer.get("authzid").map(Vec::as_slice),
    };
    if !same(response, proof.hash("AUTHENTICATE").as_bytes()) {
        return Err(Refusal::WrongPassword);
    }
    let token = format!("rspauth={}", proof.hash("")).into_bytes();
    Ok(Step::Done { user: user.to_owned(), token })
}

/// Equal, found out in a time that does not tell where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y)) == 0
}

/// All that goes into the hashes of RFC 2831, 2.1.2.1.
struct Proof<'a> {
    realm: &'a str,
    user: &'a str,
    password: &'a str,
    nonce: &'a str,
    cnonce: &'a [u8],
    uri: &'a [u8],
    authzid: Option<&'a [u8]>,
}

impl Proof<'_> {
    /// The value of `response` with the method `AUTHENTICATE`, that of `rspauth` with none.
    fn hash(&self, method: &str) -> String {
        let user = Md5::new()
            .chain_update(latin(self.user))
            .chain_update(":")
            .chain_update(self.realm)
            .chain_update(":")
            .chain_update(latin(self.password))
            .finalize();
        let mut a1 = Md5::new()
            .chain_update(user)
            .chain_update(":")
            .chain_update(self.nonce)
            .chain_update(":")
            .chain_update(self.cnonce);
        if let Some(authzid) = self.authzid {
            a1 = a1.chain_update(":").chain_update(authzid);
        }
        let a2 = Md5::new().chain_update(method).chain_update(":").chain_update(self.uri);
        let all = Md5::new()
            .chain_update(hex(&a1.finalize()))
            .chain_update(":")
            .chain_update(self.nonce)
            .chain_update(":00000001:")
            .chain_update(self.cnonce)
            .chain_update(":auth:")
            .chain_update(hex(&a2.finalize()));
        hex(&all.finalize())
    }
}

/// Text that ISO 8859-1 can write is hashed as such, other text as UTF-8.
fn latin(text: &str) -> Vec<u8> {
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
    bytes.unwrap_or_else(|| text.as_bytes().to_vec())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `name=value` and `name="value"`, separated by commas; each name once.
fn directives(token: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, Refusal> {
    if token.len() > TOKEN_MAX {
        return Err(Refusal::Garbage);
    }
    let mut found = BTreeMap::new();
    let mut rest = token;
    loop {
        // Empty elements are allowed between the commas.
        while let [b',' | b' ' | b'\t' | b'\r' | b'\n', more @ ..] = rest {
            rest = more;
        }
        if rest.is_empty() {
            return Ok(found);
        }
        let equals = rest.iter().position(|byte| *byte == b'=').ok_or(Refusal::Garbage)?;
        let name = std::str::from_utf8(&rest[..equals]).map_err(|_| Refusal::Garbage)?;
        let (value, more) = value(rest[equals + 1..].trim_ascii_start())?;
        rest = more.trim_ascii_start();
        if !rest.is_empty() && rest[0] != b',' {
            return Err(Refusal::Garbage);
        }
        if found.insert(name.trim().to_ascii_lowercase(), value).is_some() {
            return Err(Refusal::Garbage);
        }
    }
}

fn value(bytes: &[u8]) -> Result<(Vec<u8>, &[u8]), Refusal> {
    let Some(quoted) = bytes.strip_prefix(b"\"") else {
        let end = bytes.iter().position(|byte| *byte == b',').unwrap_or(bytes.len());
        return Ok((bytes[..end].trim_ascii_end().to_vec(), &bytes[end..]));
    };
    let mut value = Vec::new();
    let mut bytes = quoted.iter();
    loop {
        match bytes.next() {
            Some(b'"') => return Ok((value, bytes.as_slice())),
            Some(b'\\') => value.push(*bytes.next().ok_or(Refusal::Garbage)?),
            Some(byte) => value.push(*byte),
            None => return Err(Refusal::Garbage),
        }
    }
}

#[cfg(test)]
mod tests;
