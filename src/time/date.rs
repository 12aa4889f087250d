//! The value of the Date field, formatted once a second.
//!
//! It knows no clock: the time is passed in.

/// An IMF-fixdate (RFC 9110 §5.6.7) and the second it stands for.
///
/// ```
/// use fleeting::time::DateCache;
///
/// let mut date = DateCache::new(784_111_777);
/// assert_eq!(date.text(), b"Sun, 06 Nov 1994 08:49:37 GMT");
/// date.update(784_111_778);
/// assert_eq!(date.text(), b"Sun, 06 Nov 1994 08:49:38 GMT");
/// ```
#[derive(Debug, Clone)]
pub struct DateCache {
    unix_secs: u64,
    text: [u8; 29],
}

impl DateCache {
    /// Formats the date of `unix_secs` seconds after 1970-01-01 UTC.
    pub fn new(unix_secs: u64) -> DateCache {
        DateCache { unix_secs, text: imf_fixdate(unix_secs) }
    }

    /// Formats the date of another second. Does nothing if the second is the same.
    #[inline]
    pub fn update(&mut self, unix_secs: u64) {
        if self.unix_secs != unix_secs {
            *self = DateCache::new(unix_secs);
        }
    }

    /// Returns the date, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
    #[inline]
    pub fn text(&self) -> &[u8; 29] {
        &self.text
    }
}

fn imf_fixdate(unix_secs: u64) -> [u8; 29] {
    // A year has four digits. Later times are written as the last second of the year 9999.
    let secs = unix_secs.min(253_402_300_799);
    let (days, of_day) = (secs / 86_400, secs % 86_400);
    let (year, month, day) = civil(days);
    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    text[..3].copy_from_slice(&b"ThuFriSatSunMonTueWed"[(days % 7) as usize * 3..][..3]);
    two_digits(&mut text[5..7], day);
    text[8..11].copy_from_slice(&b"JanFebMarAprMayJunJulAugSepOctNovDec"[(month - 1) as usize * 3..][..3]);
    two_digits(&mut text[12..14], year / 100);
    two_digits(&mut text[14..16], year % 100);
    two_digits(&mut text[17..19], of_day / 3600);
    two_digits(&mut text[20..22], of_day / 60 % 60);
    two_digits(&mut text[23..25], of_day % 60);
    text
}

fn two_digits(out: &mut [u8], n: u64) {
    out[0] = b'0' + (n / 10) as u8;
    out[1] = b'0' + (n % 10) as u8;
}

/// Returns the year, month (1 to 12) and day (1 to 31) of a day counted from 1970-01-01 in the Gregorian
/// calendar. In the computation a year begins in March, so that the leap day is its last day.
pub(super) fn civil(days: u64) -> (u64, u64, u64) {
    let from_march = days + 719_468; // days since 0000-03-01
    let era = from_march / 146_097;
    let of_era = from_march % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written() {
        fn check(unix_secs: u64, expected: &str) {
            assert_eq!(std::str::from_utf8(DateCache::new(unix_secs).text()).unwrap(), expected);
        }
        check(0, "Thu, 01 Jan 1970 00:00:00 GMT");
        check(784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"); // RFC 9110 §5.6.7
        check(951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT");
        check(951_868_799, "Tue, 29 Feb 2000 23:59:59 GMT");
        check(951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT");
        check(1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT");
        check(4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT");
        check(4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT");
        check(u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut last = civil(0);
        for days in 1..200_000 {
            let next = civil(days);
            let same_month = (next.0, next.1) == (last.0, last.1) && next.2 == last.2 + 1;
            let new_month = next.2 == 1 && (next.0 * 12 + next.1) == (last.0 * 12 + last.1) + 1;
            assert!(same_month || (new_month && last.2 >= 28), "{last:?} {next:?}");
            last = next;
        }
    }
}
