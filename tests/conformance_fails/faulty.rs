//! [`FaultyStore`], a store with one fault, and the harness that makes it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use token_session::store::conformance::Harness;
use token_session::store::{
    Condition, Found, Inserted, Listing, Load, ManualClock, Moves, NewRecord, Owners, Removed,
    Replaced, Result, Store, Touch, Watch, Write,
};
use token_session::{Events, Key, Lifetime, Owner, Record};

use crate::fault::Fault::{self, *};
use crate::kept::Kept;

pub struct Faulty(Fault, ManualClock, Arc<Kept>);

impl Faulty {
    pub fn new(fault: Fault) -> Self {
        let clock = ManualClock::default();
        let shared = Arc::new(Kept::new(clock.clone()));
        Self(fault, clock, shared)
    }
}

impl Harness for Faulty {
    type Store = FaultyStore;

    async fn store(&self) -> FaultyStore {
        let inner = match self.0 {
            OneStoreForAll => self.2.clone(),
            _ => Arc::new(Kept::new(self.1.clone())),
        };
        FaultyStore { inner, fault: self.0, replica: Mutex::default() }
    }

    async fn pass(&self, time: Duration) {
        if self.0 != ClockStandsStill {
            self.1.advance(time);
        }
    }
}

pub struct FaultyStore {
    pub inner: Arc<Kept>,
    pub fault: Fault,
    /// How often it was asked, and what it had seen when it was last up to date.
    replica: Mutex<(usize, Option<(Key, Found)>)>,
}

const ALWAYS: Touch = Touch::After(Duration::ZERO);

/// What lies between two commands to a server: time enough for others.
pub async fn round_trip() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

pub fn a_day() -> Lifetime {
    Lifetime::idle_secs(86_400).unwrap()
}

pub fn as_text(data: &[u8]) -> Bytes {
    String::from_utf8_lossy(data).into_owned().into()
}

impl FaultyStore {
    pub fn owner(&self, owner: &Owner) -> Owner {
        if self.fault == OwnersAreCaseInsensitive {
            Owner::new(owner.as_str().to_lowercase()).unwrap()
        } else {
            owner.clone()
        }
    }

    /// What a stale replica shows, if it is asked this time.
    fn stale(&self, key: &Key, found: &Found) -> Option<Found> {
        let mut replica = self.replica.lock().unwrap();
        replica.0 += 1;
        let (asked, seen) = &mut *replica;
        if *asked % 2 == 0 {
            return seen.as_ref().filter(|(of, _)| of == key).map(|(_, stale)| stale.clone());
        }
        if *asked % 512 == 1 {
            *seen = Some((key.clone(), found.clone()));
        }
        None
    }

    fn touch_of(&self, touch: Touch, before: Option<&Record>) -> Touch {
        match (self.fault, touch) {
            (LoadAlwaysTouches, _) => ALWAYS,
            (LoadNeverTouches, _) => Touch::No,
            (TouchIgnoresTheInterval, Touch::After(_)) => ALWAYS,
            (TouchIgnoresTheTenth, Touch::After(interval)) => match before {
                Some(record) if self.inner.now().since(record.meta.last_seen) < interval => {
                    Touch::No
                }
                _ => touch,
            },
            _ => touch,
        }
    }
}

