//! [`LinksBuilder`]: what links are like, and where they are kept.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::base_url::BaseUrl;
use super::engine::LinksEngine;
use super::error::{LinkPolicyError, check_purpose};
use super::stored_links::Links;
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
pub struct LinksBuilder<T, C = Json> {
    purpose: String,
    base: BaseUrl,
    lifetime: Duration,
    max_payload: usize,
    store: Arc<dyn AtomicStore>,
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
            store: Arc::new(Memory::new()),
            codec: Json,
            payload: PhantomData,
        }
    }
}

impl<T, C> LinksBuilder<T, C> {
    /// How long a link lives unless it asks for something else; looking at it changes nothing. Default: an
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

    /// Where links are kept. Default: in memory, so a restart loses them.
    pub fn store(mut self, store: impl AtomicStore) -> Self {
        self.store = Arc::new(store);
        self
    }

    /// How the payload is written. Default: JSON.
    pub fn codec<N: Codec<T>>(self, codec: N) -> LinksBuilder<T, N> {
        let Self { purpose, base, lifetime, max_payload, store, codec: _, payload } = self;
        LinksBuilder { purpose, base, lifetime, max_payload, store, codec, payload }
    }
}

impl<T: 'static, C: Codec<T>> LinksBuilder<T, C> {
    /// The links.
    ///
    /// # Errors
    /// An empty purpose or one of more than 255 bytes, or an invalid lifetime.
    pub fn build(self) -> Result<Links<T>, LinkPolicyError> {
        check_purpose(&self.purpose)?;
        Ok(Links(Arc::new(LinksEngine {
            store: self.store,
            codec: Box::new(self.codec),
            purpose: self.purpose,
            base: self.base,
            lifetime: Lifetime::absolute(self.lifetime)?,
            max_payload: self.max_payload,
        })))
    }
}

impl<T, C> fmt::Debug for LinksBuilder<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinksBuilder")
            .field("purpose", &self.purpose)
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}
