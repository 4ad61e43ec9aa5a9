//! Every answer of the memory store can be had from a store that does one thing at a time.
//!
//! Three threads run a few random operations on the same keys, while a fourth moves the clock. Then
//! a search looks for an order of the operations in which a plain model gives the same answers, and
//! which puts no operation before one that had ended when it began (Wing and Gong, "Testing and
//! Verifying Concurrent Objects", 1993).
//!
//! One operation takes more than one step, as the store's docs say: an insert beyond its owner's limit
//! puts the newcomer before the oldest go, one by one.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use token_session::store::{
    Clock, Condition, Found, Inserted, Listing, Load, ManualClock, Memory, NewProof, NewRecord,
    OwnerLimit, Owners, Removed, Replaced, Standing, Store, Touch, Write,
};
use token_session::{Claim, Key, Lifetime, Owner, Proof, Record, Timestamp, Version};

const HISTORIES: u64 = 5_000;
const KEYS: usize = 3;
const TICK: u64 = 10;
/// What some records live for. The others outlive the test.
const SHORT: u64 = 15;
const LONG: u64 = 1_000_000;
/// How long a secret that was handed over is good after that was confirmed.
const GRACE: u64 = 10;

/// Which of a few secrets.
type Secret = u8;

type At = usize;

#[derive(Clone, Copy, Debug)]
enum Operation {
    Insert { at: At, owned: bool, idle: u64, limit: bool },
    Load { at: At, touch: bool, secret: Option<Secret> },
    Replace { at: At, expected: Option<u64>, touch: bool, secret: Option<Secret> },
    Renew { at: At, secret: Secret, next: Secret, hand_over: bool },
    Take { at: At, secret: Secret },
    Remove { at: At, owners: bool },
    Owned,
    RemoveOwned { keep: Option<At> },
    Sweep,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Inserted(Option<Vec<At>>),
    OwnerFull,
    Found(Option<(Standing, Seen)>),
    Written(u64),
    Conflict,
    Missing,
    KeyTaken,
    Removed(Option<Seen>),
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
    Key::from_bytes([at as u8 * 100; 16])
}

fn at(key: &Key) -> At {
    usize::from(key.as_bytes()[0] / 100)
}

fn proof(secret: Secret) -> Proof {
    Proof::from_bytes([secret + 1; Proof::LEN])
}

fn claim(secret: Secret) -> Claim {
    Claim::new(proof(secret), Duration::from_millis(GRACE))
}

fn seen(record: &Record) -> Seen {
    (record.meta.version.get(), record.meta.last_seen.as_millis())
}

fn replaced(replaced: Replaced) -> Answer {
    match replaced {
        Replaced::Done(written) => Answer::Written(written.version.get()),
        Replaced::Conflict => Answer::Conflict,
        Replaced::Missing => Answer::Missing,
    }
}

fn removed(removed: &Removed) -> Answer {
    match removed {
        Removed::Done(record) => Answer::Removed(record.as_ref().map(seen)),
        Removed::Conflict => Answer::Conflict,
        Removed::Missing => Answer::Missing,
    }
}