#[async_trait::async_trait]
impl Store for FaultyStore {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        Ok(self.faulty_insert(key, record).await)
    }

    async fn load(&self, key: &Key, load: &Load<'_>) -> Result<Found> {
        let before = self.inner.get(key);
        let claim = self.claim(load.claim, before.as_ref());
        let touch = self.touch_of(load.touch, before.as_ref());
        let with_data = load.with_data || self.fault == LoadAlwaysHasData;
        let load = Load { claim: claim.as_ref(), touch, with_data };
        if let Some(answer) = self.before_load(key, &load, before.as_ref()) {
            return Ok(answer);
        }
        let mut found = self.inner.load(key, &load);
        self.after_load(key, &load, before.as_ref(), &mut found);
        match (self.fault, touch, before) {
            (LoadMakesRecords, _, None) => {
                self.inner.insert(key, &NewRecord::new("", a_day()));
            }
            (LoadShowsTheRecordBeforeTheTouch, _, Some(mut before)) => {
                if !with_data {
                    before.data.clear();
                }
                return Ok(Found::Current(before));
            }
            (LoadFindsAnother, _, None) => {
                let any = self.inner.all().into_iter().next();
                return Ok(any.map_or(Found::Missing, |(_, record)| Found::Current(record)));
            }
            (LoadIsStale, ..) => {
                if let Some(stale) = self.stale(key, &found) {
                    return Ok(stale);
                }
            }
            (TouchForgetsTheDeadline, Touch::After(_), Some(_)) => {
                let write = Write { lifetime: Some(&a_day()), ..Write::default() };
                self.inner.replace(key, &write);
            }
            (TouchUndoesWrites, Touch::After(_), Some(before)) => {
                round_trip().await;
                self.inner.put(key, before);
            }
            _ => {}
        }
        Ok(found)
    }

    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let before = self.inner.get(key);
        let claim = self.claim(write.claim, before.as_ref());
        let write = Write { claim: claim.as_ref(), ..write.clone() };
        if let Some(answer) = self.replace_secret(key, &write, before.as_ref()).await {
            return Ok(answer);
        }
        Ok(self.faulty_replace(key, write, before).await)
    }

    async fn remove(&self, key: &Key, condition: Condition<'_>, hand_out: bool) -> Result<Removed> {
        let found = self.inner.get(key);
        let claim = match condition {
            Condition::Claim(claim) => self.claim(Some(claim), found.as_ref()),
            _ => None,
        };
        let condition = match (condition, &claim) {
            (Condition::Claim(claim), Some(_)) if self.fault == ReuseMayRemove => {
                let is_previous = found.as_ref().and_then(|record| record.proofs.previous.as_ref());
                match is_previous {
                    Some(previous) if claim.proves(&previous.proof) => Condition::Always,
                    _ => condition,
                }
            }
            (Condition::Claim(_), None) => Condition::Always,
            (Condition::Claim(_), Some(claim)) => Condition::Claim(claim),
            _ => condition,
        };
        let done = found.clone().filter(|_| hand_out);
        let done = found.as_ref().map_or(Removed::Missing, |_| Removed::Done(done));
        Ok(match self.fault {
            TakeLeavesTheRecord if hand_out => done,
            TakeLooksThenRemoves if hand_out => {
                round_trip().await;
                self.inner.remove(key, condition, hand_out);
                done
            }
            RemoveLooksThenRemoves if !hand_out => {
                round_trip().await;
                self.inner.remove(key, condition, hand_out);
                done
            }
            RemoveIgnoresTheCondition => self.inner.remove(key, Condition::Always, hand_out),
            RemoveIsAlwaysDone => {
                self.inner.remove(key, condition, hand_out);
                Removed::Done(found.filter(|_| hand_out))
            }
            RemoveHandsOutUnasked => self.inner.remove(key, condition, true),
            ChangesAreLost => done,
            _ => self.inner.remove(key, condition, hand_out),
        })
    }

    async fn alive(&self, keys: &[Key]) -> Result<Vec<bool>> {
        let mut keys = keys.to_vec();
        match self.fault {
            AliveIsOfThePast => {
                return Ok(keys.iter().map(|key| self.inner.get_any(key).is_some()).collect());
            }
            AliveTouches => {
                for key in &keys {
                    self.inner.load(key, &Load { touch: ALWAYS, ..Load::new() });
                }
            }
            AliveIsSorted => keys.sort(),
            AliveAnswersEachKeyOnce => {
                let mut seen = HashSet::new();
                keys.retain(|key| seen.insert(key.clone()));
            }
            _ => {}
        }
        let asked = if self.fault == AliveStopsAtAHundred { 100 } else { usize::MAX };
        let answers = keys.iter().enumerate();
        Ok(answers.map(|(at, key)| at < asked && self.inner.get(key).is_some()).collect())
    }

    fn owners(&self) -> Option<&dyn Owners> {
        Some(self)
    }

    fn listing(&self) -> Option<&dyn Listing> {
        Some(self)
    }

    fn watch(&self) -> Option<&dyn Watch> {
        None
    }

    fn moves(&self) -> Option<&dyn Moves> {
        Some(self)
    }

    fn partitions(&self) -> u16 {
        u16::from(self.fault != NoPartitions)
    }

    fn keeps_plain_ids(&self) -> bool {
        false
    }

    fn attach(&self, _: &Events) {}
}
