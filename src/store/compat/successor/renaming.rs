//! How a session gets a new token while sessions [begin in the old store](Successor::begin_in_old),
//! where the id is the token.

use super::moving::remaining;
use super::{Laps, Successor, bare};
use crate::key::Key;
use crate::store::compat::operations::LONGEST;
use crate::store::to_the_end::to_the_end;
use crate::store::{
    Condition, Inserted, Load, Moves, NewRecord, Removed, Renamed, Renewal, Result, Touch,
};

#[async_trait::async_trait]
impl Moves for Successor {
    async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
        if self.in_old(from, Touch::No).await?.is_some()
            && let Some(renamed) = self.rename_in_old(from, to, renewal).await?
        {
            return Ok(renamed);
        }
        let (store, from, to) = (self.clone(), from.clone(), to.clone());
        to_the_end(LONGEST, async move { store.rename_in_new(&from, &to, renewal).await }).await
    }
}

impl Successor {
    /// Gives a session that stays in the old store a new key. `None`: it has moved.
    async fn rename_in_old(
        &self,
        from: &Key,
        to: &Key,
        renewal: Renewal,
    ) -> Result<Option<Renamed>> {
        let renamed = match self.old.rename(from, to, renewal).await? {
            Renamed::Missing => return Ok(None),
            renamed => renamed,
        };
        let Some(record) = self.old.load(to, &Load::new()).await?.live() else {
            return Ok(Some(renamed));
        };
        // Meanwhile it may have moved under its new key, or before that under the old one: then only
        // the note was renamed.
        if let Some(false) = self.arrive(to, &record).await?
            && self.arrive(from, &record).await? == Some(true)
        {
            return Ok(None);
        }
        Ok(Some(renamed))
    }

    /// Ends a session of the new store, and begins it again under a key that the new token has. What
    /// breaks down in between ends it, and never leaves it under two tokens.
    async fn rename_in_new(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
        let (from, claim) = self.in_new(from, None);
        let load = Load { claim: claim.as_ref(), ..Load::new() };
        let beside = Load { with_data: false, ..Load::new() };
        let mut laps = Laps::new();
        let record = loop {
            let Some(record) = self.new.load(&from, &load).await?.live() else {
                return Ok(Renamed::Missing);
            };
            if self.new.load(&bare(to), &beside).await?.live().is_some() {
                return Ok(Renamed::KeyTaken);
            }
            let unchanged = Condition::Version(record.meta.version);
            match self.new.remove(&from, unchanged, false).await? {
                Removed::Done(_) => break record,
                Removed::Missing => return Ok(Renamed::Missing),
                Removed::Conflict => laps.wait().await?,
            }
        };
        let lifetime = match renewal {
            Renewal::Key => remaining(&record.meta)?,
            Renewal::Authentication => record.meta.lifetime,
        };
        let again = NewRecord {
            details: record.details,
            owner: record.meta.owner.as_ref(),
            proof: Some(self.proof_of(to)),
            authenticated: renewal == Renewal::Authentication,
            ..NewRecord::new(record.data, lifetime)
        };
        match self.new.insert(&bare(to), &again).await? {
            Inserted::Done { .. } => {}
            Inserted::KeyTaken | Inserted::OwnerFull => return Ok(Renamed::KeyTaken),
        }
        let renamed = self.new.load(&bare(to), &beside).await?.live();
        Ok(renamed.map_or(Renamed::Missing, |record| Renamed::Done(record.meta)))
    }
}
