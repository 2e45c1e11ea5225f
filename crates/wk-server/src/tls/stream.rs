//! A TLS connection as a transport: plain bytes in and out of a non-blocking socket.

use mio::net::TcpStream;
use rustls::ServerConnection;
use std::io::{self, ErrorKind, Read as _, Write as _};

/// Plain bytes that are encrypted for one call to the kernel.
const CHUNK: usize = 64 << 10;

/// Ciphertext that one read takes without a plain byte in it; then the connection ends. Records
/// hold up to 16 KiB; more without a plain byte is a client that sends empty records and new keys
/// on and on, and the driver's thread is not its own.
const BARREN_MAX: usize = 64 << 10;

/// A connection whose handshake is over.
pub(crate) struct TlsStream {
    socket: TcpStream,
    session: Box<ServerConnection>,
    /// Plain bytes whose ciphertext the kernel has not wholly taken yet.
    owed: usize,
}

impl TlsStream {
    pub(super) fn new(socket: TcpStream, session: Box<ServerConnection>) -> Self {
        Self { socket, session, owed: 0 }
    }

    pub(crate) fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Reads what is there; `WouldBlock` says that everything was read, a short read does not.
    /// More than [`BARREN_MAX`] bytes without a plain one are an error.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        plain(&mut self.session, &mut self.socket, into)
    }

    /// Writes the begin of `bytes` and says how many of them the kernel has, encrypted. After
    /// `WouldBlock` the same bytes must come again first: some of them may be on their way.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.owed == 0 {
            self.owed = self.session.writer().write(&bytes[..bytes.len().min(CHUNK)])?;
        }
        while self.session.wants_write() {
            self.session.write_tls(&mut self.socket)?;
        }
        Ok(std::mem::take(&mut self.owed))
    }

    /// Says farewell, as far as the kernel takes it.
    pub(crate) fn shutdown(&mut self) {
        self.session.send_close_notify();
        let _ = self.session.write_tls(&mut self.socket);
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

/// Plain bytes out of those that `socket` has.
fn plain<S: io::Read + io::Write>(
    session: &mut ServerConnection,
    socket: &mut S,
    into: &mut [u8],
) -> io::Result<usize> {
    let mut barren = 0;
    loop {
        match session.reader().read(into) {
            Err(err) if err.kind() == ErrorKind::WouldBlock => {}
            other => return other,
        }
        if barren > BARREN_MAX {
            let text = format!("{barren} bytes of TLS without one of the client's own");
            return Err(io::Error::new(ErrorKind::InvalidData, text));
        }
        let got = session.read_tls(socket)?;
        if got == 0 {
            // The end without a farewell; the reader says so next.
            session.process_new_packets().map_err(io::Error::other)?;
            return session.reader().read(into);
        }
        barren += got;
        if let Err(err) = session.process_new_packets() {
            // The alert that says why; it is of no matter whether it arrives.
            let _ = session.write_tls(socket);
            return Err(io::Error::other(err));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, ConnectionTrafficSecrets, RootCertStore};
    use rustls::{ContentType, ProtocolVersion, ServerConfig};
    use std::io::Cursor;
    use std::sync::Arc;

    /// Both ends of a connection by TLS 1.3 whose handshake is over.
    fn pair() -> (ClientConnection, ServerConnection) {
        let name = "localhost".to_owned();
        let own = rcgen::generate_simple_self_signed(vec![name]).unwrap();
        let der = own.cert.der().clone();
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut ours = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![der], key)
            .unwrap();
        ours.send_tls13_tickets = 0;
        let mut theirs = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        theirs.enable_secret_extraction = true;
        let to = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::new(theirs), to).unwrap();
        let mut server = ServerConnection::new(Arc::new(ours)).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let (mut there, mut back) = (Vec::new(), Vec::new());
            while client.wants_write() {
                client.write_tls(&mut there).unwrap();
            }
            let mut there = &there[..];
            while !there.is_empty() {
                server.read_tls(&mut there).unwrap();
                server.process_new_packets().unwrap();
            }
            while server.wants_write() {
                server.write_tls(&mut back).unwrap();
            }
            let mut back = &back[..];
            while !back.is_empty() {
                client.read_tls(&mut back).unwrap();
                client.process_new_packets().unwrap();
            }
        }
        (client, server)
    }

    /// What encrypts for a client from now on, and the number of its next record.
    fn encrypter(client: ClientConnection) -> (Box<dyn MessageEncrypter>, u64) {
        let suite = client.negotiated_cipher_suite().and_then(|suite| suite.tls13()).unwrap();
        let (next, secrets) = client.dangerous_extract_secrets().unwrap().tx;
        let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
        else {
            panic!("a suite that is not known");
        };
        (suite.aead_alg.encrypter(key, iv), next)
    }

    /// Records that hold `data` each, filled up to 16 KiB with what is no data.
    fn padded(client: ClientConnection, data: &[u8], count: u64) -> Vec<u8> {
        let (mut encrypter, next) = encrypter(client);
        let mut content = data.to_vec();
        content.push(u8::from(ContentType::ApplicationData));
        content.resize(16 << 10, 0);
        let mut sent = Vec::new();
        for number in next..next + count {
            // The type that stands last is the padding's last byte.
            let message = OutboundPlainMessage {
                typ: ContentType::Unknown(0),
                version: ProtocolVersion::TLSv1_3,
                payload: OutboundChunks::Single(&content),
            };
            sent.extend(encrypter.encrypt(message, number).unwrap().encode());
        }
        sent
    }

    #[test]
    fn records_without_data_end_the_connection() {
        let (client, mut server) = pair();
        let sent = padded(client, b"", 20);
        let mut socket = Cursor::new(sent.clone());
        let err = plain(&mut server, &mut socket, &mut [0; 64]).unwrap_err();
        assert_eq!(err.kind(), ErrorKind::InvalidData, "{err}");
        assert!(err.to_string().contains("bytes of TLS without one of the client's own"), "{err}");
        let taken = usize::try_from(socket.position()).unwrap();
        assert!(taken > BARREN_MAX && taken < sent.len() / 2, "{taken} of {}", sent.len());
    }

    #[test]
    fn the_bound_begins_anew_with_every_plain_byte() {
        let (client, mut server) = pair();
        let mut socket = Cursor::new(padded(client, b"x", 20));
        for _ in 0..20 {
            let mut into = [0; 64];
            assert_eq!(plain(&mut server, &mut socket, &mut into).unwrap(), 1);
            assert_eq!(into[0], b'x');
        }
    }
}
