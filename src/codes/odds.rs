//! [`Odds`]: how likely it is that somebody guesses a code.

/// The chance that a guess is right, under one policy. These are upper bounds: they assume that as many
/// codes are live at every moment as the policy allows.
///
/// # How is it computed?
/// With `c` different codes and `l` live ones, one guess is right with a chance of `p = l / c`, and
/// `n` guesses with `1 − (1 − p)ⁿ`. A challenge allows `n =` [`tries`] guesses; a day of continuous
/// attack on one account [`tries_per_day`], however many challenges the attacker opens and however
/// often the code is resent; a year 365 times that. A person who meanwhile signs in `k` times a
/// day restarts the count `k` times: multiply by `k + 1`.
///
/// [`tries`]: super::CodesBuilder::tries
/// [`tries_per_day`]: super::CodesBuilder::tries_per_day
///
/// ```
/// use token_session::codes::Codes;
///
/// let odds = Codes::<()>::builder("sign-in").build()?.odds();
/// assert_eq!(format!("{:.1e}", odds.per_guess), "3.0e-8");     // 3 live codes of 10^8
/// assert_eq!(format!("{:.1e}", odds.per_challenge), "1.5e-7"); // 1 in 6.7 million
/// assert_eq!(format!("{:.1e}", odds.per_day), "6.0e-7");       // 1 in 1.7 million
/// assert_eq!(format!("{:.1e}", odds.per_year), "2.2e-4");      // 1 in 4,600
/// # Ok::<(), token_session::codes::PolicyError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Odds {
    /// That one guess is right.
    pub per_guess: f64,
    /// That one of the guesses that a challenge allows is right.
    pub per_challenge: f64,
    /// That an account falls within a day of continuous attack.
    pub per_day: f64,
    /// That an account falls within a year of continuous attack.
    pub per_year: f64,
}

impl Odds {
    /// With this many live codes at once, of this many different ones.
    pub(super) fn of(live: u32, combinations: f64, tries: u32, tries_per_day: u32) -> Self {
        let per_guess = f64::from(live) / combinations;
        let within = |guesses: u32| -f64::exp_m1(f64::from(guesses) * f64::ln_1p(-per_guess));
        Self {
            per_guess,
            per_challenge: within(tries),
            per_day: within(tries_per_day),
            per_year: within(365 * tries_per_day),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_guesses_are_never_surer_than_sure() {
        let odds = Odds::of(3, 10.0, 5, 20);
        assert_eq!(odds.per_guess, 0.3);
        assert!((odds.per_challenge - (1.0 - 0.7_f64.powi(5))).abs() < 1e-12);
        assert_eq!(odds.per_year, 1.0);
    }
}
