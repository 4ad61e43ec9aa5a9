//! How a session gets a new token: a record under one id is removed, and put under another.

use std::time::Duration;

use super::errors::wrote_nothing;
use super::{Backend, Laps, Place, check_length, id_of, open, unfit};
use crate::backoff::Backoff;
use crate::key::Key;
use crate::store::compat::backend::{Life, Stored};
use crate::store::compat::session::{Change, Changed};
use crate::store::to_the_end::to_the_end;
use crate::store::{Renamed, Renewal, Result, StoreError, StoreErrorKind};

/// Removes first: what breaks down in between ends the session, and never leaves it under two ids.
pub(in crate::store::compat) async fn rename<P: Place>(
    place: &P,
    from: &Key,
    to: &Key,
    renewal: Renewal,
) -> Result<Renamed> {
    let backend = place.backend();
    let (old_id, new_id) = (id_of::<P::Backend>(from)?, id_of::<P::Backend>(to)?);
    check_length::<P::Backend>(new_id)?;
    let change = Change {
        seen: true,
        authenticated: renewal == Renewal::Authentication,
        ..Change::default()
    };
    let mut laps = Laps::new();
    loop {
        let Some((stored, old)) = backend.fetch(old_id).await? else {
            return Ok(Renamed::Missing);
        };
        let Some(session) = open(place.format(), from, &stored)? else {
            return Ok(Renamed::Missing);
        };
        let Changed { text, life, .. } = session.changed(&change).map_err(unfit(from))?;
        // Before anything is removed: what the database cannot keep stays under its old id.
        let new = backend.record(&text, Some(&old))?;
        if backend.fetch(new_id).await?.is_some() {
            return Ok(Renamed::KeyTaken);
        }
        let life = match life {
            Life::For(life) => Some(life),
            Life::Keep => None,
        };
        let written = match shift(backend, (old_id, old, &stored), (new_id, new, life)).await? {
            Shift::Done(written) => written,
            Shift::Outrun => {
                laps.wait().await?;
                continue;
            }
            Shift::Taken => return Ok(Renamed::KeyTaken),
        };
        let expires = life.map(|life| stored.now + life);
        let text = written.unwrap_or(text).into();
        let stored = Stored { text, expires, now: stored.now };
        return Ok(match open(place.format(), to, &stored)? {
            Some(mut session) => {
                session.see();
                Renamed::Done(session.meta())
            }
            None => Renamed::Missing,
        });
    }
}

enum Shift {
    /// The text as it stands there, where that is known.
    Done(Option<String>),
    Outrun,
    Taken,
}

/// Removes a record that is as it was, and adds one under another id.
async fn shift<B: Backend>(
    backend: &B,
    (old_id, old, stored): (&str, B::Old, &Stored),
    (new_id, new, life): (&str, B::New, Option<Duration>),
) -> Result<Shift> {
    let (backend, old_id, new_id) = (backend.clone(), old_id.to_owned(), new_id.to_owned());
    let left = stored.expires.map(|expires| expires.since(stored.now));
    to_the_end(LONGEST, async move {
        if !backend.withdraw(&old_id, &old).await? {
            return Ok(Shift::Outrun);
        }
        let failure = match put(&backend, &new_id, &new, life, &old).await {
            Put::Done(text) => return Ok(Shift::Done(text)),
            // Two sessions were to have one id, which random ones never are.
            Put::Taken => Ok(Shift::Taken),
            Put::Failed(error) => Err(error),
            // It may still come to stand under the new id, so it must not under the old one.
            Put::Unknown(error) => return Err(error),
        };
        match put(&backend, &old_id, &B::again(&old), left, &old).await {
            // If it is taken, Node has written it again.
            Put::Done(_) | Put::Taken => failure,
            Put::Failed(error) | Put::Unknown(error) => Err(error),
        }
    })
    .await
}

/// How long a move may go on whose caller has hung up. Each of its commands has a timeout of its own.
pub(in crate::store::compat) const LONGEST: Duration = Duration::from_secs(600);

/// How often it is tried to put a removed record somewhere.
const PUTS: u32 = 3;

/// What became of a removed record.
enum Put {
    /// The text as it stands there, where that is known.
    Done(Option<String>),
    Taken,
    /// It stands nowhere.
    Failed(StoreError),
    /// It stands nowhere, or it does, or it will.
    Unknown(StoreError),
}

/// Adds a record in the place of one that was removed. To give up is to end a session, so it tries
/// again what may have failed for a moment.
async fn put<B: Backend>(
    backend: &B,
    id: &str,
    record: &B::New,
    life: Option<Duration>,
    old: &B::Old,
) -> Put {
    let (mut backoff, mut made, mut is_unknown) = (Backoff::new(), 0, false);
    loop {
        let error = match backend.add(id, record, life, Some(old)).await {
            Ok(Some(text)) => return Put::Done(Some(text)),
            Ok(None) if !is_unknown => return Put::Taken,
            // An answer was lost, and the record is there.
            Ok(None) => match backend.fetch(id).await {
                Ok(found) => {
                    let text = |stored: Stored| String::from_utf8_lossy(&stored.text).into_owned();
                    return Put::Done(found.map(|(stored, _)| text(stored)));
                }
                Err(error) => error,
            },
            Err(error) => error,
        };
        made += 1;
        let wrote_nothing = wrote_nothing(&error);
        is_unknown |= !wrote_nothing;
        if made == PUTS || (wrote_nothing && error.kind() != StoreErrorKind::Unavailable) {
            return if is_unknown { Put::Unknown(error) } else { Put::Failed(error) };
        }
        backoff.wait().await;
    }
}
