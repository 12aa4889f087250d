//! Compares the negotiation of extensions with a second one, which splits a field into words first and then checks what
//! RFC 7692 §7.1 forbids.

use fleeting::ws::{Compression, Mode, Policy, Rejected, accept, encode_switching_protocols};
use std::collections::HashSet;

/// Name and value of a parameter.
type Parameter = (String, Option<String>);
type Offer = (String, Vec<Parameter>);

const OURS: &str = "permessage-deflate";
const WINDOWS: [&str; 2] = ["server_max_window_bits", "client_max_window_bits"];
const ALONE: [&str; 2] = ["server_no_context_takeover", "client_no_context_takeover"];

/// Panics unless the handshake accepts the offer that the second negotiation finds, and answers within that offer. The
/// first byte selects the server's options; each following line is a field.
pub fn ws_extensions(bytes: &[u8]) {
    let Some((&variant, rest)) = bytes.split_first() else { return };
    let compression = match variant & 3 {
        0 => Compression::off(),
        1 => Compression::shared(),
        _ => Compression::dedicated(),
    };
    let compression = compression.window(9 + (variant >> 2) % 7);
    let fields: Vec<&[u8]> = rest.split(|byte| *byte == b'\n').collect();

    let offers: Result<Vec<Vec<Offer>>, ()> = fields.iter().map(|field| read(field)).collect();
    let offer = offers.map(|offers| {
        let mut all = offers.into_iter().flatten().filter(|_| compression.mode() != Mode::Off);
        all.find(is_acceptable)
    });

    let policy = Policy::new().compression(compression);
    let values = |name: &str| match name {
        "Upgrade" => vec![&b"websocket"[..]],
        "Connection" => vec![&b"upgrade"[..]],
        "Sec-WebSocket-Version" => vec![&b"13"[..]],
        "Sec-WebSocket-Key" => vec![&b"dGhlIHNhbXBsZSBub25jZQ=="[..]],
        "Sec-WebSocket-Extensions" => fields.clone(),
        _ => Vec::new(),
    };
    let accepted = accept("GET", true, "a.example", false, values, &policy);
    let Ok(offer) = offer else {
        assert_eq!(accepted.err(), Some(Rejected::Extensions), "{:?}", rest.escape_ascii().to_string());
        return;
    };
    let accepted = accepted.unwrap();

    let mut out = Vec::new();
    encode_switching_protocols(&mut out, &accepted, b"", b"Sun, 06 Nov 1994 08:49:37 GMT");
    let head = String::from_utf8(out).unwrap();
    let answer = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
    let Some(offer) = offer else {
        assert!(accepted.deflate.is_none() && answer.is_none(), "{answer:?}");
        return;
    };
    let answer = read(answer.unwrap().as_bytes()).unwrap();
    let [(name, answered)] = &answer[..] else { panic!("{answer:?}") };
    assert_eq!(name, OURS);
    let agreed = accepted.deflate.unwrap();

    // Each parameter once (RFC 7692 §7.1), no others.
    let names: HashSet<&str> = answered.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names.len(), answered.len());
    assert!(names.iter().all(|name| ALONE.contains(name) || WINDOWS.contains(name)));
    // §7.1.1: the server does not use what the client declines, and a shared codec keeps no context.
    let shared = compression.mode() == Mode::Shared;
    for (name, takeover) in ALONE.into_iter().zip([agreed.server_takeover, agreed.client_takeover]) {
        assert_eq!(takeover, !shared && value(&offer.1, name).is_none());
        assert_eq!(value(answered, name), (!takeover).then_some(None));
    }
    // §7.1.2: no window is larger than offered, and the client's is set only if it was offered.
    let [server, client] = WINDOWS.map(|name| value(&offer.1, name).map(bits));
    let [server_answer, client_answer] =
        WINDOWS.map(|name| value(answered, name).map(|value| bits(value).unwrap()));
    let largest = compression.window_bits();
    assert_eq!(agreed.server_window_bits, server.flatten().unwrap_or(15).min(largest));
    assert!((9..=15).contains(&agreed.server_window_bits));
    assert_eq!(server_answer, (server.is_some() || largest < 15).then_some(agreed.server_window_bits));
    assert_eq!(agreed.client_window_bits(), client_answer);
    let expected = client.filter(|_| largest < 15).map(|offered| offered.unwrap_or(15).min(largest));
    assert_eq!(client_answer, expected);
}

