//! Computes when things are due at a constant rate. Knows no clock: the time is an argument.

/// Item k is due k / rate seconds after the start, whatever happened to earlier items.
pub struct Schedule {
    interval_ns: f64,
    next: u64,
}

#[derive(Debug, PartialEq)]
pub struct Due {
    pub number: u64,
    /// Nanoseconds after the start.
    pub at: u64,
}

impl Schedule {
    /// `rate` is per second.
    pub fn new(rate: f64) -> Self {
        Schedule {
            interval_ns: 1e9 / rate,
            next: 0,
        }
    }

    /// Returns the next item, due or not. Multiplies instead of adding up, so that rounding cannot accumulate.
    pub fn next(&self) -> Due {
        Due {
            number: self.next,
            at: (self.next as f64 * self.interval_ns) as u64,
        }
    }

    /// Takes the next item, if it is due at `now`.
    pub fn take(&mut self, now: u64) -> Option<Due> {
        let due = self.next();
        (due.at <= now).then(|| {
            self.next += 1;
            due
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_taken_once_and_not_before_it_is_due() {
        let mut s = Schedule::new(1000.0);
        assert_eq!(s.take(0), Some(Due { number: 0, at: 0 }));
        assert_eq!(s.take(999_999), None);
        assert_eq!(
            s.take(1_000_000),
            Some(Due {
                number: 1,
                at: 1_000_000
            })
        );
        assert_eq!(s.take(1_000_000), None);
    }

    #[test]
    fn late_items_keep_their_due_time() {
        let mut s = Schedule::new(10.0);
        let late: Vec<u64> = std::iter::from_fn(|| s.take(450_000_000)).map(|due| due.at).collect();
        assert_eq!(late, [0, 100_000_000, 200_000_000, 300_000_000, 400_000_000]);
    }

    #[test]
    fn an_odd_rate_does_not_drift() {
        let mut s = Schedule::new(30_000.0);
        let last = std::iter::from_fn(|| s.take(3_600_000_000_000)).last().unwrap();
        assert_eq!(last.number, 30_000 * 3600);
        assert_eq!(last.at, 3_600_000_000_000);
    }
}