fn run(store: &Memory, owner: &Owner, operation: Operation) -> Answer {
    let touch = |touch: bool| if touch { Touch::After(Duration::ZERO) } else { Touch::No };
    match operation {
        Operation::Insert { at: key_at, owned, idle, limit } => {
            let lifetime = Lifetime::idle(Duration::from_millis(idle)).unwrap();
            let record = NewRecord {
                // The search counts them, and a small one is met again.
                version: Version::from_u64(1),
                proof: Some(proof(0)),
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
        Operation::Load { at, touch: touches, secret } => {
            let claim = secret.map(claim);
            let load = Load { claim: claim.as_ref(), touch: touch(touches), ..Load::new() };
            Answer::Found(match now(store.load(&key(at), &load)).unwrap() {
                Found::Current(record) => Some((Standing::Current, seen(&record))),
                Found::Previous(record) => Some((Standing::Previous, seen(&record))),
                Found::Reused(record) => Some((Standing::Reused, seen(&record))),
                Found::Missing => None,
            })
        }
        Operation::Replace { at, expected, touch, secret } => {
            let (expected, claim) = (expected.map(Version::from_u64), secret.map(claim));
            let write = Write { expected, claim: claim.as_ref(), touch, ..Write::data("") };
            replaced(now(store.replace(&key(at), &write)).unwrap())
        }
        Operation::Renew { at, secret, next, hand_over } => {
            let (claim, next, sealed) = (claim(secret), proof(next), "sealed".into());
            let proof = if hand_over {
                NewProof::Rotated { next, sealed }
            } else {
                NewProof::Regenerated(next)
            };
            let write = Write { claim: Some(&claim), proof: Some(proof), ..Write::default() };
            replaced(now(store.replace(&key(at), &write)).unwrap())
        }
        Operation::Take { at, secret } => {
            let claim = claim(secret);
            removed(&now(store.remove(&key(at), Condition::Claim(&claim), true)).unwrap())
        }
        Operation::Remove { at, owners } => {
            let condition = if owners { Condition::Owner(owner) } else { Condition::Always };
            removed(&now(store.remove(&key(at), condition, false)).unwrap())
        }
        Operation::Owned => {
            let owned = now(store.owned(owner, None, 10, false)).unwrap().records;
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
    /// The second steps that are to come: of which call, and which session goes.
    to_come: Vec<(usize, At)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kept {
    version: u64,
    created_at: u64,
    last_seen: u64,
    idle: u64,
    owned: bool,
    secret: Secret,
    /// The secret that was handed over, and when that was confirmed.
    previous: Option<(Secret, Option<u64>)>,
    /// Its turn among the inserts.
    number: u32,
}

impl Kept {
    fn seen(&self) -> Seen {
        (self.version, self.last_seen)
    }

    fn standing(&self, secret: Option<Secret>, now: u64) -> Standing {
        match (secret, self.previous) {
            (None, _) => Standing::Current,
            (Some(secret), _) if secret == self.secret => Standing::Current,
            (Some(secret), Some((previous, confirmed))) if secret == previous => {
                let is_over = confirmed.is_some_and(|at| at + GRACE <= now);
                if is_over { Standing::Reused } else { Standing::Previous }
            }
            _ => Standing::Unknown,
        }
    }
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
            Operation::Take { at, .. } | Operation::Remove { at, .. } => Some(at),
            _ => None,
        };
        self.to_come.iter().any(|(_, victim)| for_owner || ends == Some(*victim))
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
                    secret: 0,
                    previous: None,
                    number: self.inserts,
                });
                self.to_come.extend(evicted.iter().map(|at| (call, *at)));
                Answer::Inserted(Some(evicted))
            }
            Operation::Load { at, touch, secret } => {
                let Some(kept) = self.live(at, now) else {
                    return Answer::Found(None);
                };
                let standing = kept.standing(secret, now);
                if standing == Standing::Unknown {
                    return Answer::Found(None);
                }
                if touch && standing != Standing::Reused {
                    kept.last_seen = kept.last_seen.max(now);
                }
                if let Some((_, confirmed)) = &mut kept.previous
                    && secret == Some(kept.secret)
                {
                    confirmed.get_or_insert(now);
                }
                Answer::Found(Some((standing, kept.seen())))
            }
            Operation::Replace { at, expected, touch, secret } => {
                let Some(kept) = self.live(at, now) else {
                    return Answer::Missing;
                };
                if !matches!(kept.standing(secret, now), Standing::Current | Standing::Previous) {
                    return Answer::Missing;
                }
                if expected.is_some_and(|version| version != kept.version) {
                    return Answer::Conflict;
                }
                kept.version += 1;
                if touch {
                    kept.last_seen = kept.last_seen.max(now);
                }
                Answer::Written(kept.version)
            }
            Operation::Renew { at, secret, next, hand_over } => {
                let Some(kept) = self.live(at, now) else {
                    return Answer::Missing;
                };
                match kept.standing(Some(secret), now) {
                    Standing::Current => {}
                    Standing::Previous if !hand_over => {}
                    Standing::Previous => return Answer::Conflict,
                    Standing::Reused | Standing::Unknown => return Answer::Missing,
                }
                kept.previous = hand_over.then_some((kept.secret, None));
                kept.secret = next;
                kept.version += u64::from(!hand_over);
                Answer::Written(kept.version)
            }
            Operation::Take { at, secret } => match self.live(at, now) {
                None => Answer::Missing,
                Some(kept) => match kept.standing(Some(secret), now) {
                    Standing::Current | Standing::Previous => {
                        let seen = kept.seen();
                        self.records[at] = None;
                        Answer::Removed(Some(seen))
                    }
                    Standing::Reused | Standing::Unknown => Answer::Conflict,
                },
            },
            Operation::Remove { at, owners } => match self.live(at, now) {
                None => Answer::Missing,
                Some(kept) if owners && !kept.owned => Answer::Conflict,
                Some(_) => {
                    self.records[at] = None;
                    Answer::Removed(None)
                }
            },
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
        for (index, (_, victim)) in model.to_come.iter().enumerate() {
            let mut next = model.clone();
            next.to_come.remove(index);
            next.records[*victim] = None;
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

    fn secret(&mut self) -> Secret {
        self.below(3) as Secret
    }

    fn claimed(&mut self) -> Option<Secret> {
        (self.below(4) > 0).then(|| self.secret())
    }

    fn operation(&mut self) -> Operation {
        let at = self.below(KEYS as u64) as At;
        match self.below(16) {
            0..4 => {
                let (owned, idle) = (self.below(3) > 0, if self.coin() { SHORT } else { LONG });
                Operation::Insert { at, owned, idle, limit: owned && self.below(3) == 0 }
            }
            4..7 => Operation::Load { at, touch: self.coin(), secret: self.claimed() },
            7..9 => {
                let expected = self.coin().then(|| 1 + self.below(2));
                Operation::Replace { at, expected, touch: self.coin(), secret: self.claimed() }
            }
            9..12 => Operation::Renew {
                at,
                secret: self.secret(),
                next: self.secret(),
                hand_over: self.below(3) > 0,
            },
            12 => Operation::Take { at, secret: self.secret() },
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
        calls.push(call(Operation::Load { at, touch: false, secret: None }));
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
    let load = Operation::Load { at: 0, touch: false, secret: None };
    let call = |operation, answer, began| Call {
        operation,
        answer,
        began,
        ended: began + 1,
        clock: [0, 0],
    };
    let revived = [
        call(insert, Answer::Inserted(Some(vec![])), 0),
        call(Operation::Remove { at: 0, owners: false }, Answer::Removed(None), 2),
        call(load, Answer::Found(Some((Standing::Current, (1, 0)))), 4),
    ];
    let mut search = Search { calls: &revived, refuted: HashSet::new() };
    assert!(!search.explains(0, &Model::default()));
}
