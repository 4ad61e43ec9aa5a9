//! [`Policy`], what a kind of code allows, and [`PolicyError`], where it allows too much.

use std::time::Duration;

use super::format::CodeFormat;
use super::odds::Odds;

/// The longest life of a code that signs somebody in: NIST SP 800-63B-4, section 3.1.3.2, and OWASP
/// ASVS 5.0, 6.5.5.
const SIGN_IN: Duration = Duration::from_secs(10 * 60);

/// The longest life of a code that confirms an address: NIST SP 800-63B-4, section 4.2.1.2, for
/// e-mail.
const CONFIRMATION: Duration = Duration::from_secs(24 * 60 * 60);

/// The most guesses in a row that one account may see: NIST SP 800-63B-4, section 3.2.2.
const MOST_TRIES: u32 = 100;

/// The most codes of one challenge that may be live.
const MOST_LIVE: u32 = 10;

/// The fewest codes that there may be: as many as there are of six digits, the least that NIST SP
/// 800-63B-4, section 3.1.3.2, accepts.
const FEWEST_CODES: f64 = 1e6;

/// What a kind of code allows.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub purpose: String,
    pub format: CodeFormat,
    pub lifetime: Duration,
    pub confirms_address: bool,
    pub tries: u32,
    pub tries_per_day: u32,
    pub live_codes: u32,
    pub resend_after: Duration,
    pub accepted_risk: f64,
    pub max_payload: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            purpose: String::new(),
            format: CodeFormat::default(),
            lifetime: SIGN_IN,
            confirms_address: false,
            tries: 5,
            tries_per_day: 20,
            live_codes: 3,
            resend_after: Duration::from_secs(60),
            accepted_risk: 1e-6,
            max_payload: 4096,
        }
    }
}

impl Policy {
    /// How many codes of one challenge can be live at the same moment: as many as may be, or fewer
    /// where the first has expired before another may be sent.
    pub fn live_at_once(&self) -> u32 {
        let sent = self.lifetime.as_millis().div_ceil(self.resend_after.as_millis().max(1));
        self.live_codes.min(u32::try_from(sent).unwrap_or(u32::MAX))
    }

    /// How likely it is that a code is guessed.
    pub fn odds(&self) -> Odds {
        let (live, combinations) = (self.live_at_once(), self.format.combinations());
        Odds::of(live, combinations, self.tries, self.tries_per_day)
    }

    /// The policy, if it is not too permissive.
    pub fn checked(self) -> Result<Self, PolicyError> {
        check_purpose(&self.purpose)?;
        let longest = if self.confirms_address { CONFIRMATION } else { SIGN_IN };
        if self.lifetime.as_millis() == 0 || self.lifetime > longest {
            return Err(PolicyError::Lifetime { lifetime: self.lifetime, longest });
        }
        for (what, value, most) in [
            ("tries a day", self.tries_per_day, MOST_TRIES),
            ("tries", self.tries, MOST_TRIES),
            ("live codes", self.live_codes, MOST_LIVE),
        ] {
            if value == 0 || value > most {
                return Err(PolicyError::Count { what, value, most });
            }
        }
        if self.tries > self.tries_per_day {
            let (tries, tries_per_day) = (self.tries, self.tries_per_day);
            return Err(PolicyError::MoreThanADay { tries, tries_per_day });
        }
        if self.format.combinations() < FEWEST_CODES || self.format.len() > CodeFormat::MAX_LEN {
            return Err(PolicyError::Format { format: self.format });
        }
        let chance = self.odds().per_challenge;
        if chance > self.accepted_risk || self.accepted_risk.is_nan() {
            return Err(PolicyError::Risk {
                format: self.format,
                combinations: self.format.combinations(),
                tries: self.tries,
                live: self.live_at_once(),
                lifetime: self.lifetime,
                resend_after: self.resend_after,
                chance,
                accepted: self.accepted_risk,
            });
        }
        Ok(self)
    }
}

/// The purpose of codes or links: 1 to 255 bytes.
pub(super) fn check_purpose(purpose: &str) -> Result<(), PolicyError> {
    if purpose.is_empty() || purpose.len() > 255 {
        return Err(PolicyError::Purpose { len: purpose.len() });
    }
    Ok(())
}