/// RFC 7692 §7.1, except that zlib has no window of 2^8.
fn is_acceptable((name, parameters): &Offer) -> bool {
    let once = |name: &str| parameters.iter().filter(|parameter| parameter.0 == name).count() == 1;
    name == OURS
        && parameters.iter().all(|(name, value)| {
            let fits = match &**name {
                "server_no_context_takeover" | "client_no_context_takeover" => value.is_none(),
                "server_max_window_bits" => bits(value.as_deref()).is_some_and(|bits| bits > 8),
                "client_max_window_bits" => value.is_none() || bits(value.as_deref()).is_some(),
                _ => false,
            };
            fits && once(name)
        })
}

fn value<'p>(parameters: &'p [Parameter], name: &str) -> Option<Option<&'p str>> {
    parameters.iter().find(|parameter| parameter.0 == name).map(|parameter| parameter.1.as_deref())
}

fn bits(value: Option<&str>) -> Option<u8> {
    (8..=15).find(|bits| value == Some(&*bits.to_string()))
}

#[derive(Debug, Clone, PartialEq)]
enum Word {
    Token(String),
    Quoted(String),
    Separator(u8),
}

/// Reads the extensions of a field.
fn read(field: &[u8]) -> Result<Vec<Offer>, ()> {
    let words = words(field)?;
    let elements = words.split(|word| *word == Word::Separator(b','));
    elements.filter(|element| !element.is_empty()).map(offer).collect()
}

fn words(field: &[u8]) -> Result<Vec<Word>, ()> {
    let mut words: Vec<Word> = Vec::new();
    let mut bytes = field.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t' => continue,
            b',' | b';' | b'=' => words.push(Word::Separator(byte)),
            b'"' => {
                let mut text = String::new();
                loop {
                    match bytes.next().ok_or(())? {
                        b'"' => break,
                        b'\\' => text.push(char::from(bytes.next().ok_or(())?)),
                        other => text.push(char::from(other)),
                    }
                }
                words.push(Word::Quoted(text));
            }
            _ => {
                let mut text = String::from(char::from(byte));
                while let Some(byte) = bytes.next_if(|byte| !b" \t,;=\"".contains(byte)) {
                    text.push(char::from(byte));
                }
                words.push(Word::Token(text));
            }
        }
    }
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&b))
    };
    let good = words.iter().all(|word| match word {
        Word::Token(text) | Word::Quoted(text) => is_token(text),
        Word::Separator(_) => true,
    });
    if good { Ok(words) } else { Err(()) }
}

/// Reads one element of the list from its words, of which there is at least one.
fn offer(words: &[Word]) -> Result<Offer, ()> {
    let mut parts = words.split(|word| *word == Word::Separator(b';'));
    let Some([Word::Token(name)]) = parts.next() else { return Err(()) };
    let parameters = parts.map(|part| match part {
        [Word::Token(name)] => Ok((name.clone(), None)),
        [Word::Token(name), Word::Separator(b'='), Word::Token(value) | Word::Quoted(value)] => {
            Ok((name.clone(), Some(value.clone())))
        }
        _ => Err(()),
    });
    Ok((name.clone(), parameters.collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_negotiation_accepts_and_rejects_correctly() {
        fn check(field: &str, expected: Result<&[(&str, usize)], ()>) {
            let found = read(field.as_bytes());
            let found =
                found.map(|offers| offers.into_iter().map(|offer| (offer.0, offer.1.len())).collect());
            let expected = expected.map(|offers| offers.iter().map(|o| (o.0.to_owned(), o.1)).collect());
            assert_eq!(found, expected as Result<Vec<_>, ()>, "{field:?}");
        }
        check("", Ok(&[]));
        check("a, b;c;d=e ; f = \"g\\h\",", Ok(&[("a", 0), ("b", 3)]));
        for wrong in ["a b", "a;", "a=b", "a;b=", "a;b=\"", "a;b=\"\"", "a;b=\"c d\"", "\"a\"", ";", "a/b"] {
            check(wrong, Err(()));
        }
        let acceptable = |field: &str| is_acceptable(&read(field.as_bytes()).unwrap()[0]);
        assert!(acceptable("permessage-deflate;client_max_window_bits;server_max_window_bits=9"));
        assert!(!acceptable("permessage-deflate;server_max_window_bits=8"));
        assert!(!acceptable("permessage-deflate;client_max_window_bits;client_max_window_bits=9"));
    }
}
