//! [`Issued`], a new token, and [`Loaded`], a live session.

use std::ops::Deref;
use std::time::Duration;

use bytes::Bytes;

use crate::key::Key;
use crate::proof::Claim;
use crate::record::{Details, Meta};
#[cfg(feature = "http")]
use crate::record::{Proofs, Record};
use crate::token::Token;

/// A new token. Send it to the client: nobody can read it again.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sessions = token_session::TokenSession::<u32>::in_memory();
/// let issued = sessions.create(&1).await?;
/// println!(r#"{{"token":"{}","expires_in":{}}}"#, issued.token.reveal(), issued.expires_in.as_secs());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Issued {
    /// The token.
    pub token: Token,
    /// The session's key, its public id for its whole life.
    pub key: Key,
    /// How long the session lives if it is not used.
    pub expires_in: Duration,
}

/// A live session as the store answered it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sessions = token_session::TokenSession::<String>::in_memory();
/// let issued = sessions.create(&"Anna".to_owned()).await?;
/// let session = sessions.get(&issued.token).await?.expect("it is live");
/// assert_eq!((session.data.as_str(), session.key), ("Anna", issued.key));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// The user's data.
    pub data: T,
    /// The session's public id.
    pub key: Key,
    /// What goes with the data.
    pub meta: Meta,
    /// What else was noted with it, such as its [label](Details::label).
    pub details: Details,
    /// The claim that has opened it; `None` where it was looked up by its key.
    pub(crate) claim: Option<Claim>,
    /// The data as the store holds it.
    pub(crate) encoded: Bytes,
    /// The data as the codec encodes it, before a change. The store may hold other bytes: another program
    /// may have written them, or the database may have reordered them.
    pub(crate) before: Option<Bytes>,
}

/// A session as the store has it, to be decoded once more.
#[cfg(feature = "http")]
#[derive(Clone)]
pub(crate) struct Unchanged {
    key: Key,
    claim: Option<Claim>,
    meta: Meta,
    details: Details,
    encoded: Bytes,
}

#[cfg(feature = "http")]
impl<T> Loaded<T> {
    pub(crate) fn unchanged(&self) -> Unchanged {
        Unchanged {
            key: self.key.clone(),
            claim: self.claim,
            meta: self.meta.clone(),
            details: self.details.clone(),
            encoded: self.encoded.clone(),
        }
    }
}

#[cfg(feature = "http")]
impl<T: Send + 'static> super::TokenSession<T> {
    /// The session as it was before it was changed.
    pub(crate) fn restore(&self, unchanged: Unchanged) -> super::Result<Loaded<T>> {
        let Unchanged { key, claim, meta, details, encoded } = unchanged;
        let record = Record { data: encoded, details, proofs: Proofs::default(), meta };
        self.decode(key, record).map(|loaded| Loaded { claim, ..loaded })
    }
}

impl<T> Deref for Loaded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}
