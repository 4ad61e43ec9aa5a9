//! [`SignedLinks`]: kept nowhere, good until they expire or what they are bound to changes.

mod token;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use self::token::{HEAD, Head, MAC, MAX_LEN, MAX_PAYLOAD, bytes_of, token_of};
use super::base_url::{BaseUrl, Link};
use super::error::{LinkError, LinkPolicyError, check_purpose};
use crate::codec::{Codec, Json};
use crate::key_ring::{KeyRing, mac, same};
use crate::record::{Lifetime, Timestamp};
use crate::record_json::whole_seconds;
use crate::store::{Clock, SystemClock};

/// Links that need no store: the payload is in the link, signed.
///
/// # What does that cost?
/// * **No uses are counted.** A link is good any number of times until it expires. Where a second
///   time would do harm, bind it to state that the first one changes, or use [`Links`](super::Links).
/// * **Nothing revokes one link.** It ends when it expires, when the state or the epoch that it is
///   [bound](Binding) to changes, and with all others when its key leaves the ring.
/// * **Anyone with the link can read the payload.** It is signed, not encrypted. What it is bound to is not
///   in it.
/// * **The application server's clock decides**, as there is no other. A link opens and expires by the
///   clock of the server that reads it, reckoned from the clock of the one that signed it: where they
///   differ by a second, a link lives a second longer or shorter. A link without a
///   [beginning](NewSignedLink::not_before) is good at once on every server, however far behind. Where
///   a clock is set back, a link that had expired is good again until it is that late once more: a
///   [`SystemClock`] notices only when the process restarts. Keep clocks right, and bind what must
///   not come back.
///
/// All is in one parameter, so whatever a mail program or a campaign tool appends to the address
/// (`utm_source=…`) changes nothing.
///
/// ```
/// use token_session::KeyRing;
/// use token_session::links::{BaseUrl, Binding, SignedLinks};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let resets = SignedLinks::<u64>::builder(
///     "password-reset",
///     BaseUrl::path("https://example.org/reset/")?,
///     KeyRing::new(1, b"32 random bytes of configuration")?,
/// )
/// .build()?;
///
/// let (user, password_hash) = (17, "$argon2id$…");
/// let binding = Binding::to_state(password_hash.as_bytes());
/// let link = resets.new_link(&user).bound_to(binding).sign()?;
///
/// // Back it comes. Whose is it? Look up what it was bound to, and see whether that still holds.
/// let claim = resets.read(link.token())?;
/// assert_eq!(*claim.unconfirmed_payload(), 17);
/// let user = claim.accept(Binding::to_state(password_hash.as_bytes()))?;
///
/// // Once the password is another, the link is dead.
/// let claim = resets.read(link.token())?;
/// assert!(claim.accept(Binding::to_state(b"$argon2id$another")).is_err());
/// # Ok(()) }
/// ```
pub struct SignedLinks<T>(Arc<Signer<T>>);

struct Signer<T> {
    purpose: String,
    audience: String,
    base: BaseUrl,
    ring: KeyRing,
    lifetime: Lifetime,
    clock: Box<dyn Clock>,
    codec: Box<dyn Codec<T>>,
}

/// What signed links are like. See [`SignedLinks::builder`].
///
/// ```
/// use std::time::Duration;
/// use token_session::links::{BaseUrl, SignedLinks};
/// use token_session::store::SystemClock;
/// use token_session::{Json, KeyRing};
///
/// let links = SignedLinks::<u64>::builder(
///     "unsubscribe",
///     BaseUrl::path("https://example.org/unsubscribe/")?,
///     KeyRing::new(1, b"32 random bytes of configuration")?,
/// )
/// .audience("example.org")
/// .lifetime(Duration::from_secs(30 * 24 * 60 * 60))
/// .clock(SystemClock::new())
/// .codec(Json)
/// .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a builder does nothing until it builds"]
pub struct SignedLinksBuilder<T, C = Json> {
    purpose: String,
    audience: String,
    base: BaseUrl,
    ring: KeyRing,
    lifetime: Duration,
    clock: Box<dyn Clock>,
    codec: C,
    payload: PhantomData<fn() -> T>,
}

