//! [`LinksBuilder`]: what links are like, and where they are kept.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::base_url::BaseUrl;
use super::error::{LinkPolicyError, check_purpose};
use super::stored_links::{Inner, Links};
use crate::codec::{Codec, Json};
use crate::record::Lifetime;
use crate::store::{AtomicStore, Memory};

/// What links are like, and where they are kept. See [`Links::builder`].
///
/// ```
/// use std::time::Duration;
/// use token_session::Json;
/// use token_session::links::{BaseUrl, Links};
/// use token_session::store::Memory;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let base = BaseUrl::path("https://example.org/downloads/")?;
///
/// let links = Links::<String>::builder("download", base)
///     .lifetime(Duration::from_secs(7 * 24 * 60 * 60))
///     .max_payload(255)
///     .store(Memory::new())
///     .codec(Json)
///     .build()?;
/// # Ok(()) }
/// ```
#[must_use = "a builder does nothing until it builds"]
pub struct LinksBuilder<T, S = Memory, C = Json> {
    purpose: String,
    base: BaseUrl,
    lifetime: Duration,
    max_payload: usize,
    store: S,
    codec: C,
    payload: PhantomData<fn() -> T>,
}

impl<T> LinksBuilder<T> {
    pub(super) fn new(purpose: String, base: BaseUrl) -> Self {
        Self {
            purpose,
            base,
            lifetime: Duration::from_secs(60 * 60),
            max_payload: 4096,
            store: Memory::new(),
            codec: Json,
            payload: PhantomData,
        }
    }
}

impl<T, S, C> LinksBuilder<T, S, C> {
    /// How long a link lives that asks for nothing else, however often it is looked at. Default: an
    /// hour.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// The largest payload, encoded, in bytes. Default: 4096.
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }

    /// Where links are kept. Default: in memory, by which a restart loses them.
    pub fn store<N: AtomicStore>(self, store: N) -> LinksBuilder<T, N, C> {
        LinksBuilder {
            purpose: self.purpose,
            base: self.base,
            lifetime: self.lifetime,
            max_payload: self.max_payload,
            store,
            codec: self.codec,
            payload: PhantomData,
        }
    }

    /// How the payload is written. Default: JSON.
    pub fn codec<N: Codec<T>>(self, codec: N) -> LinksBuilder<T, S, N> {
        LinksBuilder {
            purpose: self.purpose,
            base: self.base,
            lifetime: self.lifetime,
            max_payload: self.max_payload,
            store: self.store,
            codec,
            payload: PhantomData,
        }
    }
}

impl<T, S: AtomicStore, C: Codec<T>> LinksBuilder<T, S, C> {
    /// The links.
    ///
    /// # Errors
    /// A purpose of no byte or more than 255, or a lifetime that is none.
    pub fn build(self) -> Result<Links<T, S, C>, LinkPolicyError> {
        check_purpose(&self.purpose)?;
        Ok(Links(Arc::new(Inner {
            store: self.store,
            codec: self.codec,
            purpose: self.purpose,
            base: self.base,
            lifetime: Lifetime::absolute(self.lifetime)?,
            max_payload: self.max_payload,
            payload: PhantomData,
        })))
    }
}

impl<T, S, C> fmt::Debug for LinksBuilder<T, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinksBuilder")
            .field("purpose", &self.purpose)
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}
