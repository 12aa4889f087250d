//! Reads headers of the PROXY protocol (HAProxy's `doc/proxy-protocol.txt`), versions 1 and 2.
//!
//! It knows no stream and no trust. Its invariant: what does not follow the specification to the letter is refused, so that no
//! byte of a client's is taken for the proxy's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a proxy has said about its client, from [`Request::proxy_header`](crate::Request::proxy_header).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyHeader {
    client: Client,
    /// Records of a type, a length of two bytes and a value. They are whole.
    tlvs: Box<[u8]>,
}

/// Whose connection it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Client {
    /// The proxy's own (a health check), or that of a client that it knows nothing about.
    Peer,
    /// That of a client of one of the proxy's Unix sockets.
    Unix,
    Inet {
        source: SocketAddr,
        destination: SocketAddr,
    },
}

/// It does not begin with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Invalid;

/// A header, and its length in bytes.
type Found = (ProxyHeader, usize);

/// The longest header that is read: with a client's certificate in it (PP2_SUBTYPE_SSL_CLIENT_CERT).
pub(super) const HEADER_BYTES_MAX: usize = 8 << 10;
/// §2.1: the longest line of version 1, with its end.
const LINE_BYTES_MAX: usize = 107;
const SIGNATURE_1: &[u8] = b"PROXY ";
const SIGNATURE_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and protocol, length.
const FIXED_BYTES: usize = 16;

/// Types of records (§2.2).
const TLV_CRC32C: u8 = 0x03;
const TLV_SSL: u8 = 0x20;
/// In a record of that type: the client has connected over TLS.
const CLIENT_SSL: u8 = 0x01;
/// What a record of that type has before records of its own.
const SSL_BYTES: usize = 5;

/// Reads the header that `bytes` begin with. Returns `None` if more bytes are needed.
///
/// # Errors
/// [`Invalid`] if no bytes that may follow can make it one.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Found>, Invalid> {
    let begins_with = |signature: &[u8]| bytes.iter().zip(signature).all(|(byte, expected)| byte == expected);
    if begins_with(SIGNATURE_2) {
        binary(bytes)
    } else if begins_with(SIGNATURE_1) {
        line(bytes)
    } else {
        Err(Invalid)
    }
}

/// Reads version 1.
fn line(bytes: &[u8]) -> Result<Option<Found>, Invalid> {
    let longest = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = longest.windows(2).position(|two| two == b"\r\n") else {
        return if longest.len() < LINE_BYTES_MAX { Ok(None) } else { Err(Invalid) };
    };
    let words = &bytes[SIGNATURE_1.len()..end];
    let client = if let Some([] | [b' ', ..]) = words.strip_prefix(b"UNKNOWN") {
        // What follows on the line is to be ignored.
        Client::Peer
    } else {
        let mut words = std::str::from_utf8(words).map_err(|_| Invalid)?.split(' ');
        let family = words.next();
        let mut ip = || {
            let word = words.next()?;
            match family? {
                "TCP4" => word.parse::<Ipv4Addr>().ok().map(IpAddr::from),
                "TCP6" => word.parse::<Ipv6Addr>().ok().map(IpAddr::from),
                _ => None,
            }
        };
        let (source, destination) = ip().zip(ip()).ok_or(Invalid)?;
        let mut port = || port(words.next()?);
        let (source_port, destination_port) = port().zip(port()).ok_or(Invalid)?;
        if words.next().is_some() {
            return Err(Invalid);
        }
        Client::Inet {
            source: SocketAddr::new(source, source_port),
            destination: SocketAddr::new(destination, destination_port),
        }
    };
    Ok(Some((ProxyHeader { client, tlvs: Box::default() }, end + 2)))
}

/// Reads a port of version 1: digits, and no zero before others.
fn port(text: &str) -> Option<u16> {
    let is_canonical =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_canonical)
}

/// Reads version 2.
fn binary(bytes: &[u8]) -> Result<Option<Found>, Invalid> {
    let Some(fixed) = bytes.first_chunk::<FIXED_BYTES>() else { return Ok(None) };
    let is_local = match fixed[12] {
        0x20 => true,
        0x21 => false,
        _ => return Err(Invalid),
    };
    let end = FIXED_BYTES + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if end > HEADER_BYTES_MAX {
        return Err(Invalid);
    }
    // The protocol must be a stream.
    let address_bytes = match fixed[13] {
        // The family is to be ignored, and with it what follows.
        _ if is_local => 0,
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        _ => return Err(Invalid),
    };
    if end < FIXED_BYTES + address_bytes {
        return Err(Invalid);
    }
    let Some(whole) = bytes.get(..end) else { return Ok(None) };
    let (addresses, tlvs) = whole[FIXED_BYTES..].split_at(address_bytes);
    let client = match address_bytes {
        12 => inet(addresses, <[u8; 4]>::try_from),
        36 => inet(addresses, <[u8; 16]>::try_from),
        216 => Some(Client::Unix),
        // What follows has no form that is known.
        _ => return Ok(Some((ProxyHeader { client: Client::Peer, tlvs: Box::default() }, end))),
    };
    check(tlvs, whole)?;
    Ok(Some((ProxyHeader { client: client.ok_or(Invalid)?, tlvs: tlvs.into() }, end)))
}

