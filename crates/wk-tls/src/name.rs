//! The subject of a certificate in the form of Java's `X500Principal.getName()` (RFC 2253), which
//! ACLs of scheme `x509` are written in.

use std::fmt::Write as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Attributes that have a name in RFC 2253; others are written as numbers.
const NAMES: &[(&[u8], &str)] = &[
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
];

/// The subject of a certificate, as Java names it; `None` where it is none.
pub fn subject(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    distinguished_name(certificate.subject().as_raw())
}

/// One element of DER.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    /// With tag and length.
    whole: &'a [u8],
}

/// Takes the next element off `bytes`. Names have short tags and definite lengths.
fn next<'a>(bytes: &mut &'a [u8]) -> Option<Element<'a>> {
    let all = *bytes;
    let (&tag, rest) = all.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut len = usize::from(first);
    if first >= 0x80 {
        let digits = usize::from(first & 0x7f);
        if !(1..=4).contains(&digits) || rest.len() < digits {
            return None;
        }
        len = rest[..digits].iter().fold(0, |len, digit| len << 8 | usize::from(*digit));
        rest = &rest[digits..];
    }
    let content = rest.get(..len)?;
    *bytes = &rest[len..];
    Some(Element { tag, content, whole: &all[..all.len() - bytes.len()] })
}

fn distinguished_name(der: &[u8]) -> Option<String> {
    let mut sets = next(&mut { der })?.content;
    let mut relative = Vec::new();
    while !sets.is_empty() {
        let mut set = next(&mut sets)?.content;
        let mut attributes = Vec::new();
        while !set.is_empty() {
            attributes.push(attribute(next(&mut set)?.content)?);
        }
        relative.push(attributes.join("+"));
    }
    relative.reverse();
    Some(relative.join(","))
}

fn attribute(mut pair: &[u8]) -> Option<String> {
    let kind = next(&mut pair)?;
    let value = next(&mut pair)?;
    // UTF8, Printable, T61, IA5, General and BMP string: Java reads all of them as UTF-8.
    let is_text = matches!(value.tag, 0x0c | 0x13 | 0x14 | 0x16 | 0x1b | 0x1e);
    match NAMES.iter().find(|(id, _)| *id == kind.content) {
        Some((_, name)) if is_text => {
            Some(format!("{name}={}", escaped(&String::from_utf8_lossy(value.content))))
        }
        Some((_, name)) => Some(format!("{name}=#{}", hex(value.whole))),
        None => Some(format!("{}=#{}", number(kind.content)?, hex(value.whole))),
    }
}

fn escaped(text: &str) -> String {
    let is_blank = |c: char| c == ' ' || c == '\r';
    let trimmed = text.trim_start_matches(is_blank);
    let lead = text.len() - trimmed.len();
    let end = lead + trimmed.trim_end_matches(is_blank).len();
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        if c == '\0' {
            out.push_str("\\00");
            continue;
        }
        if ",=+<>#;\"\\".contains(c) || at < lead || at >= end {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The dotted form of an object identifier.
fn number(id: &[u8]) -> Option<String> {
    let mut arcs: Vec<u64> = Vec::new();
    let mut arc: u64 = 0;
    for (at, byte) in id.iter().enumerate() {
        arc = arc.checked_mul(128)?.checked_add(u64::from(byte & 0x7f))?;
        if byte & 0x80 == 0 {
            if arcs.is_empty() {
                let root = (arc / 40).min(2);
                arcs.push(root);
                arc -= root * 40;
            }
            arcs.push(arc);
            arc = 0;
        } else if at + 1 == id.len() {
            return None;
        }
    }
    (!arcs.is_empty()).then(|| arcs.iter().map(u64::to_string).collect::<Vec<_>>().join("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    /// Names in DER and what `new X500Principal(der).getName()` of Java 17 makes of them.
    const JAVA: &[(&str, &str)] = &[
        ("3010310e300c06035504031305616c696365", "CN=alice"),
        (
            "3065310b3009060355040613024445310f300d060355040813064265726c696e310f300d06035504071306\
             4265726c696e31153013060355040a130c4578616d706c6520476d6248310d300b060355040b1304446174\
             61310e300c060355040313056b61666b61",
            "CN=kafka,OU=Data,O=Example GmbH,L=Berlin,ST=Berlin,C=DE",
        ),
        (
            "3022310a3008060355040a1301633114300806035504031301613008060355040b130162",
            "CN=a+OU=b,O=c",
        ),
        (
            "304231133011060a0992268993f22c64011916036f726731173015060a0992268993f22c64011916076578\
             616d706c6531123010060a0992268993f22c64010113027531",
            "UID=u1,DC=example,DC=org",
        ),
        (
            "302b310a30080603550403130178311d301b06092a864886f70d010901160e6d65406578616d706c652e6f\
             7267",
            "1.2.840.113549.1.9.1=#160e6d65406578616d706c652e6f7267,CN=x",
        ),
        ("30163114301206035504030c0b4dc3bc6c6c657220e4b8ad", "CN=Müller 中"),
        (
            "3047310a3008060355040313017a310b3009060355042a1302416c310b3009060355040c13024472310b30\
             0906035504051302373731123010060355040913094d61696e2053742031",
            "STREET=Main St 1,2.5.4.5=#13023737,2.5.4.12=#13024472,2.5.4.42=#1302416c,CN=z",
        ),
        ("301a310a30080603550403130179310c300a06032a0304130376616c", "1.2.3.4=#130376616c,CN=y"),
        ("3000", ""),
        ("300b3109300706035504031300", "CN="),
        ("3010310e300c06035504030c05613d623b63", "CN=a\\=b\\;c"),
        ("300f310d300b06035504030c0423612362", "CN=\\#a\\#b"),
        ("300e310c300a06035504030c03206120", "CN=\\ a\\ "),
        ("300d310b300906035504030c022020", "CN=\\ \\ "),
        ("3010310e300c06035504030c050d610a620d", "CN=\\\ra\nb\\\r"),
        ("300e310c300a06035504030c03610062", "CN=a\\00b"),
        ("300d310b300906035504030c02fc41", "CN=\u{fffd}A"),
        ("300f310d300b06035504031e0400410042", "CN=\\00A\\00B"),
        ("300f310d300b06035504031c0400000041", "CN=#1c0400000041"),
        ("300e310c300a060355040304036f6374", "CN=#04036f6374"),
        ("300d310b300906035504031b026773", "CN=gs"),
    ];

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn names_are_javas() {
        for (der, name) in JAVA {
            assert_eq!(distinguished_name(&bytes(der)).as_deref(), Some(*name), "{der}");
        }
    }

    #[test]
    fn what_is_cut_short_is_no_name() {
        for (der, _) in JAVA {
            let der = bytes(der);
            for len in 0..der.len() {
                assert_eq!(distinguished_name(&der[..len]), None, "{der:02x?} at {len}");
            }
        }
        for bad in ["3084ffffffff", "30063104300206", "3080", "300b3109300706038504831300"] {
            assert_eq!(distinguished_name(&bytes(bad)), None, "{bad}");
        }
    }

    #[test]
    fn the_subject_of_a_certificate_is_found() {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, "DE");
        params.distinguished_name.push(DnType::CommonName, "alice");
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(subject(certificate.der()).as_deref(), Some("CN=alice,C=DE"));
        assert_eq!(subject(b"none"), None);
    }
}