/// The error of building codes: the policy allows too much, or nothing.
///
/// ```
/// use token_session::codes::{CodeFormat, Codes};
///
/// let six = || Codes::<()>::builder("sign-in").format(CodeFormat::digits(6));
/// assert_eq!(
///     six().build().unwrap_err().to_string(),
///     "codes of 6 digits are too easy to guess: 5 tries × 3 live codes (by a lifetime of 600s and \
///      a resend after 60s) / 1000000 combinations = 1.5e-5 per challenge, above the accepted risk \
///      of 1.0e-6; take longer codes, fewer tries or fewer live codes, or accept the risk"
/// );
/// assert!(six().accepted_risk(1.5e-5).build().is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// An empty or too long purpose.
    #[error("the purpose has {len} bytes; give 1 to 255, such as \"confirm-address\"")]
    Purpose {
        /// Its length in bytes.
        len: usize,
    },
    /// Codes would live too long, or not at all.
    #[error(
        "a lifetime of {lifetime:?} is not between a millisecond and {longest:?}; up to 24 hours \
         are for codes that confirm an address and sign nobody in"
    )]
    Lifetime {
        /// What was given.
        lifetime: Duration,
        /// The longest for this kind of code.
        longest: Duration,
    },
    /// A number that is zero or too large.
    #[error("{value} {what} are not between 1 and {most}")]
    Count {
        /// What is counted.
        what: &'static str,
        /// What was given.
        value: u32,
        /// The most there may be.
        most: u32,
    },
    /// A challenge would have more guesses than its subject has in a day.
    #[error(
        "{tries} tries for one challenge are more than the {tries_per_day} a day of its subject; \
         take fewer `tries`, or more `tries_per_day`"
    )]
    MoreThanADay {
        /// How many guesses a challenge allows.
        tries: u32,
        /// How many guesses a subject may see in a day.
        tries_per_day: u32,
    },
    /// Too few different codes, or codes that are too long.
    #[error(
        "codes of {format} are not between a million combinations and {} characters",
        CodeFormat::MAX_LEN
    )]
    Format {
        /// What was given.
        format: CodeFormat,
    },
    /// A code would be guessed too easily.
    #[error(
        "codes of {format} are too easy to guess: {tries} tries × {live} live codes (by a lifetime \
         of {lifetime:?} and a resend after {resend_after:?}) / {combinations} combinations = \
         {chance:.1e} per challenge, above the accepted risk of {accepted:.1e}; take longer codes, \
         fewer tries or fewer live codes, or accept the risk"
    )]
    Risk {
        /// How the codes look.
        format: CodeFormat,
        /// How many different codes there are.
        combinations: f64,
        /// How many guesses a challenge allows.
        tries: u32,
        /// How many of its codes are live at once.
        live: u32,
        /// How long a code lives.
        lifetime: Duration,
        /// When another one may be sent.
        resend_after: Duration,
        /// The chance of a right guess per challenge.
        chance: f64,
        /// What was accepted.
        accepted: f64,
    },
    /// Only a key protects codes that are redeemed without a handle, and links without a store.
    #[error("{what} need a key of the application; give a key ring")]
    NoKeyRing {
        /// What needs it.
        what: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn policy(change: impl FnOnce(&mut Policy)) -> Result<(), PolicyError> {
        let mut policy = Policy { purpose: "test".to_owned(), ..Policy::default() };
        change(&mut policy);
        policy.checked().map(drop)
    }

    #[test]
    fn the_defaults_are_a_policy() {
        assert_eq!(policy(|_| ()), Ok(()));
    }

    #[test]
    fn more_than_a_hundred_tries_a_day_are_refused() {
        assert_eq!(policy(|p| p.tries_per_day = 100), Ok(()));
        assert!(matches!(
            policy(|p| p.tries_per_day = 101),
            Err(PolicyError::Count { most: 100, .. })
        ));
    }

    #[test]
    fn a_challenge_allows_no_more_than_the_day() {
        let error = policy(|p| p.tries = 25).unwrap_err().to_string();
        assert!(error.contains("25 tries for one challenge"), "{error}");
        assert!(error.contains("20 a day"), "{error}");
        assert_eq!(policy(|p| p.tries = 20).map_err(|error| error.to_string()), Ok(()));
    }

    #[test]
    fn a_code_that_is_sent_once_has_no_live_twin() {
        let once = Policy { lifetime: MINUTE, ..Policy::default() };
        assert_eq!(once.odds().per_guess, 1e-8);
    }

    #[test]
    fn nothing_is_not_allowed() {
        let changes: [fn(&mut Policy); 4] = [
            |p| p.tries = 0,
            |p| p.tries_per_day = 0,
            |p| p.live_codes = 0,
            |p| p.lifetime = Duration::from_micros(999),
        ];
        for change in changes {
            assert!(policy(change).is_err());
        }
    }

    #[test]
    fn only_an_address_is_confirmed_after_ten_minutes_and_none_after_a_day() {
        assert!(policy(|p| p.lifetime = 11 * MINUTE).is_err());
        let confirm = |lifetime| {
            policy(|p| {
                p.confirms_address = true;
                p.lifetime = lifetime;
            })
        };
        assert_eq!(confirm(24 * 60 * MINUTE), Ok(()));
        assert!(confirm(24 * 60 * MINUTE + Duration::from_nanos(1)).is_err());
    }

    #[test]
    fn six_digits_with_thirty_tries_over_a_day_are_refused() {
        let error = policy(|p| {
            p.format = CodeFormat::digits(6);
            p.confirms_address = true;
            p.lifetime = 24 * 60 * MINUTE;
            p.tries = 30;
            p.tries_per_day = 30;
        });
        assert!(matches!(error, Err(PolicyError::Risk { .. })), "{error:?}");
    }

    #[test]
    fn fewer_than_a_million_codes_are_refused_at_any_risk() {
        let error = policy(|p| {
            p.format = CodeFormat::digits(5);
            p.accepted_risk = 1.0;
        });
        assert!(matches!(error, Err(PolicyError::Format { .. })));
    }

    #[test]
    fn a_risk_that_is_no_number_accepts_nothing() {
        assert!(matches!(policy(|p| p.accepted_risk = f64::NAN), Err(PolicyError::Risk { .. })));
    }
}