/// Reads two addresses and two ports. `ip` makes an address of its bytes.
fn inet<'a, T: Into<IpAddr>, E>(bytes: &'a [u8], ip: impl Fn(&'a [u8]) -> Result<T, E>) -> Option<Client> {
    let (addresses, ports) = bytes.split_at(bytes.len() - 4);
    let (source, destination) = addresses.split_at(addresses.len() / 2);
    let socket = |addr: &'a [u8], port: &[u8]| {
        Some(SocketAddr::new(ip(addr).ok()?.into(), u16::from_be_bytes([port[0], port[1]])))
    };
    Some(Client::Inet {
        source: socket(source, &ports[..2])?,
        destination: socket(destination, &ports[2..])?,
    })
}

/// Checks the records at the end of `header`.
fn check(tlvs: &[u8], header: &[u8]) -> Result<(), Invalid> {
    let (mut rest, mut has_checksum) = (tlvs, false);
    while !rest.is_empty() {
        let (kind, value, after) = tlv(rest).ok_or(Invalid)?;
        let is_valid = match kind {
            TLV_SSL => value.len() >= SSL_BYTES,
            TLV_CRC32C => {
                let at = header.len() - after.len() - value.len();
                let is_first = !std::mem::replace(&mut has_checksum, true);
                is_first && value.len() == 4 && crc32c(header, at..at + 4).to_be_bytes() == value
            }
            _ => true,
        };
        if !is_valid {
            return Err(Invalid);
        }
        rest = after;
    }
    Ok(())
}

/// Splits off the first record: its type, its value, and what follows it.
fn tlv(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let ([kind, high, low], rest) = bytes.split_first_chunk()?;
    let (value, after) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
    Some((*kind, value, after))
}

/// Returns the checksum of `bytes` (RFC 3720 §B.4), with zeros in place of those at `itself`.
fn crc32c(bytes: &[u8], itself: std::ops::Range<usize>) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let crc = bytes.iter().enumerate().fold(!0, |crc, (at, byte)| {
        let byte = if itself.contains(&at) { 0 } else { *byte };
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ ((crc & 1) * POLYNOMIAL))
    });
    !crc
}

impl ProxyHeader {
    /// Returns the client's address. `None` if the connection is the proxy's own, such as a health check, or if the client has
    /// connected to the proxy over a Unix socket.
    pub fn source(&self) -> Option<SocketAddr> {
        match self.client {
            Client::Inet { source, .. } => Some(source),
            Client::Peer | Client::Unix => None,
        }
    }

    /// Returns the address to which the client has connected: one of the proxy's.
    pub fn destination(&self) -> Option<SocketAddr> {
        match self.client {
            Client::Inet { destination, .. } => Some(destination),
            Client::Peer | Client::Unix => None,
        }
    }

    /// Returns the bytes that it takes besides itself.
    pub(super) fn kept_bytes(&self) -> usize {
        self.tlvs.len()
    }

    /// Whether the connection is that of a client that the proxy knows, even if by no address.
    pub(crate) fn has_client(&self) -> bool {
        self.client != Client::Peer
    }

    /// Returns the types and values of the records that version 2 has behind the addresses (§2.2, "TLV"), in their order.
    ///
    /// Types are bytes: 0x01 is the client's ALPN protocol, 0x02 the host that it has asked for (SNI), 0x05 a unique name of the
    /// connection, 0x20 what is known of its TLS.
    pub fn tlvs(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut rest = &*self.tlvs;
        std::iter::from_fn(move || {
            let (kind, value, after) = tlv(rest)?;
            rest = after;
            Some((kind, value))
        })
    }