/// What a link is good for only as long as it stays so: mixed into the signature, and not in the
/// link.
///
/// ```
/// use token_session::links::Binding;
///
/// // Dies when the password changes, and when the account's epoch is raised to log it out.
/// let binding = Binding::to_state(b"the account's password hash").and_epoch(4);
/// let nothing = Binding::none();
/// ```
#[derive(Clone, Copy, Default)]
pub struct Binding<'a> {
    state: Option<&'a [u8]>,
    epoch: Option<u64>,
}

impl<'a> Binding<'a> {
    /// To nothing.
    pub const fn none() -> Self {
        Self { state: None, epoch: None }
    }

    /// To state of the application, such as a password's hash: any bytes.
    pub const fn to_state(state: &'a [u8]) -> Self {
        Self { state: Some(state), epoch: None }
    }

    /// To the epoch of the link's subject: a number that the application raises to end all its links.
    pub const fn to_epoch(epoch: u64) -> Self {
        Self::none().and_epoch(epoch)
    }

    /// And to the epoch of the link's subject.
    pub const fn and_epoch(self, epoch: u64) -> Self {
        Self { epoch: Some(epoch), ..self }
    }
}

impl fmt::Debug for Binding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding")
            .field("state", &self.state.map(|_| "redacted"))
            .field("epoch", &self.epoch)
            .finish()
    }
}

impl<T: 'static> SignedLinks<T> {
    /// Links of one purpose, such as `"password-reset"`, that lead to `base` and are signed with the
    /// first key of the ring. No link of one purpose is good for another.
    pub fn builder(
        purpose: impl Into<String>,
        base: BaseUrl,
        ring: KeyRing,
    ) -> SignedLinksBuilder<T> {
        SignedLinksBuilder {
            purpose: purpose.into(),
            audience: String::new(),
            base,
            ring,
            lifetime: Duration::from_secs(60 * 60),
            clock: Box::new(SystemClock::new()),
            codec: Json,
            payload: PhantomData,
        }
    }
}

impl<T, C> SignedLinksBuilder<T, C> {
    /// Which service the links are for, where several share a key: no other accepts them. Default:
    /// none.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = audience.into();
        self
    }

    /// How long a link lives that asks for nothing else. Default: an hour.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Where the time comes from. Default: a [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// How the payload is written. Default: JSON.
    pub fn codec<N: Codec<T>>(self, codec: N) -> SignedLinksBuilder<T, N> {
        let Self { purpose, audience, base, ring, lifetime, clock, codec: _, payload } = self;
        SignedLinksBuilder { purpose, audience, base, ring, lifetime, clock, codec, payload }
    }
}

impl<T: 'static, C: Codec<T>> SignedLinksBuilder<T, C> {
    /// The links.
    ///
    /// # Errors
    /// An empty purpose or one of more than 255 bytes, or an invalid lifetime.
    pub fn build(self) -> Result<SignedLinks<T>, LinkPolicyError> {
        check_purpose(&self.purpose)?;
        Ok(SignedLinks(Arc::new(Signer {
            purpose: self.purpose,
            audience: self.audience,
            base: self.base,
            ring: self.ring,
            lifetime: Lifetime::absolute(self.lifetime)?,
            clock: self.clock,
            codec: Box::new(self.codec),
        })))
    }
}

