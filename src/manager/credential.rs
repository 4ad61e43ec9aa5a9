//! [`Credential`]: what a token says to a store.

use std::time::Duration;

use super::{Inner, Result, TokenSession};
use crate::error::Error;
use crate::generator::{Origin, draw};
use crate::key::Key;
use crate::proof::{Claim, Proof};
use crate::token::{Token, TokenError, is_guessable};

/// How long a previous secret is good after a handover was confirmed.
const GRACE: Duration = Duration::from_secs(10);

/// What a token says: the key of a session, and a claim of its secret.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    pub(crate) key: Key,
    /// `None` where the key holds the token itself.
    pub(crate) claim: Option<Claim>,
}

/// A token that is not in the store yet.
pub(super) struct Drawn {
    pub(super) token: Token,
    pub(super) key: Key,
    pub(super) proof: Option<Proof>,
}

impl<T> TokenSession<T> {
    /// What a token says; `None` if it cannot be one of ours.
    pub(crate) fn credential(&self, token: &Token) -> Option<Credential> {
        self.inner.credential(token)
    }
}

impl<T> Inner<T> {
    fn credential(&self, token: &Token) -> Option<Credential> {
        if !self.options.is_ours(token) {
            return None;
        }
        let scheme = &self.options.proof_scheme;
        if !self.moves
            && let Some((key, secret)) = token.key_and_secret(&self.options.prefix)
        {
            let claim = scheme.claim(secret.as_bytes(), GRACE);
            return Some(Credential { key, claim: Some(claim) });
        }
        // Another program that makes ids may have left a session under an id that is not random.
        if self.plain_ids && is_guessable(token.reveal()) {
            return None;
        }
        let claim = || scheme.claim(&token.digest(), GRACE);
        Some(Credential { key: self.foreign_key(token), claim: (!self.moves).then(claim) })
    }

    /// The key of a token that is not of this crate's own form. Its secret is the token's whole digest.
    fn foreign_key(&self, token: &Token) -> Key {
        if self.plain_ids {
            Key::with_plain_id(token.reveal())
        } else {
            Key::of_digest(&token.digest())
        }
    }

    /// A token for a new session, in the partition of its owner.
    pub(super) fn draw(&self, origin: Origin<'_>, partition: Option<u16>) -> Result<Drawn> {
        let Some(generator) = &self.generator else {
            let key = Key::random(partition, self.partitions).map_err(TokenError::NoRandomness)?;
            return self.draw_for(key);
        };
        let generate = || match self.options.checked(generator.generate(origin)?)? {
            token if self.plain_ids && is_guessable(token.reveal()) => Err(TokenError::Guessable),
            token => Ok(token),
        };
        let drawn = draw(self.partitions, partition, |token| self.foreign_key(token), generate)?;
        let attempts = 64 * u32::from(self.partitions);
        let (token, key) = drawn.ok_or(Error::NotRandom { attempts })?;
        let scheme = &self.options.proof_scheme;
        let proof = (!self.moves).then(|| scheme.prove(&token.digest()));
        Ok(Drawn { token, key, proof })
    }

    /// Another token for the session of this key.
    pub(super) fn draw_for(&self, key: Key) -> Result<Drawn> {
        let token = Token::for_session(&self.options.prefix, &key)?;
        let secret = token.key_and_secret(&self.options.prefix).map_or("", |(_, secret)| secret);
        let proof = Some(self.options.proof_scheme.prove(secret.as_bytes()));
        Ok(Drawn { token, key, proof })
    }
}
