//! [`TokenSessionBuilder`]: the options of a [`TokenSession`].

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::{Inner, TokenSession};
use crate::codec::{Codec, Json};
use crate::event::Events;
use crate::generator::{Origin, RandomTokens, TokenGenerator};
use crate::key::Key;
use crate::proof::ProofScheme;
use crate::record::Lifetime;
use crate::store::{Memory, OwnerLimit, Store};
use crate::token::{Token, TokenError};

const DEFAULT_LIFETIME: Lifetime = match Lifetime::idle(Duration::from_secs(30 * 60)) {
    Ok(lifetime) => lifetime,
    Err(_) => panic!("30 minutes are a lifetime"),
};

/// Options of a [`TokenSession`], each with a default that is right for most services.
///
/// ```
/// use std::time::Duration;
/// use token_session::store::Memory;
/// use token_session::{Lifetime, TokenSession};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let day = Duration::from_secs(24 * 60 * 60);
/// let sessions: TokenSession<String> = TokenSession::builder()
///     .store(Memory::new())
///     .prefix("acme_")
///     .lifetime(Lifetime::idle_secs(15 * 60)?.and_absolute(day)?)
///     .build()?;
/// # Ok(()) }
/// ```
#[must_use = "nothing is made before `build`"]
pub struct TokenSessionBuilder<T, C = Json> {
    codec: C,
    store: Arc<dyn Store>,
    generator: Option<Box<dyn TokenGenerator>>,
    options: Options,
    data: PhantomData<fn() -> T>,
}

/// The options that are kept as they were set.
pub(super) struct Options {
    pub(super) prefix: String,
    pub(super) proof_scheme: ProofScheme,
    pub(super) auto_touch: bool,
    pub(super) lifetime: Lifetime,
    pub(super) touch_interval: Duration,
    pub(super) max_size: usize,
    pub(super) owner_limit: Option<OwnerLimit>,
}

impl Options {
    /// Whether a token can be one of this manager's.
    pub(super) fn is_ours(&self, token: &Token) -> bool {
        token.reveal().starts_with(&self.prefix)
    }

    /// A generated token, unless the manager would not know it again.
    pub(super) fn checked(&self, token: Token) -> Result<Token, TokenError> {
        if !self.is_ours(&token) {
            Err(TokenError::NoPrefix)
        } else if token.key_and_secret(&self.prefix).is_some() {
            Err(TokenError::OwnForm)
        } else {
            Ok(token)
        }
    }
}

impl<T: 'static> TokenSession<T> {
    /// Sessions in this process' memory, with all options at their defaults.
    pub fn in_memory() -> Self
    where
        Json: Codec<T>,
    {
        TokenSessionBuilder::new().finish()
    }

    /// Sessions in this process' memory, unless the builder is told otherwise.
    pub fn builder() -> TokenSessionBuilder<T> {
        TokenSessionBuilder::new()
    }
}

impl<T> TokenSessionBuilder<T> {
    fn new() -> Self {
        Self {
            codec: Json,
            store: Arc::new(Memory::new()),
            generator: None,
            options: Options {
                prefix: String::new(),
                proof_scheme: ProofScheme::sha256(),
                auto_touch: true,
                lifetime: DEFAULT_LIFETIME,
                touch_interval: Duration::from_secs(60),
                max_size: 64 * 1024,
                owner_limit: None,
            },
            data: PhantomData,
        }
    }
}