impl<T: 'static> SignedLinks<T> {
    /// Signs a link that is bound to nothing: [`new_link`](Self::new_link) and
    /// [`sign`](NewSignedLink::sign) in one.
    ///
    /// # Errors
    /// As [`NewSignedLink::sign`].
    pub fn sign(&self, payload: &T) -> Result<Link, LinkError> {
        self.new_link(payload).sign()
    }

    /// A link that is about to be signed, to set what it is bound to and how long it lives.
    pub fn new_link<'a>(&'a self, payload: &'a T) -> NewSignedLink<'a, T> {
        NewSignedLink {
            links: &self.0,
            payload,
            lifetime: None,
            opens_after: Duration::ZERO,
            binding: Binding::none(),
        }
    }

    /// What a link claims: it was signed here, for this purpose and audience, and its time is now.
    /// Whether what it was bound to still holds, [`Claim::accept`] decides.
    ///
    /// # Errors
    /// [`Refused`](LinkError::Refused), [`NotYet`](LinkError::NotYet), or
    /// [`Decode`](LinkError::Decode).
    pub fn read(&self, token: &str) -> Result<Claim<T>, LinkError> {
        let links = &self.0;
        if token.len() > MAX_LEN {
            return Err(LinkError::Refused);
        }
        let bytes = bytes_of(token).ok_or(LinkError::Refused)?;
        let (signed, binding) = bytes.split_last_chunk::<MAC>().ok_or(LinkError::Refused)?;
        let (content, signature) = signed.split_last_chunk::<MAC>().ok_or(LinkError::Refused)?;
        let (head, payload) = content.split_first_chunk::<HEAD>().ok_or(LinkError::Refused)?;
        let head = Head::read(head).ok_or(LinkError::Refused)?;
        let secret = links.ring.secret(head.key).ok_or(LinkError::Refused)?;
        if !same(&links.signature(secret, content), signature) {
            return Err(LinkError::Refused);
        }
        let now = links.clock.now();
        if now >= head.expires {
            return Err(LinkError::Refused);
        }
        if now < head.opens {
            return Err(LinkError::NotYet { opens_in: whole_seconds(head.opens.since(now)) });
        }
        Ok(Claim {
            payload: links.codec.decode(payload).map_err(LinkError::Decode)?,
            expires_in: head.expires.since(now),
            secret: Zeroizing::new(secret.to_vec()),
            signature: *signature,
            binding: *binding,
        })
    }
}

/// A signed link that is about to be made. See [`SignedLinks::new_link`].
///
/// ```
/// use token_session::KeyRing;
/// use token_session::links::{BaseUrl, Binding, SignedLinks};
///
/// let links = SignedLinks::<u64>::builder(
///     "unsubscribe",
///     BaseUrl::path("https://example.org/unsubscribe/")?,
///     KeyRing::new(1, b"32 random bytes of configuration")?,
/// )
/// .build()?;
/// let link = links.new_link(&17).bound_to(Binding::to_epoch(4)).sign()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a link is not made until `sign`"]
pub struct NewSignedLink<'a, T> {
    links: &'a Signer<T>,
    payload: &'a T,
    lifetime: Option<Duration>,
    opens_after: Duration,
    binding: Binding<'a>,
}

impl<'a, T: 'static> NewSignedLink<'a, T> {
    /// Lives this long from now. Default: the [builder's](SignedLinksBuilder::lifetime).
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Opens this long from now, by the clock of the server that reads it. Default, and with zero: at
    /// once, on every server.
    pub fn not_before(mut self, wait: Duration) -> Self {
        self.opens_after = wait;
        self
    }

    /// Good as long as this holds. Default: bound to nothing.
    pub fn bound_to(mut self, binding: Binding<'a>) -> Self {
        self.binding = binding;
        self
    }

    /// Makes the link.
    ///
    /// # Errors
    /// An invalid lifetime, or a payload that makes the link longer than 2,000 bytes.
    pub fn sign(self) -> Result<Link, LinkError> {
        let links = self.links;
        let lifetime = match self.lifetime {
            Some(lifetime) => Lifetime::absolute(lifetime)?,
            None => links.lifetime,
        };
        if self.opens_after >= lifetime.first() {
            let opens_after = self.opens_after;
            return Err(LinkError::NeverOpen { opens_after });
        }
        let payload = links.codec.encode(self.payload).map_err(LinkError::Encode)?;
        let (size, max) = (payload.len(), MAX_PAYLOAD);
        if size > max {
            return Err(LinkError::TooLarge { size, max });
        }
        let (key, secret) = links.ring.signing();
        let now = links.clock.now();
        // Not now, where it opens at once: a server whose clock is behind would not open it yet.
        let opens = match self.opens_after.is_zero() {
            true => Timestamp::from_millis(0),
            false => now + self.opens_after,
        };
        let head = Head { key, expires: now + lifetime.first(), opens };
        let mut bytes = Zeroizing::new(Vec::with_capacity(HEAD + size + 2 * MAC));
        head.write(&mut bytes);
        bytes.extend_from_slice(&payload);
        let signature = links.signature(secret, &bytes);
        bytes.extend_from_slice(&signature);
        bytes.extend_from_slice(&bind(secret, &signature, self.binding));
        Ok(links.base.link(&token_of(&bytes)))
    }
}

