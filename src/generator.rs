//! [`TokenGenerator`]: where new tokens come from.

use std::any::Any;

use crate::key::Key;
use crate::token::{Token, TokenError};

/// Makes the tokens of new sessions, as `genid` did in the Node module.
///
/// You need one only if tokens must have a form of your own. Its tokens must be unguessable: at least
/// 128 random bits (OWASP ASVS 5.0, 7.2.3). No token is handed out twice: if one is taken, the manager
/// asks for another one, a few times.
///
/// The session's [`Key`] is then derived from the token. A regenerated session keeps its key, so its
/// new token has the crate's own form; a [`prefix`](crate::TokenSessionBuilder::prefix) stays.
///
/// A closure is a generator:
///
/// ```
/// use token_session::{Origin, Token, TokenSession};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sessions = TokenSession::<u32>::builder()
///     .generator(|origin: Origin<'_>| {
///         let tenant = origin.get::<String>().map_or("none", |tenant| tenant.as_str());
///         Token::random(&format!("{tenant}."))
///     })
///     .build()?;
/// # Ok(()) }
/// ```
#[doc(alias = "genid")]
pub trait TokenGenerator: Send + Sync + 'static {
    /// A new token for a session that is made on behalf of `origin`. It must begin with the configured
    /// [`prefix`](crate::TokenSessionBuilder::prefix), if there is one; a token without it is an error.
    ///
    /// # Errors
    /// The reason why it cannot make one.
    fn generate(&self, origin: Origin<'_>) -> Result<Token, TokenError>;

    /// Whether [`generate`](Self::generate) looks at the origin. If not, the HTTP layer does not copy
    /// the request's parts.
    fn needs_origin(&self) -> bool {
        true
    }
}

impl<F> TokenGenerator for F
where
    F: Fn(Origin<'_>) -> Result<Token, TokenError> + Send + Sync + 'static,
{
    fn generate(&self, origin: Origin<'_>) -> Result<Token, TokenError> {
        self(origin)
    }
}

/// On whose behalf a session is made. Behind the HTTP layer it holds the request's
/// `http::request::Parts`; elsewhere it holds what the caller put there, or nothing.
///
/// ```
/// use token_session::Origin;
///
/// let origin = Origin::new(&17_u32);
/// assert_eq!(origin.get::<u32>(), Some(&17));
/// assert_eq!(Origin::unknown().get::<u32>(), None);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin<'a>(Option<&'a (dyn Any + Send + Sync)>);

impl<'a> Origin<'a> {
    /// Nothing is known.
    pub const fn unknown() -> Self {
        Self(None)
    }

    /// This is known.
    pub fn new(value: &'a (dyn Any + Send + Sync)) -> Self {
        Self(Some(value))
    }

    /// What is known, if it is of this type.
    pub fn get<P: Any>(self) -> Option<&'a P> {
        self.0?.downcast_ref()
    }
}

/// The generator for formats in which the id is the token.
pub(crate) struct RandomTokens {
    pub(crate) prefix: String,
}

impl TokenGenerator for RandomTokens {
    fn generate(&self, _: Origin<'_>) -> Result<Token, TokenError> {
        Token::random(&self.prefix)
    }

    fn needs_origin(&self) -> bool {
        false
    }
}

/// Draws tokens until the key of one is in the wanted partition of `partitions`; `None` if they do not
/// look random.
pub(crate) fn draw(
    partitions: u16,
    wanted: Option<u16>,
    key: impl Fn(&Token) -> Key,
    generate: impl Fn() -> Result<Token, TokenError>,
) -> Result<Option<(Token, Key)>, TokenError> {
    // A random generator misses 64 times per partition once in e^64 sessions.
    for _ in 0..64 * u32::from(partitions) {
        let token = generate()?;
        let key = key(&token);
        if wanted.is_none_or(|wanted| key.partition(partitions) == wanted) {
            return Ok(Some((token, key)));
        }
    }
    Ok(None)
}
