use std::fmt;

/// What this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a server cannot be had: one sentence, with the tail of the server's log when it has one.
pub struct Error(String);

impl Error {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// Says what was being done when `cause` happened.
    pub(crate) fn doing(what: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Self(format!("{what} failed: {cause}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Like `Display`: a test that unwraps shows the log in lines and not as one escaped string.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
