//! A new token for a live session.

use std::time::Duration;

use super::credential::{Credential, Drawn};
use super::{DRAWS, Issued, Result, TokenSession};
use crate::error::Error;
use crate::event::Event;
use crate::generator::Origin;
use crate::observe::observe;
use crate::record::Meta;
use crate::store::{Moves, NewProof, Renamed, Renewal, Replaced, Write, Written};
use crate::token::Token;

/// The session after it got a new token.
#[cfg_attr(
    not(feature = "http"),
    expect(dead_code, reason = "only the HTTP layer goes on with it")
)]
pub(super) enum Renewed {
    /// The session has kept its key.
    InPlace(Written),
    /// The session has another key, in a format whose id is the token.
    Moved(Meta),
}

impl<T: Send + 'static> TokenSession<T> {
    /// Gives the session a new token; the old one is dead from then on. Key, data, owner, lifetime and
    /// absolute deadline stay; the idle timeout restarts. Do this when a session's rights change (OWASP
    /// Session Management Cheat Sheet, "Renew the Session ID After Any Privilege Level Change").
    ///
    /// The new token has this crate's own form, also where a [generator](crate::TokenGenerator) has made
    /// the first one. In a format whose id is the token ([`Moves`]) the session gets another key.
    ///
    /// # Errors
    /// [`Gone`](Error::Gone) when there is no such session, and what the store says.
    pub async fn regenerate(&self, token: &Token) -> Result<Issued> {
        self.renew(token, None, Renewal::Key).await
    }

    /// As [`regenerate`](Self::regenerate), and writes new data in the same round trip. Two that do so at
    /// once: only one of them has a live token.
    ///
    /// In a format whose id is the token it costs a second round trip.
    ///
    /// # Errors
    /// As [`regenerate`](Self::regenerate) and [`set`](Self::set).
    pub async fn regenerate_with(&self, token: &Token, data: &T) -> Result<Issued> {
        self.renew(token, Some(data), Renewal::Key).await
    }

    /// As [`regenerate`](Self::regenerate), for a person who has just proved again who they are:
    /// the session is fresh ([`Meta::is_fresh`]), and both its timeouts restart (NIST SP
    /// 800-63B-4, section 5.2).
    ///
    /// # Errors
    /// As [`regenerate`](Self::regenerate).
    pub async fn reauthenticate(&self, token: &Token) -> Result<Issued> {
        self.renew(token, None, Renewal::Authentication).await
    }

    async fn renew(&self, token: &Token, data: Option<&T>, renewal: Renewal) -> Result<Issued> {
        let data = data.map(|data| self.encode(data)).transpose()?;
        let credential = self.credential(token).ok_or(Error::Gone)?;
        let write = Write { data, ..Write::default() };
        let (issued, _) = self.renew_by(&credential, write, renewal, Origin::unknown()).await?;
        Ok(issued)
    }

    /// As [`regenerate`](Self::regenerate) or [`reauthenticate`](Self::reauthenticate), on behalf of
    /// a request, with what else is to be written.
    pub(super) async fn renew_by(
        &self,
        credential: &Credential,
        write: Write<'_>,
        renewal: Renewal,
        origin: Origin<'_>,
    ) -> Result<(Issued, Renewed)> {
        let operation = match renewal {
            Renewal::Key => "regenerate",
            Renewal::Authentication => "reauthenticate",
        };
        let work = async {
            match self.inner.store.moves() {
                Some(moves) => self.renew_by_move(moves, credential, write, renewal, origin).await,
                None => self.renew_in_place(credential, write, renewal).await,
            }
        };
        observe(operation, Some(&credential.key), work).await
    }

    async fn renew_in_place(
        &self,
        credential: &Credential,
        write: Write<'_>,
        renewal: Renewal,
    ) -> Result<(Issued, Renewed)> {
        let Drawn { token, key, proof } = self.inner.draw_for(credential.key.clone())?;
        let write = Write {
            claim: credential.claim.as_ref(),
            proof: proof.map(NewProof::Regenerated),
            touch: true,
            authenticated: renewal == Renewal::Authentication,
            ..write
        };
        match self.inner.store.replace(&key, &write).await? {
            Replaced::Done(written) => {
                self.inner.events.tell(|| Event::Regenerated { key: key.clone() });
                let expires_in = written.times.map_or(Duration::ZERO, |times| times.expires_in());
                Ok((Issued { token, key, expires_in }, Renewed::InPlace(written)))
            }
            Replaced::Missing => Err(Error::Gone),
            Replaced::Conflict => Err(Error::Conflict { attempts: 1 }),
        }
    }

    async fn renew_by_move(
        &self,
        moves: &dyn Moves,
        Credential { key: old, .. }: &Credential,
        write: Write<'_>,
        renewal: Renewal,
        origin: Origin<'_>,
    ) -> Result<(Issued, Renewed)> {
        let inner = &*self.inner;
        for _ in 0..DRAWS {
            let Drawn { token, key, .. } =
                inner.draw(origin, Some(old.partition(inner.partitions)))?;
            match moves.rename(old, &key, renewal).await? {
                Renamed::Done(meta) => {
                    inner.events.tell(|| Event::Moved { old: old.clone(), new: key.clone() });
                    if write.data.is_some()
                        && !matches!(inner.store.replace(&key, &write).await?, Replaced::Done(_))
                    {
                        return Err(Error::Gone);
                    }
                    let issued = Issued { token, key, expires_in: meta.expires_in() };
                    return Ok((issued, Renewed::Moved(meta)));
                }
                Renamed::Missing => return Err(Error::Gone),
                Renamed::KeyTaken => {}
            }
        }
        Err(Error::NotRandom { attempts: DRAWS })
    }
}
