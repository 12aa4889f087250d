//! The ticks: how a datagram is read, and the last one of each symbol.
//!
//! It knows neither sockets nor clients. Its invariant: what it keeps was copied out of the datagrams.

use fleeting::Keep;
use std::collections::HashMap;

/// Bytes of a datagram; a longer one is malformed.
pub const DATAGRAM_BYTES_MAX: usize = 128;
const SYMBOL_BYTES_MAX: usize = 32;
const SYMBOLS_MAX: usize = 10_000;

/// The last tick of each symbol. It outlives the datagrams and requests, so it owns its text.
#[derive(Default)]
pub struct Market {
    /// Where a symbol's tick is in `last`.
    places: HashMap<Box<str>, usize>,
    last: Vec<Last>,
    pub counts: Counts,
}

/// A symbol's last tick.
pub struct Last {
    /// The sequence number; 0 before the first tick.
    number: u64,
    pub topic: Box<str>,
    /// The tick as JSON, as clients get it.
    pub message: String,
}

#[derive(Clone, Copy, Default)]
pub struct Counts {
    /// Datagrams that were published.
    pub ticks: u64,
    /// Datagrams with a sequence number that is not above the symbol's last one.
    pub late: u64,
    /// Datagrams that are not ticks, or whose symbol is one too many.
    pub malformed: u64,
}

impl Market {
    /// Takes a tick from a datagram. Returns it if it is now the last one of its symbol.
    pub fn take(&mut self, datagram: &[u8]) -> Option<&Last> {
        let place = Tick::read(datagram).and_then(|tick| Some((self.place(tick.symbol)?, tick)));
        let Some((place, tick)) = place else {
            self.counts.malformed += 1;
            return None;
        };
        let last = &mut self.last[place];
        if tick.number <= last.number {
            self.counts.late += 1;
            return None;
        }
        self.counts.ticks += 1;
        last.number = tick.number;
        last.message.clear();
        // None of the texts needs escapes. The price stays text, so no binary fraction rounds it.
        let Tick { symbol, price, sequence, .. } = tick;
        for part in [r#"{"symbol":""#, symbol, r#"","price":""#, price, r#"","sequence":"#, sequence, "}"] {
            last.message.push_str(part);
        }
        Some(last)
    }

    /// Returns the place of a symbol, a new one if there is room.
    fn place(&mut self, symbol: &str) -> Option<usize> {
        if let Some(place) = self.places.get(symbol) {
            return Some(*place);
        }
        let place = self.last.len();
        if place == SYMBOLS_MAX {
            return None;
        }
        self.places.insert(symbol.keep(), place);
        self.last.push(Last { number: 0, topic: topic(symbol).into(), message: String::new() });
        Some(place)
    }

    /// Returns the last tick of a symbol, as JSON.
    pub fn message(&self, symbol: &str) -> Option<&str> {
        self.places.get(symbol).map(|place| &*self.last[*place].message)
    }
}

/// A tick in its datagram.
struct Tick<'d> {
    symbol: &'d str,
    price: &'d str,
    sequence: &'d str,
    /// The sequence number, from 1.
    number: u64,
}

impl Tick<'_> {
    /// Reads `SYMBOL PRICE SEQUENCE`.
    fn read(datagram: &[u8]) -> Option<Tick<'_>> {
        if datagram.len() > DATAGRAM_BYTES_MAX {
            return None;
        }
        let mut fields = std::str::from_utf8(datagram).ok()?.split_ascii_whitespace();
        let (symbol, price, sequence) = (fields.next()?, fields.next()?, fields.next()?);
        let number = sequence.parse().ok()?;
        // Without a sign or a zero in front, the number is a number in JSON too.
        let is_tick = is_symbol(symbol) && is_price(price) && !sequence.starts_with(['+', '0']);
        (is_tick && fields.next().is_none()).then_some(Tick { symbol, price, sequence, number })
    }
}

/// Whether a text can be a symbol, which then needs no escapes in JSON and is no filter of topics.
pub fn is_symbol(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=SYMBOL_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// A decimal number, such as `-0.25`. Prices can be negative.
fn is_price(text: &str) -> bool {
    let number = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    [whole, fraction]
        .iter()
        .all(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns the topic that a symbol's ticks are published to.
pub fn topic(symbol: &str) -> String {
    format!("ticks/{symbol}")
}
