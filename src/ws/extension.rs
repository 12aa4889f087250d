//! The negotiation of extensions (RFC 6455 §9.1). The only one supported is permessage-deflate (RFC 7692).
//!
//! It knows no codec and no request, only the values of `Sec-WebSocket-Extensions`. Its invariant: the answer accepts
//! one offer, the first that is acceptable as a whole, and contains nothing that this offer does not allow.

use super::compression::{Compression, Mode};
use super::tokens::{Malformed, Scanner};

/// The negotiated parameters of permessage-deflate (RFC 7692 §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Negotiated {
    /// The size of the server's window as a power of two, 9 to 15: how far back its matches may refer.
    pub server_window_bits: u8,
    /// The server's messages may refer to earlier ones (context takeover).
    pub server_takeover: bool,
    /// The client's messages may refer to earlier ones (context takeover).
    pub client_takeover: bool,
    /// Which windows the answer names. The low bits are the size of the client's window, or 0; [`NAMES_SERVER_WINDOW`]
    /// is a flag. One byte for both keeps the `Option` of this struct at four bytes.
    windows: u8,
}

/// The answer names the server's window.
const NAMES_SERVER_WINDOW: u8 = 0x80;

const NAME: &[u8] = b"permessage-deflate";
const SERVER_NO_TAKEOVER: &[u8] = b"server_no_context_takeover";
const CLIENT_NO_TAKEOVER: &[u8] = b"client_no_context_takeover";
const SERVER_WINDOW: &[u8] = b"server_max_window_bits";
const CLIENT_WINDOW: &[u8] = b"client_max_window_bits";

impl Negotiated {
    /// Returns the size of the client's window that the answer names, as a power of two, 8 to 15.
    pub fn client_window_bits(&self) -> Option<u8> {
        Some(self.windows & !NAMES_SERVER_WINDOW).filter(|bits| *bits != 0)
    }

    /// Appends the value of `Sec-WebSocket-Extensions` for the response.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(NAME);
        let mut parameter = |name: &[u8], bits: Option<u8>| {
            out.extend_from_slice(b"; ");
            out.extend_from_slice(name);
            match bits {
                Some(bits @ 10..) => out.extend_from_slice(&[b'=', b'1', b'0' + (bits - 10)]),
                Some(bits) => out.extend_from_slice(&[b'=', b'0' + bits]),
                None => {}
            }
        };
        if !self.server_takeover {
            parameter(SERVER_NO_TAKEOVER, None);
        }
        if !self.client_takeover {
            parameter(CLIENT_NO_TAKEOVER, None);
        }
        if self.windows & NAMES_SERVER_WINDOW != 0 {
            parameter(SERVER_WINDOW, Some(self.server_window_bits));
        }
        if let Some(bits) = self.client_window_bits() {
            parameter(CLIENT_WINDOW, Some(bits));
        }
    }
}

/// Reads all offers and accepts the first that is compatible with the route's `settings`.
///
/// All fields are read to the end, even if compression is off: RFC 6455 §9.1 requires that a malformed field fails the
/// handshake.
pub(super) fn negotiate<'a>(
    fields: impl IntoIterator<Item = &'a [u8]>,
    settings: &Compression,
) -> Result<Option<Negotiated>, Malformed> {
    let mut accepted = None;
    for field in fields {
        let mut field = Scanner::new(field);
        while let Some(offer) = next_offer(&mut field)? {
            accepted = accepted.or_else(|| offer.accept(settings));
        }
    }
    Ok(accepted.filter(|_| cfg!(feature = "deflate")))
}

/// One offer of an extension.
#[derive(Debug, Default)]
struct Offer {
    /// The offer is for another extension, or must be declined.
    declined: bool,
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_window: Option<u8>,
    /// The outer `Option` is the parameter, and the inner one is its value.
    client_window: Option<Option<u8>>,
}

impl Offer {
    /// Adds a parameter. An offer with an unknown parameter, a repeated one or an invalid value must be declined (RFC
    /// 7692 §7.1).
    fn add(&mut self, name: &[u8], value: Option<&[u8]>) {
        let bits = value.map(window_bits);
        let is_valid = match (name, bits) {
            (SERVER_NO_TAKEOVER, None) => !std::mem::replace(&mut self.server_no_takeover, true),
            (CLIENT_NO_TAKEOVER, None) => !std::mem::replace(&mut self.client_no_takeover, true),
            (SERVER_WINDOW, Some(Some(bits))) => self.server_window.replace(bits).is_none(),
            (CLIENT_WINDOW, None) => self.client_window.replace(None).is_none(),
            (CLIENT_WINDOW, Some(Some(bits))) => self.client_window.replace(Some(bits)).is_none(),
            _ => false,
        };
        self.declined |= !is_valid;
    }

