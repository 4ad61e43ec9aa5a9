//! What the manager answers: [`Issued`], a new token, and [`Loaded`], a live session.

use std::ops::Deref;
use std::time::Duration;

use bytes::Bytes;

use crate::record::Meta;
use crate::token::{Key, Token};

/// A token that was just made: hand it to the client, who cannot get it again.
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
    /// The secret.
    pub token: Token,
    /// What the store knows it by; the session's public id.
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
    /// The data as the store holds it.
    pub(crate) encoded: Bytes,
    /// The data as the codec writes it, from before a change of it. What a store hands out need not
    /// be that: another program may have written it, or the store have set it in order.
    pub(crate) before: Option<Bytes>,
}

impl<T> Deref for Loaded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}
