//! Parses dates in fields, in all three forms of RFC 9110 §5.6.7.
//!
//! It knows no clock: the caller passes the current time, which resolves two-digit years.

use super::date::civil;

/// The names of the months in all three forms.
const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
const DAYS: [&[u8]; 7] =
    [b"Monday", b"Tuesday", b"Wednesday", b"Thursday", b"Friday", b"Saturday", b"Sunday"];

/// Parses a date in any of the three forms (RFC 9110 §5.6.7) into seconds since 1970-01-01 UTC.
///
/// Returns `None` if the date is malformed or before 1970. The day of the week is not checked against the
/// date. `now_unix_secs` is the current time, which resolves two-digit years.
///
/// ```
/// use fleeting::time::parse_http_date;
///
/// let now = 1_700_000_000;
/// for date in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
///     assert_eq!(parse_http_date(date.as_bytes(), now), Some(784_111_777));
/// }
/// ```
pub fn parse_http_date(text: &[u8], now_unix_secs: u64) -> Option<u64> {
    match text.iter().position(|byte| *byte == b',') {
        Some(3) => imf_fixdate(text),
        Some(_) => rfc850(text, now_unix_secs),
        None => asctime(text),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(text: &[u8]) -> Option<u64> {
    let mut rest = Rest(text);
    rest.short_day()?;
    rest.literal(b", ")?;
    let day = rest.number(2)?;
    rest.literal(b" ")?;
    let month = rest.month()?;
    rest.literal(b" ")?;
    let year = rest.number(4)?;
    rest.literal(b" ")?;
    let of_day = rest.time()?;
    rest.literal(b" GMT")?;
    rest.end()?;
    seconds(year, month, day, of_day)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850(text: &[u8], now_unix_secs: u64) -> Option<u64> {
    let mut rest = Rest(text);
    rest.literal(DAYS.into_iter().find(|day| text.starts_with(day))?)?;
    rest.literal(b", ")?;
    let day = rest.number(2)?;
    rest.literal(b"-")?;
    let month = rest.month()?;
    rest.literal(b"-")?;
    let short_year = rest.number(2)?;
    rest.literal(b" ")?;
    let of_day = rest.time()?;
    rest.literal(b" GMT")?;
    rest.end()?;
    // RFC 9110 §5.6.7: a year more than 50 years ahead means the last past year with the same digits.
    let this_year = civil(now_unix_secs / 86_400).0;
    let year = this_year - this_year % 100 + short_year;
    let year = if year > this_year + 50 { year.checked_sub(100)? } else { year };
    seconds(year, month, day, of_day)
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(text: &[u8]) -> Option<u64> {
    let mut rest = Rest(text);
    rest.short_day()?;
    rest.literal(b" ")?;
    let month = rest.month()?;
    rest.literal(b" ")?;
    let day = if rest.literal(b" ").is_some() { rest.number(1)? } else { rest.number(2)? };
    rest.literal(b" ")?;
    let of_day = rest.time()?;
    rest.literal(b" ")?;
    let year = rest.number(4)?;
    rest.end()?;
    seconds(year, month, day, of_day)
}

/// The part of a date that has not been read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn literal(&mut self, expected: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }

    fn number(&mut self, digits: usize) -> Option<u64> {
        self.bytes(digits)?.iter().try_fold(0, |number, byte| {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            Some(number * 10 + digit)
        })
    }

    /// RFC 9110 §5.6.7: names are case-sensitive.
    fn short_day(&mut self) -> Option<()> {
        let name = self.bytes(3)?;
        DAYS.iter().any(|day| day.starts_with(name)).then_some(())
    }

    /// Reads a month as 1 to 12.
    fn month(&mut self) -> Option<u64> {
        let name = self.bytes(3)?;
        MONTHS.chunks(3).zip(1..).find(|(month, _)| *month == name).map(|(_, number)| number)
    }

    /// Reads a time as seconds of the day. A leap second counts as the second before it.
    fn time(&mut self) -> Option<u64> {
        let hour = self.number(2)?;
        self.literal(b":")?;
        let minute = self.number(2)?;
        self.literal(b":")?;
        let second = self.number(2)?;
        (hour < 24 && minute < 60 && second <= 60).then(|| hour * 3600 + minute * 60 + second.min(59))
    }
}

/// Returns seconds since 1970-01-01 UTC, if the day exists.
fn seconds(year: u64, month: u64, day: u64, of_day: u64) -> Option<u64> {
    if year < 1970 {
        return None;
    }
    // The inverse of `civil`: years begin in March, so that a leap day comes last.
    let from_march = if month > 2 { year } else { year - 1 };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let leap_days = from_march / 4 - from_march / 100 + from_march / 400;
    let days = (from_march * 365 + leap_days + of_year).checked_sub(719_468)?;
    (civil(days) == (year, month, day)).then_some(days * 86_400 + of_day)
}

#[cfg(test)]
mod tests {
    use super::super::DateCache;
    use super::*;

    /// 2023-11-14.
    const NOW: u64 = 1_700_000_000;

    #[test]
    fn dates_are_read_in_all_three_forms() {
        fn check(text: &str, expected: Option<u64>) {
            assert_eq!(parse_http_date(text.as_bytes(), NOW), expected, "{text}");
        }
        for date in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            check(date, Some(784_111_777)); // RFC 9110 §5.6.7
        }
        check("Thu, 01 Jan 1970 00:00:00 GMT", Some(0));
        check("Tue, 29 Feb 2000 23:59:60 GMT", Some(951_868_799));
        check("Thu Feb 29 00:00:00 2024", Some(1_709_164_800));
        check("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799));
        // Fifty years ahead is in the future, one year more is in the past.
        check("Monday, 01-Jan-73 00:00:00 GMT", Some(3_250_454_400));
        check("Monday, 01-Jan-74 00:00:00 GMT", Some(126_230_400));
        for wrong in [
            "",
            "Sun",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Wed, 29 Feb 2023 00:00:00 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:00 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Someday, 06-Nov-94 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994",
            "784111777",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn written_dates_are_read_back() {
        for days in (0..200_000).step_by(7) {
            let at = days * 86_400 + days % 86_400;
            assert_eq!(parse_http_date(DateCache::new(at).text(), NOW), Some(at));
        }
    }
}