impl<T, C> TokenSessionBuilder<T, C> {
    /// Where sessions are kept. Default: [`Memory`].
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Arc::new(store);
        self
    }

    /// How data becomes bytes. Default: [`Json`]. A change makes existing sessions unreadable.
    pub fn codec<N: Codec<T>>(self, codec: N) -> TokenSessionBuilder<T, N> {
        let Self { codec: _, store, generator, options, data } = self;
        TokenSessionBuilder { codec, store, generator, options, data }
    }

    /// The prefix of every token, such as `acme_`, so that secret scanners find leaked tokens. A token
    /// without it is rejected before the store is asked. Default: none.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.options.prefix = prefix.into();
        self
    }

    /// Where the tokens of new sessions come from. Default: the crate's own form, in which a token is the
    /// session's key, a dot and a secret of 128 random bits. If there is a [`prefix`](Self::prefix), a
    /// generator of your own puts it before its tokens itself; [`build`](Self::build) asks it for a token
    /// to see that it does.
    #[doc(alias = "genid")]
    pub fn generator(mut self, generator: impl TokenGenerator) -> Self {
        self.generator = Some(Box::new(generator));
        self
    }

    /// How the secret of a token becomes the proof that the store keeps. Default: SHA-256. It has no
    /// effect on a store whose format
    /// [keeps the token itself](crate::store::Store::keeps_plain_ids).
    pub fn proof_scheme(mut self, scheme: ProofScheme) -> Self {
        self.options.proof_scheme = scheme;
        self
    }

    /// Whether [`get`](TokenSession::get), [`set`](TokenSession::set) and
    /// [`update`](TokenSession::update) restart the idle timeout. Default: yes.
    #[doc(alias = "autoTouch")]
    pub fn auto_touch(mut self, touch: bool) -> Self {
        self.options.auto_touch = touch;
        self
    }

    /// The lifetime of a session that is created without one of its own. Default: 30 minutes idle, the
    /// upper end that OWASP's Session Management Cheat Sheet gives for low-risk applications. Consider an
    /// absolute timeout too.
    #[doc(alias = "ttl")]
    #[doc(alias = "hackttl")]
    pub fn lifetime(mut self, lifetime: Lifetime) -> Self {
        self.options.lifetime = lifetime;
        self
    }

    /// Touches closer together than this write nothing. A tenth of the session's idle timeout counts if
    /// that is shorter. Default: 60 seconds. Zero: every touch is written.
    ///
    /// A session ends at most this interval before its idle timeout after the last use has passed, and
    /// never later.
    #[doc(alias = "touchAfter")]
    pub fn touch_interval(mut self, interval: Duration) -> Self {
        self.options.touch_interval = interval;
        self
    }

    /// The maximum size of a session's encoded data, in bytes. Default: 64 KiB. Larger data is refused
    /// before anything is sent to the store.
    pub fn max_size(mut self, bytes: usize) -> Self {
        self.options.max_size = bytes;
        self
    }

    /// How many live sessions an owner may have. Default: any number.
    pub fn owner_limit(mut self, limit: OwnerLimit) -> Self {
        self.options.owner_limit = Some(limit);
        self
    }
}

impl<T: 'static, C: Codec<T>> TokenSessionBuilder<T, C> {
    /// Checks the options and makes the manager. No round trip.
    ///
    /// # Errors
    /// An invalid [`prefix`](Self::prefix),
    /// [`NoPrefix`](TokenError::NoPrefix) for a [`generator`](Self::generator) that leaves it out,
    /// [`OwnForm`](TokenError::OwnForm) for one whose tokens look like the crate's own, and
    /// [`TooManySchemes`](TokenError::TooManySchemes) for a proof scheme of too many keys.
    pub fn build(mut self) -> Result<TokenSession<T>, TokenError> {
        Token::for_session(&self.options.prefix, &Key::from_bytes([0; Key::LEN]))?;
        self.options.proof_scheme = self.options.proof_scheme.checked()?;
        if let Some(generator) = &self.generator
            // It may fail without an origin; then each token is checked as it is made.
            && let Ok(token) = generator.generate(Origin::unknown())
        {
            self.options.checked(token)?;
        }
        Ok(self.finish())
    }

    fn finish(self) -> TokenSession<T> {
        let Self { codec, store, generator, options, .. } = self;
        let events = Events::default();
        store.attach(&events);
        let partitions = store.partitions();
        let plain_ids = store.keeps_plain_ids();
        let moves = store.moves().is_some();
        let generator = generator.or_else(|| {
            // Where the id is the token, it has no key in it.
            let random = || Box::new(RandomTokens { prefix: options.prefix.clone() }) as _;
            moves.then(random)
        });
        let codec = Box::new(codec);
        let inner =
            Inner { store, partitions, plain_ids, moves, codec, generator, options, events };
        TokenSession { inner: Arc::new(inner) }
    }
}
