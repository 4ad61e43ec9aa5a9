//! The conformance suite fails where a store is wrong: each store here has one fault, and the tests
//! of that sentence of the contract have to find it.

use std::time::Duration;

use bytes::Bytes;
use token_session::store::conformance::{self, Harness};
use token_session::store::{
    AtomicStore, Condition, Cursor, Inserted, ManualClock, Memory, NewRecord, Page, Removed,
    Renamed, Renewal, Replaced, Result, Store, Touch, Write,
};
use token_session::{Key, Lifetime, Meta, Owner, Record};
use tokio::sync::Mutex;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    ClockStandsStill,
    OneStoreForAll,
    ChangesAreLost,
    // insert
    InsertWritesTwice,
    InsertOverwrites,
    InsertListsLater,
    InsertLooksThenWrites,
    InsertCountsThenWrites,
    InsertEvictsTheYoungest,
    InsertEvictsOneAtMost,
    InsertEvictsBeforeItLooks,
    InsertEvictsDespitePolicy,
    InsertForgetsTheLabel,
    InsertForgetsTheOwner,
    InsertKeepsText,
    InsertCapsTheLifetime,
    // load, touch
    LoadMakesRecords,
    LoadAlwaysTouches,
    LoadNeverTouches,
    LoadShowsTheRecordBeforeTheTouch,
    LoadIsStale,
    LoadFindsAnother,
    TouchIgnoresTheInterval,
    TouchIgnoresTheTenth,
    TouchForgetsTheDeadline,
    TouchUndoesWrites,
    // replace
    ReplaceLooksThenWrites,
    ReplaceInserts,
    ReplaceTouches,
    ReplaceNeverTouches,
    ReplaceKeepsTheLifetime,
    ReplaceIgnoresTheVersion,
    ReplaceDeniesWhatItWrote,
    ReplaceWritesDataLast,
    ReplaceKeepsText,
    // rename
    RenameCopiesFirst,
    RenameRemovesFirst,
    RenameOverwrites,
    RenameKeepsTheDeadline,
    RenameRenewsTheDeadline,
    RenameInserts,
    RenameBeginsAnew,
    // take, remove
    TakeLeavesTheRecord,
    TakeLooksThenRemoves,
    RemoveLooksThenRemoves,
    RemoveIgnoresTheCondition,
    RemoveIsAlwaysDone,
    // owners
    OwnedIsOldestFirst,
    OwnedIgnoresTheLimit,
    OwnedHidesTheLabel,
    OwnersAreCaseInsensitive,
    RemoveOwnedListsThenRemoves,
    RemoveOwnedKeepsNothing,
    RemoveOwnedKeepsStrangers,
    RemoveOwnedLeavesTheOldest,
    RemoveOwnedEndsOthers,
    RemoveOwnedWaitsForNone,
    RemoveOwnedWithoutSessionsFails,
    // administration
    ScanEndsEarly,
    ScanListsTwice,
    ScanNeverEnds,
    CountIsOneMore,
    ClearLeavesOne,
    SweepEndsTheLiving,
    SweepIgnoresTheLimit,
    NoPartitions,
}

use Fault::*;

struct Faulty(Fault, ManualClock, Memory);

impl Faulty {
    fn new(fault: Fault) -> Self {
        let clock = ManualClock::default();
        let shared = Memory::builder().clock(clock.clone()).build();
        Self(fault, clock, shared)
    }
}

impl Harness for Faulty {
    type Store = FaultyStore;

    async fn store(&self) -> FaultyStore {
        let inner = match self.0 {
            OneStoreForAll => self.2.clone(),
            _ => Memory::builder().clock(self.1.clone()).build(),
        };
        FaultyStore { inner, fault: self.0, replica: Mutex::default() }
    }

    async fn pass(&self, time: Duration) {
        if self.0 != ClockStandsStill {
            self.1.advance(time);
        }
    }
}

struct FaultyStore {
    inner: Memory,
    fault: Fault,
    /// How often it was asked, and what it had seen when it was last up to date.
    replica: Mutex<(usize, Option<(Key, Record)>)>,
}

const ALWAYS: Touch = Touch::After(Duration::ZERO);

