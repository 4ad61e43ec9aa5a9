//! The sessions of an owner in the two stores.

use std::cmp::Reverse;

use super::{Successor, bare, refused};
use crate::key::Key;
use crate::record::{Owner, Record};
use crate::store::{Condition, Cursor, Owners, Page, Result, StoreError, Touch};

/// The youngest first, and those of one age by their keys.
type Place = (Reverse<u64>, Key);

fn place((key, record): &(Key, Record)) -> Place {
    (Reverse(record.meta.created_at.as_millis()), bare(key))
}

/// Where the next page of an owner's sessions begins.
enum Start {
    /// In the old store, behind this session.
    Old(Option<Place>),
    New(Option<Cursor>),
}

/// What a cursor begins with.
const OLD: u8 = b'o';
const NEW: u8 = b'n';

impl Start {
    fn read(cursor: Option<&Cursor>) -> Result<Self> {
        let Some((store, place)) = cursor.and_then(|cursor| cursor.as_bytes().split_first()) else {
            return Ok(Self::Old(None));
        };
        match (*store, place) {
            (NEW, []) => Ok(Self::New(None)),
            (NEW, place) => Ok(Self::New(Some(Cursor::new(place)))),
            (OLD, place) => Self::in_old(place).ok_or_else(strange),
            _ => Err(strange()),
        }
    }

    fn in_old(place: &[u8]) -> Option<Self> {
        let (created, key) = place.split_first_chunk()?;
        let key = Key::from_bytes(key.try_into().ok()?);
        Some(Self::Old(Some((Reverse(u64::from_be_bytes(*created)), key))))
    }

    fn to_cursor(&self) -> Cursor {
        match self {
            Self::Old(Some((Reverse(created), key))) => {
                Cursor::new([&[OLD], &created.to_be_bytes()[..], key.as_bytes()].concat())
            }
            Self::Old(None) => Cursor::new([]),
            Self::New(None) => Cursor::new([NEW]),
            Self::New(Some(cursor)) => Cursor::new([&[NEW], cursor.as_bytes()].concat()),
        }
    }
}

fn strange() -> StoreError {
    refused("the cursor is not one of this store; begin the list without one")
}

#[async_trait::async_trait]
impl Owners for Successor {
    /// The old store's sessions come first: they move to the new store and not back, so none is left
    /// out that moves between two pages. It may be listed twice. Each page is in the order of age.
    async fn owned(
        &self,
        owner: &Owner,
        after: Option<&Cursor>,
        limit: usize,
        with_data: bool,
    ) -> Result<Page> {
        let mut page = Page::default();
        let mut start = Start::read(after)?;
        if let Start::Old(after) = &start {
            page.records = self.owned_in_old(owner, after.as_ref()).await?;
            start = if page.records.len() > limit {
                page.records.truncate(limit);
                Start::Old(page.records.last().map(place))
            } else {
                Start::New(None)
            };
        }
        if !with_data {
            page.records.iter_mut().for_each(|(_, record)| record.data.clear());
        }
        // Last, for those that have moved meanwhile.
        while let Start::New(after) = &start
            && page.records.len() < limit
        {
            let left = limit - page.records.len();
            let new = self.new.owned(owner, after.as_ref(), left, with_data).await?;
            page.records.retain(|(key, _)| new.records.iter().all(|(moved, _)| moved != key));
            page.records.extend(new.records);
            page.damaged.extend(new.damaged);
            match new.next {
                Some(next) => start = Start::New(Some(next)),
                None => {
                    page.records.sort_by_key(place);
                    return Ok(page);
                }
            }
        }
        page.records.sort_by_key(place);
        page.next = Some(start.to_cursor());
        Ok(page)
    }

    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        if self.owner.is_some() {
            // The kept session must not be on its way: a copy under another key would end.
            let kept = match keep {
                Some(keep) if keep.plain_id().is_none() => self.with_id(keep).await?,
                keep => keep.cloned(),
            };
            if let Some(kept) = kept.filter(|_| !self.begins_in_old)
                && let Some(record) = self.in_old(&kept, Touch::No).await?
            {
                self.move_one(&kept, record).await?;
            }
            for (key, _) in self.owned_in_old(owner, None).await? {
                if Some(&key) != keep {
                    self.remove_by_id(&key, Condition::Owner(owner), false).await?;
                }
            }
        }
        // Last, for those that have moved meanwhile.
        self.new.remove_owned(owner, keep.map(bare).as_ref()).await
    }
}

impl Successor {
    /// What an owner has in the old store behind a place, the youngest first. Looks at every session
    /// there.
    async fn owned_in_old(
        &self,
        owner: &Owner,
        after: Option<&Place>,
    ) -> Result<Vec<(Key, Record)>> {
        let mut owned = Vec::new();
        if self.owner.is_some() {
            self.visit_old(|key, record| {
                let found = record.map(|record| (key, record)).filter(|found| {
                    let is_behind = after.is_none_or(|after| place(found) > *after);
                    found.1.meta.owner.as_ref() == Some(owner) && is_behind
                });
                owned.extend(found);
                true
            })
            .await?;
        }
        owned.sort_by_key(place);
        Ok(owned)
    }
}