/// What a link that was signed here claims. See [`SignedLinks::read`].
///
/// ```
/// use token_session::KeyRing;
/// use token_session::links::{BaseUrl, Binding, SignedLinks};
///
/// let links = SignedLinks::<u64>::builder(
///     "unsubscribe",
///     BaseUrl::path("https://example.org/unsubscribe/")?,
///     KeyRing::new(1, b"32 random bytes of configuration")?,
/// )
/// .build()?;
/// let link = links.sign(&17)?;
/// let claim = links.read(link.token())?;
/// println!("user {} would be unsubscribed", claim.unconfirmed_payload());
/// assert_eq!(claim.accept(Binding::none())?, 17);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a claim holds once it is accepted"]
pub struct Claim<T> {
    payload: T,
    expires_in: Duration,
    secret: Zeroizing<Vec<u8>>,
    signature: [u8; MAC],
    binding: [u8; MAC],
}

impl<T> Claim<T> {
    /// What was signed, before it is known whether the link is still good: to look up what it was bound
    /// to, or to show what it would do. Act on what [`accept`](Self::accept) gives, never on this: a
    /// reset link that was used has the same payload as before.
    pub const fn unconfirmed_payload(&self) -> &T {
        &self.payload
    }

    /// How long the link lives.
    pub const fn expires_in(&self) -> Duration {
        self.expires_in
    }

    /// The payload, if the link was bound to this. A link that was bound to nothing is good with
    /// [`Binding::none`] alone.
    ///
    /// # Errors
    /// [`Refused`](LinkError::Refused): the state has changed.
    pub fn accept(self, binding: Binding<'_>) -> Result<T, LinkError> {
        if same(&bind(&self.secret, &self.signature, binding), &self.binding) {
            Ok(self.payload)
        } else {
            Err(LinkError::Refused)
        }
    }
}

impl<T: 'static> Signer<T> {
    fn signature(&self, secret: &[u8], content: &[u8]) -> [u8; MAC] {
        let fields = [self.purpose.as_bytes(), self.audience.as_bytes(), content];
        mac(secret, "signed link", &fields)
    }
}

/// The signature again, with what the link is bound to. What is missing has no length, so it is not
/// the same as what is empty or zero.
fn bind(secret: &[u8], signature: &[u8; MAC], binding: Binding<'_>) -> [u8; MAC] {
    let epoch = binding.epoch.map(u64::to_be_bytes);
    let has = [binding.state.is_some().into(), binding.epoch.is_some().into()];
    let fields: [&[u8]; 4] = [
        signature,
        &has,
        binding.state.unwrap_or_default(),
        epoch.as_ref().map_or(&[], |epoch| epoch.as_slice()),
    ];
    mac(secret, "binding of a signed link", &fields)
}

impl<T> Clone for SignedLinks<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for SignedLinks<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedLinks")
            .field("purpose", &self.0.purpose)
            .field("audience", &self.0.audience)
            .field("base", &self.0.base)
            .finish_non_exhaustive()
    }
}