/// What lies between two commands to a server: time enough for others.
async fn round_trip() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn a_day() -> Lifetime {
    Lifetime::idle_secs(86_400).unwrap()
}

impl FaultyStore {
    fn owner(&self, owner: &Owner) -> Owner {
        if self.fault == OwnersAreCaseInsensitive {
            Owner::new(owner.as_str().to_lowercase()).unwrap()
        } else {
            owner.clone()
        }
    }

    fn as_text(data: &[u8]) -> Bytes {
        String::from_utf8_lossy(data).into_owned().into()
    }

    /// A record like this one: the contract has no way to put back what was read.
    fn like<'a>(record: &'a Record) -> NewRecord<'a> {
        NewRecord {
            owner: record.meta.owner.as_ref(),
            label: record.meta.label.as_ref(),
            ..NewRecord::new(record.data.clone(), record.meta.lifetime)
        }
    }
}

#[async_trait::async_trait]
impl Store for FaultyStore {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        let owner = record.owner.map(|owner| self.owner(owner));
        let mut record = NewRecord { owner: owner.as_ref(), ..record.clone() };
        let oldest = async |owner: &Owner| {
            let owned = self.inner.owned(owner, usize::MAX).await;
            owned.map(|mut owned| owned.pop().map(|(key, _)| key))
        };
        let full = match (record.limit, &owner) {
            (Some(limit), Some(owner)) => {
                let owned = self.inner.owned(owner, usize::MAX).await?;
                owned.len() >= limit.max().get() as usize
            }
            _ => false,
        };
        match (self.fault, &owner) {
            (InsertWritesTwice, _) => {
                let answer = self.inner.insert(key, &record).await?;
                let write = Write::new(record.data.clone());
                self.inner.replace(key, &write).await?;
                return Ok(answer);
            }
            (InsertOverwrites, _) => {
                self.inner.take(key).await?;
            }
            (InsertListsLater, Some(_)) => {
                let unlisted = NewRecord { owner: None, ..record.clone() };
                self.inner.insert(key, &unlisted).await?;
                round_trip().await;
                self.inner.take(key).await?;
            }
            (InsertLooksThenWrites, _) => {
                if self.inner.load(key, Touch::No).await?.is_some() {
                    return Ok(Inserted::KeyTaken);
                }
                round_trip().await;
                self.inner.take(key).await?;
            }
            (InsertCountsThenWrites, _) => {
                round_trip().await;
                let evicts = record.limit.is_some_and(|limit| limit.evicts());
                if full && !evicts {
                    return Ok(Inserted::OwnerFull);
                }
                record.limit = None;
            }
            (InsertEvictsTheYoungest, Some(owner)) if full => {
                let owned = self.inner.owned(owner, 1).await?;
                self.inner.take(&owned[0].0).await?;
                record.limit = None;
            }
            (InsertEvictsOneAtMost, Some(owner)) if full => {
                let evicted: Vec<Key> = oldest(owner).await?.into_iter().collect();
                for key in &evicted {
                    self.inner.take(key).await?;
                }
                record.limit = None;
                self.inner.insert(key, &record).await?;
                return Ok(Inserted::Done { evicted });
            }
            (InsertEvictsBeforeItLooks, Some(owner)) if full => {
                if let Some(key) = oldest(owner).await? {
                    self.inner.take(&key).await?;
                }
            }
            (InsertEvictsDespitePolicy, _) => {
                let max = record.limit.map(|limit| limit.max());
                record.limit = max.map(token_session::store::OwnerLimit::evict_oldest);
            }
            (InsertForgetsTheLabel, _) => record.label = None,
            (InsertForgetsTheOwner, _) => record.owner = None,
            (InsertKeepsText, _) => {
                record.data = Self::as_text(&record.data);
            }
            (InsertCapsTheLifetime, _) if record.lifetime.first() > a_day().first() => {
                record.lifetime = a_day();
            }
            _ => {}
        }
        self.inner.insert(key, &record).await
    }

    async fn load(&self, key: &Key, touch: Touch) -> Result<Option<Record>> {
        let before = self.inner.load(key, Touch::No).await?;
        let touch = match (self.fault, touch) {
            (LoadAlwaysTouches, _) => ALWAYS,
            (LoadNeverTouches, _) => Touch::No,
            (TouchIgnoresTheInterval, Touch::After(_)) => ALWAYS,
            (TouchIgnoresTheTenth, Touch::After(interval)) => match &before {
                Some(record) if record.meta.now.since(record.meta.last_seen) < interval => {
                    Touch::No
                }
                _ => touch,
            },
            _ => touch,
        };
        let found = self.inner.load(key, touch).await?;
        match (self.fault, touch, &found) {
            (LoadMakesRecords, _, None) => {
                let record = NewRecord::new("", a_day());
                self.inner.insert(key, &record).await?;
            }
            (LoadShowsTheRecordBeforeTheTouch, ..) => return Ok(before),
            (LoadFindsAnother, _, None) => {
                let any = self.inner.scan(None, 1).await?.records.into_iter().next();
                return Ok(any.map(|(_, record)| record));
            }
            (LoadIsStale, ..) => {
                let mut replica = self.replica.lock().await;
                replica.0 += 1;
                if replica.0 % 2 == 0
                    && let Some((_, stale)) = replica.1.as_ref().filter(|(seen, _)| seen == key)
                {
                    return Ok(Some(stale.clone()));
                }
                if replica.0 % 512 == 1 {
                    replica.1 = found.clone().map(|found| (key.clone(), found));
                }
            }
            (TouchForgetsTheDeadline, Touch::After(_), Some(record)) => {
                let write = Write { lifetime: Some(&a_day()), ..Write::new(record.data.clone()) };
                self.inner.replace(key, &write).await?;
            }
            (TouchUndoesWrites, Touch::After(_), Some(record)) => {
                round_trip().await;
                self.inner.take(key).await?;
                self.inner.insert(key, &Self::like(record)).await?;
            }
            _ => {}
        }
        Ok(found)
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<Option<Meta>> {
        Ok(self.load(key, touch).await?.map(|record| record.meta))
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let mut write = write.clone();
        let before = self.inner.load(key, Touch::No).await?;
        match (self.fault, before) {
            (ReplaceLooksThenWrites, Some(before)) => {
                let expected = write.expected.take();
                if expected.is_some_and(|version| version != before.meta.version) {
                    return Ok(Replaced::Conflict);
                }
                round_trip().await;
                if self.inner.take(key).await?.is_none() {
                    let record = NewRecord::new(write.data.clone(), before.meta.lifetime);
                    self.inner.insert(key, &record).await?;
                    return Ok(Replaced::Done(before.meta.version.next()));
                }
                self.inner.insert(key, &Self::like(&before)).await?;
            }
            (ReplaceInserts, None) => {
                let record = NewRecord::new(write.data, a_day());
                self.inner.insert(key, &record).await?;
                return Ok(Replaced::Missing);
            }
            (ReplaceKeepsText, _) => write.data = Self::as_text(&write.data),
            (ReplaceTouches, _) => write.touch = true,
            (ReplaceNeverTouches, _) => write.touch = false,
            (ReplaceKeepsTheLifetime, _) => write.lifetime = None,
            (ReplaceIgnoresTheVersion, _) => write.expected = None,
            (ReplaceDeniesWhatItWrote, Some(_)) if write.expected.is_some() => {
                self.inner.replace(key, &write).await?;
                return Ok(Replaced::Conflict);
            }
            (ChangesAreLost, Some(before)) => {
                return Ok(Replaced::Done(before.meta.version.next()));
            }
            (ReplaceWritesDataLast, Some(before)) => {
                let first = Write { data: before.data, ..write.clone() };
                let answer = self.inner.replace(key, &first).await?;
                round_trip().await;
                if let Some(record) = self.inner.take(key).await? {
                    let record = NewRecord { data: write.data, ..Self::like(&record) };
                    self.inner.insert(key, &record).await?;
                }
                return Ok(answer);
            }
            _ => {}
        }
        self.inner.replace(key, &write).await
    }

    async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
        let before = self.inner.load(from, Touch::No).await?;
        let mut renewal = renewal;
        match (self.fault, before) {
            (RenameCopiesFirst, Some(before)) => {
                self.inner.insert(to, &Self::like(&before)).await?;
                round_trip().await;
                self.inner.take(from).await?;
                return Ok(Renamed::Done(before.meta));
            }
            (RenameRemovesFirst, Some(before)) => {
                self.inner.take(from).await?;
                round_trip().await;
                self.inner.insert(to, &Self::like(&before)).await?;
                return Ok(Renamed::Done(before.meta));
            }
            (RenameOverwrites, _) => {
                self.inner.take(to).await?;
            }
            (RenameKeepsTheDeadline, _) => renewal = Renewal::Key,
            (RenameRenewsTheDeadline, _) => renewal = Renewal::Authentication,
            (RenameInserts, None) => {
                let record = NewRecord::new("", a_day());
                self.inner.insert(to, &record).await?;
                return Ok(Renamed::Missing);
            }
            (RenameBeginsAnew, Some(before)) => {
                self.inner.take(from).await?;
                self.inner.insert(to, &Self::like(&before)).await?;
                return Ok(Renamed::Done(before.meta));
            }
            _ => {}
        }
        self.inner.rename(from, to, renewal).await
    }

    async fn take(&self, key: &Key) -> Result<Option<Record>> {
        match self.fault {
            TakeLeavesTheRecord => self.inner.load(key, Touch::No).await,
            TakeLooksThenRemoves => {
                let found = self.inner.load(key, Touch::No).await?;
                round_trip().await;
                self.inner.take(key).await?;
                Ok(found)
            }
            _ => self.inner.take(key).await,
        }
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>) -> Result<Removed> {
        match self.fault {
            RemoveLooksThenRemoves => {
                let found = self.inner.load(key, Touch::No).await?;
                round_trip().await;
                self.inner.remove(key, condition).await?;
                Ok(found.map_or(Removed::Missing, |_| Removed::Done))
            }
            RemoveIgnoresTheCondition => self.inner.remove(key, Condition::Always).await,
            RemoveIsAlwaysDone => {
                self.inner.remove(key, condition).await?;
                Ok(Removed::Done)
            }
            ChangesAreLost => {
                let found = self.inner.load(key, Touch::No).await?;
                Ok(found.map_or(Removed::Missing, |_| Removed::Done))
            }
            _ => self.inner.remove(key, condition).await,
        }
    }

    async fn owned(&self, owner: &Owner, limit: usize) -> Result<Vec<(Key, Meta)>> {
        let limit = match self.fault {
            OwnedIgnoresTheLimit => usize::MAX,
            _ => limit,
        };
        let mut owned = self.inner.owned(&self.owner(owner), limit).await?;
        match self.fault {
            OwnedIsOldestFirst => owned.reverse(),
            OwnedHidesTheLabel => owned.iter_mut().for_each(|(_, meta)| meta.label = None),
            _ => {}
        }
        Ok(owned)
    }

    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        let owner = &self.owner(owner);
        let owned = self.inner.owned(owner, usize::MAX).await?;
        match self.fault {
            RemoveOwnedListsThenRemoves => {
                round_trip().await;
                for (key, _) in owned.iter().filter(|(key, _)| Some(key) != keep) {
                    self.inner.take(key).await?;
                }
                Ok(())
            }
            RemoveOwnedKeepsNothing => self.inner.remove_owned(owner, None).await,
            RemoveOwnedKeepsStrangers => match keep {
                Some(key) if !owned.iter().any(|(owned, _)| owned == key) => Ok(()),
                _ => self.inner.remove_owned(owner, keep).await,
            },
            RemoveOwnedLeavesTheOldest => {
                let oldest = owned.last().map(|(key, _)| key);
                self.inner.remove_owned(owner, oldest).await
            }
            RemoveOwnedEndsOthers => self.inner.clear().await,
            RemoveOwnedWaitsForNone => loop {
                self.inner.remove_owned(owner, keep).await?;
                round_trip().await;
                if self.inner.owned(owner, 1).await?.is_empty() {
                    return Ok(());
                }
            },
            RemoveOwnedWithoutSessionsFails if owned.is_empty() => {
                let kind = token_session::store::StoreErrorKind::Corrupt;
                Err(token_session::store::StoreError::new(kind, "no such owner"))
            }
            _ => self.inner.remove_owned(owner, keep).await,
        }
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        let mut page = self.inner.scan(after, limit).await?;
        match self.fault {
            ScanEndsEarly => page.next = None,
            ScanListsTwice => page.records.extend(page.records.clone()),
            ScanNeverEnds => page.next = Some(Cursor::new([0; 32])),
            _ => {}
        }
        Ok(page)
    }

    async fn count(&self) -> Result<u64> {
        let more = u64::from(self.fault == CountIsOneMore);
        Ok(self.inner.count().await? + more)
    }

    async fn clear(&self) -> Result<()> {
        let first = self.inner.scan(None, 1).await?.records.into_iter().next();
        self.inner.clear().await?;
        if let Some((key, record)) = first.filter(|_| self.fault == ClearLeavesOne) {
            self.inner.insert(&key, &Self::like(&record)).await?;
        }
        Ok(())
    }

    async fn sweep(&self, limit: usize) -> Result<usize> {
        match self.fault {
            SweepEndsTheLiving => {
                self.inner.clear().await?;
                Ok(0)
            }
            SweepIgnoresTheLimit => self.inner.sweep(usize::MAX).await,
            _ => self.inner.sweep(limit).await,
        }
    }

    fn partitions(&self) -> u16 {
        u16::from(self.fault != NoPartitions)
    }
}

