//! Every answer of the memory store can be had from a store that does one thing at a time.
//!
//! Three threads run a few random operations on the same keys, while a fourth moves the clock. Then
//! a search looks for an order of the operations in which a plain model gives the same answers, and
//! which puts no operation before one that had ended when it began (Wing and Gong, "Testing and
//! Verifying Concurrent Objects", 1993).
//!
//! Two operations take more than one step, as the store's docs say: a rename removes the record and
//! then puts it under its new key, and an insert beyond its owner's limit puts the newcomer before
//! the oldest go, one by one.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use token_session::store::{
    Clock, Condition, Inserted, ManualClock, Memory, NewRecord, OwnerLimit, Removed, Renamed,
    Renewal, Replaced, Store, Touch, Write,
};
use token_session::{Key, Lifetime, Owner, Record, Timestamp, Version};

const HISTORIES: u64 = 5_000;
const KEYS: usize = 3;
const TICK: u64 = 10;
/// What some records live for. The others outlive the test.
const SHORT: u64 = 15;
const LONG: u64 = 1_000_000;

type At = usize;

#[derive(Clone, Copy, Debug)]
enum Operation {
    Insert { at: At, owned: bool, idle: u64, limit: bool },
    Load { at: At, touch: bool },
    Replace { at: At, expected: Option<u64>, touch: bool },
    Rename { from: At, to: At },
    Take { at: At },
    Remove { at: At, owners: bool },
    Owned,
    RemoveOwned { keep: Option<At> },
    Sweep,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Inserted(Option<Vec<At>>),
    OwnerFull,
    Found(Option<Seen>),
    Replaced(Replaced),
    Renamed(Option<Seen>),
    KeyTaken,
    Removed(Removed),
    Owned(Vec<At>),
    Nothing,
}

/// Version and last seen.
type Seen = (u64, u64);

/// An operation as it went: the counter when it began and when it had ended, and the same of the
/// clock.
#[derive(Debug)]
struct Call {
    operation: Operation,
    answer: Answer,
    began: u64,
    ended: u64,
    clock: [u64; 2],
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the memory store waits"),
    }
}

fn key(at: At) -> Key {
    Key::from_bytes([at as u8 * 100; 32])
}

fn at(key: &Key) -> At {
    usize::from(key.as_bytes()[0] / 100)
}

fn seen(record: &Record) -> Seen {
    (record.meta.version.get(), record.meta.last_seen.as_millis())
}

fn run(store: &Memory, owner: &Owner, operation: Operation) -> Answer {
    let touch = |touch: bool| if touch { Touch::After(Duration::ZERO) } else { Touch::No };
    match operation {
        Operation::Insert { at: key_at, owned, idle, limit } => {
            let lifetime = Lifetime::idle(Duration::from_millis(idle)).unwrap();
            let record = NewRecord {
                // The search counts them, and a small one is met again.
                version: Version::from_u64(1),
                owner: owned.then_some(owner),
                limit: limit.then(|| OwnerLimit::evict_oldest(1.try_into().unwrap())),
                ..NewRecord::new("", lifetime)
            };
            match now(store.insert(&key(key_at), &record)).unwrap() {
                Inserted::Done { evicted } => {
                    Answer::Inserted(Some(evicted.iter().map(at).collect()))
                }
                Inserted::KeyTaken => Answer::KeyTaken,
                Inserted::OwnerFull => Answer::OwnerFull,
            }
        }
        Operation::Load { at, touch: touches } => {
            let found = now(store.load(&key(at), touch(touches))).unwrap();
            Answer::Found(found.as_ref().map(seen))
        }
        Operation::Replace { at, expected, touch } => {
            let expected = expected.map(Version::from_u64);
            let write = Write { expected, touch, ..Write::new("") };
            Answer::Replaced(now(store.replace(&key(at), &write)).unwrap())
        }
        Operation::Rename { from, to } => {
            match now(store.rename(&key(from), &key(to), Renewal::Key)).unwrap() {
                Renamed::Done(meta) => {
                    Answer::Renamed(Some((meta.version.get(), meta.last_seen.as_millis())))
                }
                Renamed::KeyTaken => Answer::KeyTaken,
                Renamed::Missing => Answer::Renamed(None),
            }
        }
        Operation::Take { at } => {
            Answer::Found(now(store.take(&key(at))).unwrap().as_ref().map(seen))
        }
        Operation::Remove { at, owners } => {
            let condition = if owners { Condition::Owner(owner) } else { Condition::Always };
            Answer::Removed(now(store.remove(&key(at), condition)).unwrap())
        }
        Operation::Owned => {
            let owned = now(store.owned(owner, 10)).unwrap();
            Answer::Owned(owned.iter().map(|(key, _)| at(key)).collect())
        }
        Operation::RemoveOwned { keep } => {
            now(store.remove_owned(owner, keep.map(key).as_ref())).unwrap();
            Answer::Nothing
        }
        Operation::Sweep => {
            now(store.sweep(1)).unwrap();
            Answer::Nothing
        }
    }
}

