//! How long an operation may take, within what servers and clocks can count.

use std::time::Duration;

/// A shorter timeout would end before the first byte is sent; zero means forever to some servers.
const SHORTEST: Duration = Duration::from_millis(1);

/// Servers count milliseconds in 32 bits, which is a little more than this.
const LONGEST: Duration = Duration::from_secs(24 * 24 * 60 * 60);

/// The nearest timeout that works.
pub(super) fn patience(timeout: Duration) -> Duration {
    timeout.clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_out_of_range_is_the_nearest_one() {
        let day = Duration::from_secs(24 * 60 * 60);
        for (given, taken) in [
            (Duration::ZERO, SHORTEST),
            (Duration::from_nanos(1), SHORTEST),
            (day, day),
            (30 * day, LONGEST),
            (Duration::MAX, LONGEST),
        ] {
            assert_eq!(patience(given), taken, "{given:?}");
        }
        assert!(i32::try_from(LONGEST.as_millis()).is_ok());
    }
}
