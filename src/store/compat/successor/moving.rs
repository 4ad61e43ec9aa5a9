//! How a session moves from the old store to the new one.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::Successor;
use super::landing::staged;
use crate::key::Key;
use crate::record::{Lifetime, Meta, Record, Timestamp, Version};
use crate::store::compat::operations::{Laps, refused};
use crate::store::{Condition, Cursor, Load, Replaced, Result, StoreError, StoreErrorKind, Write};
use crate::token::{Token, is_guessable};

/// What [`Successor::move_page`] has done.
///
/// ```no_run
/// use token_session::store::StoreError;
/// use token_session::store::compat::Successor;
///
/// async fn move_all(store: &Successor) -> Result<usize, StoreError> {
///     let (mut moved, mut after) = (0, None);
///     loop {
///         let page = store.move_page(after.as_ref(), 100).await?;
///         for (key, error) in &page.failed {
///             eprintln!("{key} stays: {error}");
///         }
///         moved += page.moved;
///         after = page.next;
///         if after.is_none() {
///             return Ok(moved);
///         }
///     }
/// }
/// ```
#[derive(Debug, Default)]
pub struct Moved {
    /// So many sessions are in the new store now.
    pub moved: usize,
    /// So many ended before they could be moved.
    pub gone: usize,
    /// What stays where it is, and why: what is damaged or no session of the old store's
    /// [`Shape`](crate::store::compat::Shape), an id that anybody could guess or that is no
    /// [`Token`], what a store refuses. An error that [is retryable](StoreError::is_retryable) is to be tried again.
    pub failed: Vec<(Key, StoreError)>,
    /// Where to go on; `None` when this was the last page.
    pub next: Option<Cursor>,
}

impl Successor {
    /// Moves a page of the old store's sessions, some `limit` of them, all at once; see the
    /// [type](Self) for how.
    ///
    /// One round trip for the page, and some ten for each session, those of different sessions at
    /// the same time.
    ///
    /// # Errors
    /// What the old store says when it is asked for the page. What hinders one session alone is told
    /// in [`Moved::failed`], and hinders no other.
    pub async fn move_page(&self, after: Option<&Cursor>, limit: usize) -> Result<Moved> {
        let page = self.old.scan_for_mover(after, limit).await?;
        let moves = page.records.into_iter().map(|(key, record)| async move {
            let moved = match check(&key, &record) {
                Ok(()) => self.move_one(&key, record).await,
                Err(error) => Err(error),
            };
            (key, moved)
        });
        let mut done = Moved { next: page.next, ..Moved::default() };
        for error in page.damaged {
            if let Some(key) = error.key().cloned() {
                done.failed.push((key, no_session().with_source(error)));
            }
        }
        for (key, moved) in join_all(moves).await {
            match moved {
                Ok(true) => done.moved += 1,
                Ok(false) => done.gone += 1,
                Err(error) => done.failed.push((key, error)),
            }
        }
        Ok(done)
    }

    /// Whether the session is in the new store now: not if it ended before it could be moved.
    pub(super) async fn move_one(&self, key: &Key, mut record: Record) -> Result<bool> {
        let mut laps = Laps::new();
        loop {
            if let Some(nonce) = Note::read(&record.data) {
                return self.finish(key, nonce, record.meta.version).await;
            }
            let nonce = getrandom::u64().map_err(|error| {
                let message = "the operating system gives no random number";
                StoreError::new(StoreErrorKind::Unavailable, message).with_source(error)
            })?;
            let staged = staged(key, nonce);
            self.stage(&staged, &record).await?;
            let note = Note { moved: nonce.to_string() };
            let unchanged =
                Write { expected: Some(record.meta.version), ..Write::data(note.data()) };
            match self.old.replace(key, &unchanged).await {
                Ok(Replaced::Done(note)) => return self.finish(key, nonce, note.version).await,
                Ok(Replaced::Conflict | Replaced::Missing) => {}
                // It may have been written all the same.
                Err(error) if error.kind() == StoreErrorKind::Unavailable => return Err(error),
                Err(error) => {
                    self.new.remove(&staged, Condition::Always, false).await?;
                    return Err(error);
                }
            }
            laps.wait().await?;
            let changed = self.old.load(key, &Load::new()).await?.live();
            // A client that sends a write again takes its own note for another's.
            if changed.as_ref().and_then(|changed| Note::read(&changed.data)) != Some(nonce) {
                self.new.remove(&staged, Condition::Always, false).await?;
            }
            match changed {
                Some(changed) => record = changed,
                None => return Ok(false),
            }
        }
    }

    /// Takes the last two steps of a move if only a note is left in the old store. Answers whether the
    /// session is in the new one then; `None`: it is in the old one.
    pub(super) async fn arrive(&self, key: &Key, record: &Record) -> Result<Option<bool>> {
        let Some(nonce) = Note::read(&record.data) else {
            return Ok(None);
        };
        let has_landed = self.land(key, nonce).await?;
        // A note that leads nowhere stays for the mover, which surely looks in the right place.
        if has_landed {
            self.old.remove(key, Condition::Version(record.meta.version), false).await?;
        }
        Ok(Some(has_landed))
    }

    /// Takes the last two steps of a move, as the mover does; whether the session is in the new store
    /// then.
    async fn finish(&self, key: &Key, nonce: u64, note: Version) -> Result<bool> {
        let has_landed = self.land(key, nonce).await?;
        self.old.remove(key, Condition::Version(note), false).await?;
        Ok(has_landed)
    }
}

/// What takes the place of a session's data in the old store when it has moved.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    /// A number, as text: JavaScript's have 53 bits.
    #[serde(rename = "token-session:moved")]
    moved: String,
}

impl Note {
    fn data(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_else(|_| unreachable!("a text can be written")).into()
    }

    fn read(data: &[u8]) -> Option<u64> {
        // Most data is longer, and need not be parsed.
        let note = (data.len() < 64).then(|| serde_json::from_slice::<Self>(data).ok());
        note.flatten()?.moved.parse().ok()
    }
}

fn no_session() -> StoreError {
    refused(
        "it is no session as the Node service of this shape writes one, and stays; is the shape right?",
    )
}

fn check(key: &Key, record: &Record) -> Result<()> {
    if serde_json::from_slice::<serde::de::IgnoredAny>(&record.data).is_err() {
        return Err(no_session());
    }
    match key.plain_id() {
        Some(id) if is_guessable(id) => {
            Err(refused("its id is one that anybody can guess; end the session"))
        }
        _ if !can_be_presented(key) => Err(refused(
            "no client can present its id, so it is another service's, under a longer prefix, or of no \
             use; end it if it is yours",
        )),
        _ => Ok(()),
    }
}

/// Whether a client may hold the session's token. Else it may be one of another service, whose prefix
/// is longer.
pub(super) fn can_be_presented(key: &Key) -> bool {
    key.plain_id().is_some_and(|id| Token::parse(id).is_ok() && !is_guessable(id))
}

/// The lifetime of a session that goes on elsewhere.
pub(super) fn remaining(meta: &Meta) -> Result<Lifetime> {
    let left = |deadline: Timestamp| deadline.since(meta.now).max(Duration::from_millis(1));
    let (idle, left) = (meta.lifetime.idle_timeout(), meta.deadline.map(left));
    if idle.or(left).is_none() {
        return Ok(meta.lifetime);
    }
    Lifetime::of(idle, left).map_err(|error| {
        StoreError::new(StoreErrorKind::Corrupt, "a session has an invalid lifetime")
            .with_source(error)
    })
}