/// The plain store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Model {
    records: [Option<Kept>; KEYS],
    inserts: u32,
    /// The second steps that are to come: of which call, and what they do.
    to_come: Vec<(usize, SecondStep)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kept {
    version: u64,
    created_at: u64,
    last_seen: u64,
    idle: u64,
    owned: bool,
    /// Its turn among the inserts.
    number: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum SecondStep {
    Put(At, Kept),
    Evict(At),
}

impl Model {
    /// The live record, after whatever has expired there is gone for good.
    fn live(&mut self, at: At, now: u64) -> Option<&mut Kept> {
        let slot = &mut self.records[at];
        if slot.as_ref().is_some_and(|kept| kept.last_seen + kept.idle <= now) {
            *slot = None;
        }
        slot.as_mut()
    }

    /// The owner's live sessions, the oldest first.
    fn owned(&mut self, now: u64) -> Vec<At> {
        let mut owned: Vec<(u32, At)> = (0..KEYS)
            .filter_map(|at| {
                let kept = self.live(at, now).filter(|kept| kept.owned)?;
                Some((kept.number, at))
            })
            .collect();
        owned.sort_unstable();
        owned.into_iter().map(|(_, at)| at).collect()
    }

    /// Whether a lock that the call needs is held between two steps of another.
    fn waits(&self, operation: Operation) -> bool {
        let for_owner = matches!(operation, Operation::Owned | Operation::RemoveOwned { .. })
            || matches!(operation, Operation::Insert { owned: true, .. });
        let ends = match operation {
            Operation::Take { at } | Operation::Remove { at, .. } => Some(at),
            Operation::Rename { from, .. } => Some(from),
            _ => None,
        };
        let puts = match operation {
            Operation::Insert { at, .. } => Some(at),
            Operation::Rename { from, to } if self.records[from].is_some() => Some(to),
            _ => None,
        };
        self.to_come.iter().any(|(_, step)| match step {
            SecondStep::Put(to, kept) => puts == Some(*to) || (for_owner && kept.owned),
            SecondStep::Evict(victim) => for_owner || ends == Some(*victim),
        })
    }

    /// Whether a call found the session dead that it was to keep, so that it ends with the others,
    /// though another call, whose clock was read before, may have touched it meanwhile.
    fn keeps_in_vain(&self, operation: Operation, at: At, late: u64) -> bool {
        matches!(operation, Operation::RemoveOwned { keep: Some(keep) } if keep == at)
            && self.records[at]
                .as_ref()
                .is_some_and(|kept| kept.owned && kept.created_at + kept.idle <= late)
    }

    /// The first step of a call, at this time: its answer.
    fn step(&mut self, call: usize, operation: Operation, now: u64) -> Answer {
        match operation {
            Operation::Insert { at, owned, idle, limit } => {
                let evicted = if limit && owned { self.owned(now) } else { vec![] };
                if self.live(at, now).is_some() {
                    return Answer::KeyTaken;
                }
                // An owner's sessions begin in their order, even if another's clock was read later.
                let youngest = self.records.iter().flatten().filter(|kept| owned && kept.owned);
                let created_at = youngest.map(|kept| kept.created_at).fold(now, u64::max);
                self.inserts += 1;
                self.records[at] = Some(Kept {
                    version: 1,
                    created_at,
                    last_seen: created_at,
                    idle,
                    owned,
                    number: self.inserts,
                });
                let go = evicted.iter().map(|at| (call, SecondStep::Evict(*at)));
                self.to_come.extend(go);
                Answer::Inserted(Some(evicted))
            }
            Operation::Load { at, touch } => Answer::Found(self.live(at, now).map(|kept| {
                if touch {
                    kept.last_seen = kept.last_seen.max(now);
                }
                (kept.version, kept.last_seen)
            })),
            Operation::Replace { at, expected, touch } => {
                Answer::Replaced(match self.live(at, now) {
                    None => Replaced::Missing,
                    Some(kept) if expected.is_some_and(|version| version != kept.version) => {
                        Replaced::Conflict
                    }
                    Some(kept) => {
                        kept.version += 1;
                        if touch {
                            kept.last_seen = kept.last_seen.max(now);
                        }
                        Replaced::Done(Version::from_u64(kept.version))
                    }
                })
            }
            Operation::Rename { from, to } => {
                let Some(mut kept) = self.live(from, now).cloned() else {
                    return Answer::Renamed(None);
                };
                if self.live(to, now).is_some() {
                    return Answer::KeyTaken;
                }
                kept.version += 1;
                kept.last_seen = kept.last_seen.max(now);
                let seen = (kept.version, kept.last_seen);
                self.records[from] = None;
                self.to_come.push((call, SecondStep::Put(to, kept)));
                Answer::Renamed(Some(seen))
            }
            Operation::Take { at } => {
                let seen = self.live(at, now).map(|kept| (kept.version, kept.last_seen));
                self.records[at] = None;
                Answer::Found(seen)
            }
            Operation::Remove { at, owners } => Answer::Removed(match self.live(at, now) {
                None => Removed::Missing,
                Some(kept) if owners && !kept.owned => Removed::Conflict,
                Some(_) => {
                    self.records[at] = None;
                    Removed::Done
                }
            }),
            Operation::Owned => Answer::Owned(self.owned(now).into_iter().rev().collect()),
            Operation::RemoveOwned { keep } => {
                for at in self.owned(now) {
                    if Some(at) != keep {
                        self.records[at] = None;
                    }
                }
                Answer::Nothing
            }
            Operation::Sweep => Answer::Nothing,
        }
    }
}

/// Looks for an order that explains the calls.
struct Search<'a> {
    calls: &'a [Call],
    refuted: HashSet<(u64, Model)>,
}

