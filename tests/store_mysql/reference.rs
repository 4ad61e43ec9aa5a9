//! Random operations on MySQL give the same record and the same answers as the contract's reference, to
//! the millisecond: the test sets the clock of its only connection.

use std::time::Duration;

use sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use token_session::store::{
    Condition, Found, Load, MySql, NewProof, NewRecord, Removed, Replaced, Store, Touch, Write,
};
use token_session::{Claim, Details, Key, Lifetime, Owner, Proof, Record, Timestamp};

use crate::server::{fresh_name, random_key, shared_url};

/// Enough for each kind of operation to meet each state of a handover.
const STEPS: usize = 1_500;
/// All times are multiples of this number of milliseconds, so many of them fall exactly on a limit.
const TICK: u64 = 100;
const BEGINNING: u64 = 1_800_000_000_000;

/// Gives the same numbers in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.below(sides) == 0
    }
}

fn proof(number: u64) -> Proof {
    Proof::from_bytes([u8::try_from(number).unwrap(); Proof::LEN])
}

fn ticks(ticks: u64) -> Duration {
    Duration::from_millis(TICK * ticks)
}

/// A claim that is often of one of the record's secrets, and whose grace often ends right now.
fn claim(dice: &mut Dice, record: &Record, now: Timestamp) -> Claim {
    let previous = record.proofs.previous.as_ref();
    let own = if dice.one_in(2) { record.proofs.current } else { previous.map(|it| it.proof) };
    let proof = own.filter(|_| !dice.one_in(3)).unwrap_or(proof(dice.below(3)));
    let confirmed_at = previous.and_then(|previous| previous.confirmed_at);
    let grace = confirmed_at.filter(|_| dice.one_in(2)).map(|at| now.since(at));
    Claim::new(proof, grace.unwrap_or(ticks(dice.below(3))))
}

fn lifetime(dice: &mut Dice) -> Lifetime {
    let idle = (!dice.one_in(3)).then(|| ticks(20 + dice.below(20)));
    let absolute = (idle.is_none() || dice.one_in(2)).then(|| ticks(20 + dice.below(50)));
    Lifetime::of(idle, absolute).unwrap()
}

async fn set_clock(pool: &MySqlPool, now: u64) {
    let clock = format!("SET timestamp = {}.{:03}", now / 1_000, now % 1_000);
    sqlx::raw_sql(sqlx::AssertSqlSafe(clock)).execute(pool).await.unwrap();
}

/// Inserts a random record. Returns its key and the reference's record.
async fn begun(store: &MySql, dice: &mut Dice, now: Timestamp) -> (Key, Record) {
    let owner = Owner::new("Anna").unwrap();
    let new = NewRecord {
        owner: dice.one_in(2).then_some(&owner),
        proof: (!dice.one_in(5)).then(|| proof(dice.below(3))),
        authenticated: dice.one_in(2),
        ..NewRecord::new("data", lifetime(dice))
    };
    let key = random_key();
    store.insert(&key, &new).await.unwrap();
    (key, Record::begun(&new, now))
}

async fn loads(store: &MySql, dice: &mut Dice, key: &Key, record: &mut Record, now: Timestamp) {
    let claim = (!dice.one_in(4)).then(|| claim(dice, record, now));
    let touch = if dice.one_in(2) { Touch::No } else { Touch::After(ticks(dice.below(4))) };
    let load = Load { claim: claim.as_ref(), touch, with_data: dice.one_in(2) };
    record.load(&load, now);
    assert_eq!(store.load(key, &load).await.unwrap(), record.clone().found(&load, now), "{load:?}");
}

async fn writes(store: &MySql, dice: &mut Dice, key: &Key, record: &mut Record, now: Timestamp) {
    let claim = (!dice.one_in(4)).then(|| claim(dice, record, now));
    let lifetime = lifetime(dice);
    let details = Details::from_stored(format!("details {}", dice.below(9)).into());
    let next = proof(dice.below(3));
    let proof = match dice.below(8) {
        0 => Some(NewProof::Regenerated(next)),
        1..4 => Some(NewProof::Rotated { next, sealed: "sealed".into() }),
        _ => None,
    };
    let other = dice.one_in(8).then(|| record.meta.version.next());
    let write = Write {
        expected: other.or_else(|| dice.one_in(2).then_some(record.meta.version)),
        claim: claim.as_ref(),
        data: dice.one_in(2).then(|| format!("data {}", dice.below(9)).into()),
        details: dice.one_in(2).then_some(&details),
        proof,
        touch: dice.one_in(3),
        lifetime: dice.one_in(4).then_some(&lifetime),
        authenticated: dice.one_in(4),
    };
    let replaced = match (store.replace(key, &write).await.unwrap(), record.write(&write, now)) {
        (Replaced::Done(mut written), Replaced::Done(expected)) => {
            assert!(written.times.is_some() || write.proof.is_none());
            written.times = written.times.or(expected.times);
            (Replaced::Done(written), Replaced::Done(expected))
        }
        answers => answers,
    };
    assert_eq!(replaced.0, replaced.1, "{write:?}");
}

/// Returns whether the record was removed.
async fn removes(
    store: &MySql,
    dice: &mut Dice,
    key: &Key,
    record: &Record,
    now: Timestamp,
) -> bool {
    let claim = claim(dice, record, now);
    let owner = Owner::new("Anna").unwrap();
    let condition = match dice.below(4) {
        0 => Condition::Version(record.meta.version.next()),
        1 => Condition::Owner(&owner),
        _ => Condition::Claim(&claim),
    };
    let hand_out = dice.one_in(2);
    let removed = store.remove(key, condition, hand_out).await.unwrap();
    let is_met = record.is_live(now) && record.meets(condition, now);
    match &removed {
        Removed::Done(out) => {
            let mut expected = record.clone();
            expected.meta.now = now;
            assert_eq!(out.as_ref(), hand_out.then_some(&expected), "{condition:?}");
        }
        Removed::Conflict => assert!(record.is_live(now)),
        Removed::Missing => assert!(!record.is_live(now)),
    }
    assert_eq!(removed.is_done(), is_met, "{condition:?}");
    is_met
}

#[tokio::test]
async fn each_operation_agrees_with_the_reference() {
    let pool = MySqlPoolOptions::new().max_connections(1).connect(shared_url()).await.unwrap();
    let store = MySql::builder().table(fresh_name()).build(pool.clone()).unwrap();
    store.migrate().await.unwrap();
    let dice = &mut Dice(11);
    let mut now = BEGINNING;
    set_clock(&pool, now).await;
    let (mut key, mut record) = begun(&store, dice, Timestamp::from_millis(now)).await;
    for step in 0..STEPS {
        now += TICK * dice.below(3);
        set_clock(&pool, now).await;
        let at = Timestamp::from_millis(now);
        let ended = match dice.below(12) {
            0 => removes(&store, dice, &key, &record, at).await,
            1..6 => {
                writes(&store, dice, &key, &mut record, at).await;
                false
            }
            _ => {
                loads(&store, dice, &key, &mut record, at).await;
                false
            }
        };
        let lives = !ended && record.is_live(at);
        let found = store.load(&key, &Load::new()).await.unwrap();
        let expected = if lives { record.clone().found(&Load::new(), at) } else { Found::Missing };
        assert_eq!(found, expected, "after step {step}");
        let keys = [random_key(), key.clone(), key.clone()];
        assert_eq!(store.alive(&keys).await.unwrap(), [false, lives, lives]);
        if !lives {
            (key, record) = begun(&store, dice, at).await;
        }
    }
}