/// So it says, or codes could not be built on it.
impl AtomicStore for FaultyStore {}

/// A test for each fault: that the functions of the suite after the arrow find it.
macro_rules! found {
    ($($name:ident: $fault:ident => $($module:ident::$test:ident),+;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $name() {
            $(
                let mut found = false;
                // On a busy machine a race may not show in one run.
                for _ in 0..3 {
                    let run = tokio::spawn(async {
                        conformance::$module::$test(&Faulty::new($fault)).await;
                    });
                    found |= run.await.is_err_and(|error| error.is_panic());
                    if found {
                        break;
                    }
                }
                assert!(found, "{} does not find {:?}", stringify!($test), $fault);
            )+
        }
    )*};
}

found! {
    a_record_that_outlives_its_end_is_found: ClockStandsStill =>
        throughout::an_expired_record_does_not_exist,
        throughout::a_sweep_changes_no_verdict,
        insert::an_expired_record_is_no_hindrance,
        insert::timeouts_from_a_millisecond_to_the_longest_are_kept,
        insert::only_live_sessions_of_the_owner_count_for_the_limit,
        load::a_touch_never_passes_the_deadline,
        replace::a_new_lifetime_may_be_shorter,
        rename::an_expired_record_is_no_hindrance,
        owners::what_has_ended_is_not_listed,
        owners::a_list_holds_no_more_than_its_limit,
        administration::the_count_is_of_live_records,
        administration::a_scan_lists_every_live_record_once;
    a_namespace_that_is_shared_is_found: OneStoreForAll =>
        administration::stores_do_not_see_each_other;
    a_change_that_is_lost_is_found: ChangesAreLost =>
        replace::a_write_changes_the_data_and_the_version_alone,
        remove::a_removed_record_is_gone;

    an_insert_that_is_two_writes_is_found: InsertWritesTwice =>
        insert::a_new_record_is_of_its_version_created_and_seen_now;
    an_insert_over_another_is_found: InsertOverwrites =>
        insert::a_taken_key_is_refused_and_nothing_changes,
        insert::of_racing_inserts_of_one_key_one_is_done;
    an_insert_in_two_steps_is_found: InsertListsLater =>
        throughout::a_dropped_insert_is_done_or_not_done;
    an_insert_that_looks_then_writes_is_found: InsertLooksThenWrites =>
        insert::of_racing_inserts_of_one_key_one_is_done;
    a_limit_that_is_counted_then_written_is_found: InsertCountsThenWrites =>
        insert::racing_inserts_that_are_refused_leave_no_more_than_the_limit,
        insert::racing_inserts_that_evict_leave_no_more_than_the_limit,
        insert::at_the_limit_the_oldest_goes_and_its_key_is_returned;
    an_eviction_of_the_youngest_is_found: InsertEvictsTheYoungest =>
        insert::at_the_limit_the_oldest_goes_and_its_key_is_returned;
    an_eviction_of_too_few_is_found: InsertEvictsOneAtMost =>
        insert::as_many_go_as_a_lower_limit_asks_for;
    an_eviction_for_nothing_is_found: InsertEvictsBeforeItLooks =>
        insert::a_taken_key_ends_none_of_the_owners_sessions;
    an_eviction_against_the_policy_is_found: InsertEvictsDespitePolicy =>
        insert::at_the_limit_an_insert_is_refused_and_nothing_changes;
    a_lost_label_is_found: InsertForgetsTheLabel =>
        insert::a_new_record_is_as_it_was_given;
    a_lost_owner_is_found: InsertForgetsTheOwner =>
        insert::a_new_record_is_as_it_was_given,
        owners::live_sessions_are_listed_the_youngest_first,
        owners::all_sessions_of_an_owner_end,
        remove::a_removed_record_is_gone;
    data_that_is_kept_as_text_is_found: InsertKeepsText =>
        insert::data_of_every_size_and_byte_is_kept;
    a_lifetime_that_is_cut_is_found: InsertCapsTheLifetime =>
        insert::timeouts_from_a_millisecond_to_the_longest_are_kept;

    a_load_that_makes_a_record_is_found: LoadMakesRecords =>
        load::a_missing_record_is_none;
    a_load_that_touches_unasked_is_found: LoadAlwaysTouches =>
        load::a_load_without_a_touch_leaves_the_record;
    a_load_that_does_not_touch_is_found: LoadNeverTouches =>
        load::a_touch_makes_the_record_seen_now,
        load::a_touch_answers_as_a_load_does,
        load::a_touch_after_the_interval_is_written,
        load::a_touch_after_a_tenth_of_the_idle_timeout_is_written;
    a_load_that_shows_what_was_is_found: LoadShowsTheRecordBeforeTheTouch =>
        load::a_touch_makes_the_record_seen_now,
        load::a_touch_answers_as_a_load_does;
    a_load_from_a_stale_replica_is_found: LoadIsStale =>
        load::racing_touches_move_forward_only,
        replace::a_write_changes_the_data_and_the_version_alone,
        remove::a_take_hands_out_the_record_and_removes_it;
    a_touch_that_ignores_the_interval_is_found: TouchIgnoresTheInterval =>
        load::a_touch_within_the_interval_is_not_written;
    a_touch_that_ignores_the_tenth_is_found: TouchIgnoresTheTenth =>
        load::a_touch_after_a_tenth_of_the_idle_timeout_is_written;
    a_touch_past_the_deadline_is_found: TouchForgetsTheDeadline =>
        load::a_touch_never_passes_the_deadline,
        load::nothing_slides_without_an_idle_timeout;
    a_touch_that_undoes_a_write_is_found: TouchUndoesWrites =>
        load::racing_touches_and_writes_lose_neither,
        replace::a_write_that_races_a_removal_does_not_undo_it;

    a_write_that_looks_then_writes_is_found: ReplaceLooksThenWrites =>
        replace::of_racing_writes_that_expect_one_version_one_is_done,
        replace::racing_increments_are_all_counted,
        replace::a_write_that_races_a_removal_does_not_undo_it;
    a_write_that_revives_is_found: ReplaceInserts =>
        throughout::an_expired_record_does_not_exist,
        replace::a_missing_record_is_not_written,
        replace::no_write_brings_a_removed_record_back,
        replace::a_write_that_races_a_removal_does_not_undo_it,
        owners::all_sessions_of_an_owner_end,
        owners::what_the_owner_had_ends_whatever_races;
    a_write_that_touches_unasked_is_found: ReplaceTouches =>
        replace::a_write_changes_the_data_and_the_version_alone;
    a_write_that_does_not_touch_is_found: ReplaceNeverTouches =>
        replace::a_write_may_touch;
    a_write_that_keeps_the_lifetime_is_found: ReplaceKeepsTheLifetime =>
        replace::a_write_may_begin_a_new_lifetime,
        replace::a_new_lifetime_may_be_shorter;
    a_write_over_any_version_is_found: ReplaceIgnoresTheVersion =>
        replace::another_version_is_a_conflict_and_nothing_is_written,
        replace::of_racing_writes_that_expect_one_version_one_is_done;
    a_write_that_is_denied_is_found: ReplaceDeniesWhatItWrote =>
        replace::of_racing_writes_that_expect_one_version_one_is_done,
        codes::a_right_code_amid_wrong_guesses_is_redeemed;
    a_write_in_two_steps_is_found: ReplaceWritesDataLast =>
        throughout::nobody_sees_half_of_a_write,
        throughout::a_dropped_write_is_done_or_not_done;
    a_write_that_is_kept_as_text_is_found: ReplaceKeepsText =>
        replace::data_of_every_size_and_byte_is_written;

    a_rename_that_copies_first_is_found: RenameCopiesFirst =>
        rename::at_no_moment_are_both_keys_alive,
        rename::of_racing_renames_of_one_key_one_is_done,
        rename::a_rename_that_races_a_removal_does_not_undo_it;
    a_rename_in_two_steps_is_found: RenameRemovesFirst =>
        throughout::a_dropped_rename_is_done_or_not_done;
    a_rename_over_another_is_found: RenameOverwrites =>
        rename::a_taken_key_is_refused_and_nothing_changes,
        rename::of_racing_renames_to_one_key_one_is_done;
    a_rename_that_keeps_the_deadline_is_found: RenameKeepsTheDeadline =>
        rename::an_authentication_renews_the_deadline_too;
    a_rename_that_renews_the_deadline_is_found: RenameRenewsTheDeadline =>
        rename::a_rename_changes_the_key_and_the_version_and_is_seen_now;
    a_rename_of_nothing_is_found: RenameInserts =>
        rename::a_missing_record_is_not_renamed;
    a_rename_that_begins_anew_is_found: RenameBeginsAnew =>
        rename::a_rename_changes_the_key_and_the_version_and_is_seen_now,
        rename::a_renamed_session_keeps_its_place_among_its_owners;

    a_take_that_leaves_the_record_is_found: TakeLeavesTheRecord =>
        remove::a_take_hands_out_the_record_and_removes_it;
    a_take_that_looks_then_removes_is_found: TakeLooksThenRemoves =>
        remove::of_racing_takes_one_gets_the_record,
        remove::of_a_racing_take_and_removal_one_wins;
    a_removal_that_looks_then_removes_is_found: RemoveLooksThenRemoves =>
        remove::of_racing_removals_one_is_done,
        remove::of_a_racing_take_and_removal_one_wins;
    a_removal_without_a_condition_is_found: RemoveIgnoresTheCondition =>
        remove::another_version_is_a_conflict_and_nothing_is_removed,
        remove::another_owner_is_a_conflict_and_nothing_is_removed;
    a_removal_of_nothing_is_found: RemoveIsAlwaysDone =>
        remove::a_missing_record_is_not_removed,
        remove::a_removed_record_is_gone;

    a_list_from_the_oldest_is_found: OwnedIsOldestFirst =>
        owners::live_sessions_are_listed_the_youngest_first,
        owners::what_has_ended_is_not_listed;
    a_list_without_a_limit_is_found: OwnedIgnoresTheLimit =>
        owners::a_list_holds_no_more_than_its_limit;
    a_list_without_labels_is_found: OwnedHidesTheLabel =>
        owners::a_list_shows_what_a_load_shows;
    a_collation_of_owners_is_found: OwnersAreCaseInsensitive =>
        owners::owners_are_told_apart_by_every_byte;
    an_end_that_lists_then_removes_is_found: RemoveOwnedListsThenRemoves =>
        owners::what_the_owner_had_ends_whatever_races;
    an_end_that_keeps_nothing_is_found: RemoveOwnedKeepsNothing =>
        owners::the_kept_session_stays_and_works_on,
        owners::an_insert_that_races_is_listed_or_dead;
    an_end_that_keeps_for_a_stranger_is_found: RemoveOwnedKeepsStrangers =>
        owners::a_stranger_is_not_kept,
        owners::of_two_that_keep_different_sessions_neither_keeps_one;
    an_end_that_leaves_one_is_found: RemoveOwnedLeavesTheOldest =>
        owners::all_sessions_of_an_owner_end,
        owners::an_owner_whose_sessions_ended_begins_anew,
        owners::a_repeat_ends_what_a_dropped_end_has_left;
    an_end_that_waits_until_no_sessions_come_is_found: RemoveOwnedWaitsForNone =>
        owners::an_end_returns_although_sessions_keep_coming;
    an_end_of_others_is_found: RemoveOwnedEndsOthers =>
        owners::others_sessions_stay;
    an_error_for_no_sessions_is_found: RemoveOwnedWithoutSessionsFails =>
        owners::an_owner_without_sessions_is_no_error;

    a_scan_that_ends_early_is_found: ScanEndsEarly =>
        administration::a_scan_lists_every_live_record_once,
        administration::a_record_that_stays_is_scanned_while_others_come_and_go;
    a_scan_that_lists_twice_is_found: ScanListsTwice =>
        administration::a_scan_lists_every_live_record_once,
        administration::a_record_that_stays_is_scanned_while_others_come_and_go;
    a_scan_that_never_ends_is_found: ScanNeverEnds =>
        administration::a_scan_of_nothing_ends;
    a_wrong_count_is_found: CountIsOneMore =>
        administration::the_count_is_of_live_records;
    a_clear_that_leaves_one_is_found: ClearLeavesOne =>
        administration::a_clear_removes_every_record,
        administration::a_cleared_store_begins_anew;
    a_sweep_of_the_living_is_found: SweepEndsTheLiving =>
        throughout::a_sweep_changes_no_verdict,
        administration::a_sweep_frees_no_more_than_its_limit_and_nothing_live;
    a_sweep_without_a_limit_is_found: SweepIgnoresTheLimit =>
        administration::a_sweep_frees_no_more_than_its_limit_and_nothing_live;
    no_partitions_are_found: NoPartitions =>
        administration::there_are_1_to_1024_partitions;

    a_code_that_never_ends_is_found: ClockStandsStill =>
        codes::a_code_ends_with_its_lifetime,
        abuse::an_expired_code_stays_dead,
        abuse::a_link_ends_with_its_lifetime;
    a_first_guess_budget_that_is_looked_for_then_written_is_found: InsertLooksThenWrites =>
        codes::racing_challenges_keep_no_more_than_a_day;
    a_code_that_is_looked_at_then_used_is_found: ReplaceLooksThenWrites =>
        codes::of_racing_right_codes_one_is_redeemed,
        codes::no_more_racing_guesses_are_compared_than_there_are,
        codes::racing_challenges_keep_no_more_than_a_day,
        codes::a_racing_double_submit_gets_one_answer_twice,
        codes::of_racing_leases_one_is_taken,
        codes::of_racing_recovery_codes_one_is_used,
        codes::a_link_is_used_as_often_as_it_has_uses,
        codes::of_racing_right_codes_of_a_subject_one_is_redeemed,
        codes::of_racing_guesses_at_a_subject_five_are_compared;
    a_last_use_that_is_looked_for_then_removed_is_found: RemoveLooksThenRemoves =>
        codes::a_link_is_used_as_often_as_it_has_uses;
    a_revocation_of_others_is_found: RemoveOwnedEndsOthers =>
        codes::all_codes_of_a_subject_are_revoked;
    a_dead_code_that_comes_back_is_found: LoadMakesRecords =>
        abuse::an_expired_code_stays_dead;
    a_code_or_a_link_whose_use_is_lost_is_found: ChangesAreLost =>
        abuse::a_replayed_code_is_refused,
        abuse::a_code_of_another_challenge_is_refused_and_charged,
        abuse::a_double_click_gets_the_first_answer_again,
        abuse::a_replayed_link_is_refused,
        attacks::thirty_days_of_guesses_stay_within_the_budget;
    a_code_or_a_link_under_a_wrong_key_is_found: LoadFindsAnother =>
        abuse::a_code_of_another_purpose_is_refused_and_stays_good,
        abuse::a_link_of_another_purpose_is_refused_and_stays_good,
        abuse::a_cut_or_padded_link_is_refused_and_stays_good,
        attacks::nothing_in_a_dump_redeems;
    a_day_that_is_forgotten_too_soon_is_found: ReplaceKeepsTheLifetime =>
        attacks::thirty_days_of_guesses_stay_within_the_budget;
    a_dump_of_a_part_is_found: ScanEndsEarly =>
        attacks::a_dump_tells_no_secret,
        attacks::nothing_in_a_dump_redeems,
        attacks::offline_trials_on_a_dump_confirm_no_code;
}
