//! What a call may ask for: subjects, attempt keys and leases.

use std::time::Duration;

use super::error::CodeError;

/// How long a used challenge is kept, for a submit that comes twice.
pub(super) const REPEAT: Duration = Duration::from_secs(30);

/// The shortest attempt key: 128 bits if each of them is random (OWASP ASVS 5.0, 11.5.1).
const SHORTEST_ATTEMPT: usize = 16;

/// The longest attempt key.
const LONGEST_ATTEMPT: usize = 255;

/// The longest lease.
const LONGEST_LEASE: Duration = Duration::from_secs(10 * 60);

/// A subject: 1 to 255 bytes.
pub(super) fn check_subject(subject: &str) -> Result<(), CodeError> {
    if subject.is_empty() || subject.len() > 255 {
        return Err(CodeError::Subject { len: subject.len() });
    }
    Ok(())
}

/// An attempt key: long enough that nobody guesses it, if it is random.
pub(super) fn check_attempt(attempt: &str) -> Result<&str, CodeError> {
    if (SHORTEST_ATTEMPT..=LONGEST_ATTEMPT).contains(&attempt.len()) {
        Ok(attempt)
    } else {
        Err(CodeError::Attempt { len: attempt.len() })
    }
}

/// A lease: 1 millisecond to 10 minutes.
pub(super) fn check_lease(lease: Duration) -> Result<(), CodeError> {
    if lease.as_millis() == 0 || lease > LONGEST_LEASE {
        return Err(CodeError::Lease { lease, longest: LONGEST_LEASE });
    }
    Ok(())
}