    /// Returns the value of the first record of this type.
    pub fn tlv(&self, kind: u8) -> Option<&[u8]> {
        self.tlvs().find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    /// Whether the proxy says that the client has connected to it over TLS. A proxy that passes TLS on does not say so.
    pub fn is_secure(&self) -> bool {
        self.tlv(TLV_SSL).is_some_and(|value| value[0] & CLIENT_SSL != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inet(source: &str, destination: &str) -> Client {
        Client::Inet { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    /// A header of version 2, of which `length` says how much follows.
    fn binary_with(command: u8, family: u8, length: usize, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(length).unwrap().to_be_bytes();
        [SIGNATURE_2, &[command, family], &length, rest].concat()
    }

    fn binary_of(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        binary_with(command, family, rest.len(), rest)
    }

    const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 7, 0x12, 0x34, 0x01, 0xbb];

    /// Checks that the header is found at its last byte and not before, whatever follows.
    fn accepts(header: &[u8], client: Client, tlvs: &[u8]) {
        for cut in 0..header.len() {
            assert_eq!(
                read(&header[..cut]),
                Ok(None),
                "{cut} bytes of {:?}",
                header.escape_ascii().to_string()
            );
        }
        for rest in [&b""[..], b"GET / HTTP/1.1\r\n", b"\r\n", b"\0"] {
            let expected = (ProxyHeader { client: client.clone(), tlvs: tlvs.into() }, header.len());
            assert_eq!(
                read(&[header, rest].concat()),
                Ok(Some(expected)),
                "{:?}",
                header.escape_ascii().to_string()
            );
        }
    }

    fn refuses(header: &[u8]) {
        let found = (0..=header.len()).find_map(|cut| read(&header[..cut]).transpose());
        assert_eq!(found, Some(Err(Invalid)), "{:?}", header.escape_ascii().to_string());
    }

    #[test]
    fn a_line_names_the_client() {
        fn check(line: &str, client: Client) {
            accepts(line.as_bytes(), client, &[]);
        }
        check("PROXY TCP4 192.0.2.1 198.51.100.7 4660 443\r\n", inet("192.0.2.1:4660", "198.51.100.7:443"));
        check(
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            inet("255.255.255.255:65535", "255.255.255.255:65535"),
        );
        check("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", inet("0.0.0.0:0", "0.0.0.0:0"));
        check("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", inet("[2001:db8::1]:1", "[::1]:2"));
        check("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", inet("[::ffff:192.0.2.1]:1", "[::1]:2"));
        check("PROXY UNKNOWN\r\n", Client::Peer);
        // The longest line of the specification.
        let longest = "PROXY UNKNOWN ffff:f...f:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535 and anything else here\r\n";
        check(longest, Client::Peer);
        check(&format!("PROXY UNKNOWN {}\r\n", "x".repeat(91)), Client::Peer);
        accepts(b"PROXY UNKNOWN \xff\n \r\r\n", Client::Peer, &[]);
    }

    #[test]
    fn a_line_that_is_not_exactly_right_is_refused() {
        for line in [
            "GET / HTTP/1.1\r\n",
            "proxy TCP4 192.0.2.1 198.51.100.7 1 2\r\n",
            "PROXY\r\n",
            "PROXY \r\n",
            "PROXY  TCP4 192.0.2.1 198.51.100.7 1 2\r\n",
            "PROXY TCP5 192.0.2.1 198.51.100.7 1 2\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.7 1 2\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY TCP4\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 1\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 1 2 \r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 1 2 3\r\n",
            "PROXY TCP4 192.0.2.1  198.51.100.7 1 2\r\n",
            "PROXY TCP4 192.0.2.1\t198.51.100.7 1 2\r\n",
            "PROXY TCP4 192.0.2.01 198.51.100.7 1 2\r\n",
            "PROXY TCP4 192.0.2 198.51.100.7 1 2\r\n",
            "PROXY TCP4 192.0.2.256 198.51.100.7 1 2\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.7 1 2\r\n",
            "PROXY TCP6 [::1] [::1] 1 2\r\n",
            "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 01 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 -1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 65536 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 1 \r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 1 2\n\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 1 2\r\r\n",
        ] {
            refuses(line.as_bytes());
        }
        refuses(b"PROXY TCP4 192.0.2.1 198.51.100.7 1 \xff\r\n");
        // One byte longer than a line may be, and a line without an end.
        refuses(format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)).as_bytes());
        refuses(format!("PROXY TCP4 {}", "1".repeat(200)).as_bytes());
    }

    #[test]
    fn bytes_name_the_client() {
        accepts(&binary_of(0x21, 0x11, &V4), inet("192.0.2.1:4660", "198.51.100.7:443"), &[]);
        let mut v6 = [0; 36];
        (v6[15], v6[31], v6[33], v6[35]) = (1, 2, 3, 4);
        accepts(&binary_of(0x21, 0x21, &v6), inet("[::1]:3", "[::2]:4"), &[]);
        accepts(&binary_of(0x21, 0x31, &[b'/'; 216]), Client::Unix, &[]);
        // The proxy's own connection, or one of which it knows nothing: whatever it says, it is not read.
        for (command, family) in [(0x20, 0x00), (0x20, 0x11), (0x20, 0x21), (0x20, 0xff), (0x21, 0x00)] {
            for rest in [&b""[..], &V4, b"\x01", &[0; 2000]] {
                accepts(&binary_of(command, family, rest), Client::Peer, &[]);
            }
        }
        let tlvs = b"\x02\0\x03a.b\x04\0\0\x05\0\x01x";
        let header = binary_of(0x21, 0x11, &[&V4, &tlvs[..]].concat());
        accepts(&header, inet("192.0.2.1:4660", "198.51.100.7:443"), tlvs);
        let (header, _) = read(&header).unwrap().unwrap();
        let expected: [(u8, &[u8]); 3] = [(0x02, b"a.b"), (0x04, b""), (0x05, b"x")];
        assert_eq!(header.tlvs().collect::<Vec<_>>(), expected);
        assert_eq!(
            (header.tlv(0x02), header.tlv(0x20), header.is_secure()),
            (Some(&b"a.b"[..]), None, false)
        );
    }

    #[test]
    fn bytes_that_are_not_exactly_right_are_refused() {
        // Versions and commands, families and protocols.
        for command in (0..=255).filter(|command| !matches!(command, 0x20 | 0x21)) {
            refuses(&binary_of(command, 0x11, &V4));
        }
        for family in (0..=255).filter(|family| !matches!(family, 0x00 | 0x11 | 0x21 | 0x31)) {
            refuses(&binary_of(0x21, family, &[0; 300]));
        }
        // Too short for the addresses, and longer than a header may be.
        for (family, bytes) in [(0x11, 12), (0x21, 36), (0x31, 216)] {
            for length in [0, 1, bytes - 1] {
                refuses(&binary_of(0x21, family, &vec![0; length]));
            }
        }
        for length in [HEADER_BYTES_MAX - FIXED_BYTES + 1, 0xffff] {
            refuses(&binary_with(0x21, 0x00, length, &[]));
        }
        for length in [HEADER_BYTES_MAX - FIXED_BYTES, 2] {
            assert_eq!(read(&binary_with(0x21, 0x00, length, &[])), Ok(None));
        }
        // Signatures that end wrongly.
        for at in 0..SIGNATURE_2.len() {
            let mut header = binary_of(0x21, 0x11, &V4);
            header[at] ^= 0x20;
            refuses(&header);
        }
        // Records that are not whole, or too short for their type.
        let ssl: &[u8] = b"\x20\0\x04\x01\0\0\0";
        for tlvs in
            [&b"\x02"[..], b"\x02\0", b"\x02\0\x01", b"\x02\xff\xffa", b"\x04\0\0\x04", b"\x20\0\0", ssl]
        {
            refuses(&binary_of(0x21, 0x11, &[&V4, tlvs].concat()));
        }
    }

    #[test]
    fn a_proxy_says_whether_its_client_has_tls() {
        for (client, expected) in [(0x00, false), (0x01, true), (0x07, true), (0x06, false)] {
            let tlvs = [0x20, 0, 5, client, 0, 0, 0, 0];
            let (header, _) = read(&binary_of(0x21, 0x11, &[&V4, &tlvs[..]].concat())).unwrap().unwrap();
            assert_eq!(header.is_secure(), expected, "{client:#x}");
        }
    }

    #[test]
    fn a_checksum_must_be_right() {
        // RFC 3720 §B.4.
        assert_eq!(crc32c(&[0; 32], 0..0), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32], 0..0), 0x62a8_ab43);
        assert_eq!(crc32c(&[0xff; 32], 0..32), 0x8a91_36aa);
        let mut header =
            binary_of(0x21, 0x11, &[&V4[..], b"\x04\0\x01x", b"\x03\0\x04\0\0\0\0", b"\x04\0\0"].concat());
        refuses(&header);
        let at = header.len() - 3 - 4;
        let checksum = crc32c(&header, at..at + 4);
        header[at..at + 4].copy_from_slice(&checksum.to_be_bytes());
        assert!(read(&header).unwrap().is_some());
        for bit in 0..8 * header.len() {
            let mut other = header.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            // Two bits make it the proxy's own connection, or one of which it knows nothing; then nothing is read. Others make
            // the record one of another type.
            let is_still_checked = !matches!(bit, 96 | 108) && !(8 * (at - 3)..8 * (at - 2)).contains(&bit);
            assert!(!is_still_checked || !matches!(read(&other), Ok(Some(_))), "bit {bit}");
        }
        refuses(&binary_of(0x21, 0x11, &[&V4[..], b"\x03\0\x03\0\0\0"].concat()));
    }
}