    fn accept(&self, settings: &Compression) -> Option<Negotiated> {
        let takeover = match settings.mode() {
            Mode::Off => return None,
            // RFC 7692 §7.1.1: the server may demand that neither side uses context takeover, even if the client did
            // not offer that.
            Mode::Shared => false,
            Mode::Dedicated => true,
        };
        // zlib cannot make a raw stream with a window of 2^8.
        if self.declined || self.server_window == Some(8) {
            return None;
        }
        let largest = settings.window_bits();
        let server_window_bits = self.server_window.map_or(largest, |offered| offered.min(largest));
        // RFC 7692 §7.1.2.1: the answer must repeat an accepted parameter, and may add it without an offer.
        let names_server_window = self.server_window.is_some() || server_window_bits < 15;
        // RFC 7692 §7.1.2.2: only a client that offered the parameter understands it.
        let client = self.client_window.filter(|_| largest < 15).map(|bits| bits.unwrap_or(15).min(largest));
        Some(Negotiated {
            server_window_bits,
            server_takeover: takeover && !self.server_no_takeover,
            client_takeover: takeover && !self.client_no_takeover,
            windows: client.unwrap_or(0) | if names_server_window { NAMES_SERVER_WINDOW } else { 0 },
        })
    }
}

/// Reads a window: 8 to 15 in decimal, without leading zeros (RFC 7692 §7.1.2). `value` may contain the escapes
/// of a quoted string.
fn window_bits(value: &[u8]) -> Option<u8> {
    let mut digits = value.iter().copied().filter(|byte| *byte != b'\\');
    match (digits.next(), digits.next(), digits.next()) {
        (Some(digit @ b'8'..=b'9'), None, None) => Some(digit - b'0'),
        (Some(b'1'), Some(digit @ b'0'..=b'5'), None) => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// Reads the next element; `None` at the end of the field. Empty elements are skipped, as in other lists.
///
/// ```text
/// extension-list = 1#( token *( ";" token [ "=" ( token / quoted-string ) ] ) )
/// ```
fn next_offer(field: &mut Scanner<'_>) -> Result<Option<Offer>, Malformed> {
    while field.skip(b',') {}
    if field.is_at_end() {
        return Ok(None);
    }
    let mut offer = Offer { declined: field.token()? != NAME, ..Offer::default() };
    while field.skip(b';') {
        let name = field.token()?;
        let value = if field.skip(b'=') { Some(field.token_or_quoted()?) } else { None };
        offer.add(name, value);
    }
    if field.is_at_end() || field.skip(b',') { Ok(Some(offer)) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "permessage-deflate";

    /// Returns the value of the response's field.
    fn answer(offers: &[&str], settings: &Compression) -> Result<Option<String>, Malformed> {
        let accepted = negotiate(offers.iter().map(|offer| offer.as_bytes()), settings)?;
        Ok(accepted.map(|accepted| {
            let mut out = Vec::new();
            accepted.encode(&mut out);
            String::from_utf8(out).unwrap()
        }))
    }

    #[test]
    fn an_optional_negotiated_is_small() {
        assert!(size_of::<Option<Negotiated>>() <= 4);
    }

    #[test]
    fn malformed_fields_are_refused() {
        fn check(fields: &[&str], well_formed: bool) {
            for settings in [Compression::off(), Compression::shared()] {
                assert_eq!(answer(fields, &settings).is_ok(), well_formed, "{fields:?}");
            }
        }
        check(&[], true);
        check(&[""], true);
        check(&[" , ,, "], true);
        check(&["a"], true);
        check(&["a;b;c=d;e=\"f\", g ; h = i\t;j=\"\\k\\l\""], true);
        check(&["a,b", "c;d"], true);
        check(&["\ta\t,\tb\t"], true);
        for wrong in [
            ";",
            "a;",
            "a;;b",
            "a;b=",
            "a;b=;c",
            "a;=b",
            "a b",
            "a;b c",
            "a;b=c d",
            "a=b",
            "a;b=\"",
            "a;b=\"\"",
            "a;b=\"c",
            "a;b=\"c d\"",
            "a;b=\"c\\\"",
            "a;b=\"c\\ \"",
            "a;b=\"c\"d",
            "a;b=c\"d\"",
            "a;b=\"c;d\"",
            "\"a\"",
            "a;\"b\"",
            "a\0",
            "é",
            "a;b=é",
            "a/b",
            "a;b\r\nc",
        ] {
            check(&[wrong], false);
            check(&[PLAIN, wrong], false);
            check(&[wrong, PLAIN], false);
        }
        // A string does not continue in the next field.
        check(&["a;b=\"c", "d\""], false);
    }

    #[cfg(feature = "deflate")]
    #[test]
    fn the_first_acceptable_offer_is_answered() {
        fn check(settings: Compression, fields: &[&str], expected: Option<&str>) {
            let expected = expected.map(|parameters| format!("{PLAIN}{parameters}"));
            assert_eq!(answer(fields, &settings), Ok(expected), "{fields:?} {settings:?}");
        }
        let (off, shared, own) = (Compression::off(), Compression::shared(), Compression::dedicated());
        const ALONE: &str = "; server_no_context_takeover; client_no_context_takeover";

        check(off, &[PLAIN], None);
        check(shared, &[], None);
        check(shared, &["permessage-bzip2, x-webkit-deflate-frame"], None);
        check(shared, &[PLAIN], Some(ALONE));
        check(own, &[PLAIN], Some(""));
        // What browsers offer.
        check(shared, &["permessage-deflate; client_max_window_bits"], Some(ALONE));
        check(own, &["permessage-deflate; client_max_window_bits"], Some(""));

        check(own, &["permessage-deflate; server_no_context_takeover"], Some("; server_no_context_takeover"));
        check(own, &["permessage-deflate; client_no_context_takeover"], Some("; client_no_context_takeover"));
        check(
            own,
            &["permessage-deflate;client_no_context_takeover;server_no_context_takeover"],
            Some(ALONE),
        );

        // The server's window: an offered window is answered, and the server may demand another.
        check(own, &["permessage-deflate; server_max_window_bits=10"], Some("; server_max_window_bits=10"));
        check(own, &["permessage-deflate; server_max_window_bits=15"], Some("; server_max_window_bits=15"));
        check(own, &["permessage-deflate; server_max_window_bits=9"], Some("; server_max_window_bits=9"));
        check(own.window(12), &[PLAIN], Some("; server_max_window_bits=12"));
        let narrow = own.window(12);
        check(
            narrow,
            &["permessage-deflate; server_max_window_bits=11"],
            Some("; server_max_window_bits=11"),
        );
        check(
            narrow,
            &["permessage-deflate; server_max_window_bits=13"],
            Some("; server_max_window_bits=12"),
        );
        check(own, &["permessage-deflate; server_max_window_bits=8"], None);
        check(own, &["permessage-deflate; server_max_window_bits"], None);

        // The client's window: only if it was offered.
        check(
            narrow,
            &["permessage-deflate; client_max_window_bits"],
            Some("; server_max_window_bits=12; client_max_window_bits=12"),
        );
        check(
            narrow,
            &["permessage-deflate; client_max_window_bits=10"],
            Some("; server_max_window_bits=12; client_max_window_bits=10"),
        );
        for bits in 8..=15 {
            check(own, &[&format!("permessage-deflate; client_max_window_bits={bits}")], Some(""));
        }

        // Quoted values mean the same.
        check(
            own,
            &["permessage-deflate; server_max_window_bits=\"1\\0\""],
            Some("; server_max_window_bits=10"),
        );

        for wrong in [
            "unknown",
            "unknown=1",
            "server_no_context_takeover=1",
            "client_no_context_takeover=true",
            "server_max_window_bits=08",
            "server_max_window_bits=010",
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=100",
            "server_max_window_bits=1",
            "server_max_window_bits=a",
            "client_max_window_bits=08",
            "client_max_window_bits=7",
            "client_max_window_bits=16",
            "client_max_window_bits=x",
            "client_max_window_bits=+9",
            "Server_no_context_takeover",
            "server_max_window_bits=10; server_max_window_bits=10",
            "server_no_context_takeover; server_no_context_takeover",
            "client_no_context_takeover; client_no_context_takeover",
            "client_max_window_bits; client_max_window_bits=10",
        ] {
            let offer = format!("permessage-deflate; {wrong}");
            check(own, &[&offer], None);
            // The next offer is accepted, in the same field or another.
            check(own, &[&format!("{offer}, {PLAIN}")], Some(""));
            check(own, &[&offer, PLAIN], Some(""));
        }
        // RFC 7692 §7.1: the first acceptable offer, not the best.
        check(
            own,
            &[
                "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=10, \
               permessage-deflate",
            ],
            Some("; server_max_window_bits=10"),
        );
    }

    #[cfg(not(feature = "deflate"))]
    #[test]
    fn offers_are_declined_without_the_feature() {
        assert_eq!(answer(&[PLAIN], &Compression::dedicated()), Ok(None));
    }
}