impl Search<'_> {
    /// The latest time that any call read which ran beside this one. Such a call frees what it finds
    /// dead of the keys that it looks at, before it does what it is for; this one may have read the
    /// clock before that.
    fn latest_beside(&self, call: &Call) -> u64 {
        let beside = |other: &&Call| other.began < call.ended && call.began < other.ended;
        let clocks = self.calls.iter().filter(beside).map(|other| other.clock[1]);
        clocks.max().unwrap_or(call.clock[1])
    }

    /// Whether what is left to do explains itself; `done` has a bit for each first step.
    fn explains(&mut self, done: u64, model: &Model) -> bool {
        if done.count_ones() as usize == self.calls.len() && model.to_come.is_empty() {
            return true;
        }
        if !self.refuted.insert((done, model.clone())) {
            return false;
        }
        for (index, (_, step)) in model.to_come.iter().enumerate() {
            let mut next = model.clone();
            next.to_come.remove(index);
            match step {
                SecondStep::Put(to, kept) => next.records[*to] = Some(kept.clone()),
                SecondStep::Evict(victim) => next.records[*victim] = None,
            }
            if self.explains(done, &next) {
                return true;
            }
        }
        let is_done = |call: &usize| done & (1 << call) != 0;
        let unfinished =
            |call: &usize| !is_done(call) || model.to_come.iter().any(|(of, _)| of == call);
        let calls = 0..self.calls.len();
        let first_end = calls.clone().filter(unfinished).map(|call| self.calls[call].ended).min();
        for index in calls.filter(|call| !is_done(call)) {
            let call = &self.calls[index];
            if Some(call.began) > first_end || model.waits(call.operation) {
                continue;
            }
            let late = self.latest_beside(call);
            for now in (call.clock[0]..=call.clock[1]).step_by(TICK as usize) {
                for freed in 0..1 << KEYS {
                    let mut next = model.clone();
                    for at in (0..KEYS).filter(|at| freed & (1 << at) != 0) {
                        next.live(at, late);
                        if next.keeps_in_vain(call.operation, at, late) {
                            next.records[at] = None;
                        }
                    }
                    let answer = next.step(index, call.operation, now);
                    if answer == call.answer && self.explains(done | (1 << index), &next) {
                        return true;
                    }
                }
            }
        }
        false
    }
}

/// Random numbers that a failing seed gives again: xorshift64 (Marsaglia, 2003).
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    fn operation(&mut self) -> Operation {
        let at = self.below(KEYS as u64) as At;
        match self.below(16) {
            0..4 => {
                let (owned, idle) = (self.below(3) > 0, if self.coin() { SHORT } else { LONG });
                Operation::Insert { at, owned, idle, limit: owned && self.below(3) == 0 }
            }
            4..6 => Operation::Load { at, touch: false },
            6..8 => Operation::Load { at, touch: true },
            8..10 => {
                let expected = self.coin().then(|| 1 + self.below(2));
                Operation::Replace { at, expected, touch: self.coin() }
            }
            10 | 11 => Operation::Rename { from: at, to: (at + 1) % KEYS },
            12 => Operation::Take { at },
            13 => Operation::Remove { at, owners: self.coin() },
            14 if self.coin() => Operation::Owned,
            14 => Operation::Sweep,
            _ => Operation::RemoveOwned { keep: self.coin().then_some(at) },
        }
    }
}

fn history(seed: u64) -> Vec<Call> {
    let clock = ManualClock::new(Timestamp::from_millis(0));
    let store = Memory::builder().clock(clock.clone()).build();
    let owner = Owner::new("Anna").unwrap();
    let counter = AtomicU64::new(0);
    let call = |operation| {
        let read = || clock.now().as_millis();
        let (began, earliest) = (counter.fetch_add(1, Ordering::SeqCst), read());
        let answer = run(&store, &owner, operation);
        let (latest, ended) = (read(), counter.fetch_add(1, Ordering::SeqCst));
        Call { operation, answer, began, ended, clock: [earliest, latest] }
    };
    let mut draw = Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut calls = Vec::new();
    for at in 0..KEYS {
        let idle = if draw.coin() { SHORT } else { LONG };
        let (owned, limit) = (draw.below(3) > 0, false);
        if draw.below(4) > 0 {
            calls.push(call(Operation::Insert { at, owned, idle, limit }));
        }
    }
    let plans: Vec<Vec<Operation>> =
        (0..3).map(|_| (0..4).map(|_| draw.operation()).collect()).collect();
    let start = Barrier::new(plans.len() + 1);
    thread::scope(|scope| {
        let running: Vec<_> = plans
            .into_iter()
            .map(|plan| {
                let (start, call) = (&start, &call);
                scope.spawn(move || {
                    start.wait();
                    plan.into_iter().map(call).collect::<Vec<_>>()
                })
            })
            .collect();
        start.wait();
        for _ in 0..draw.below(3) {
            clock.advance(Duration::from_millis(TICK));
            thread::yield_now();
        }
        for thread in running {
            calls.extend(thread.join().unwrap());
        }
    });
    for at in 0..KEYS {
        calls.push(call(Operation::Load { at, touch: false }));
    }
    calls.push(call(Operation::Owned));
    calls
}

#[test]
fn every_answer_is_one_of_a_store_that_does_one_thing_at_a_time() {
    for seed in 1..=HISTORIES {
        let calls = history(seed);
        let mut search = Search { calls: &calls, refuted: HashSet::new() };
        let explained = search.explains(0, &Model::default());
        assert!(explained, "no order explains history {seed}: {calls:?}");
    }
}

#[test]
fn an_answer_that_no_order_explains_is_found() {
    let insert = Operation::Insert { at: 0, owned: false, idle: LONG, limit: false };
    let call = |operation, answer, began| Call {
        operation,
        answer,
        began,
        ended: began + 1,
        clock: [0, 0],
    };
    let revived = [
        call(insert, Answer::Inserted(Some(vec![])), 0),
        call(Operation::Remove { at: 0, owners: false }, Answer::Removed(Removed::Done), 2),
        call(Operation::Load { at: 0, touch: false }, Answer::Found(Some((1, 0))), 4),
    ];
    let mut search = Search { calls: &revived, refuted: HashSet::new() };
    assert!(!search.explains(0, &Model::default()));
}
