//! What only a look from within can show: the map, the expiry queue and the owners' lists agree, and a
//! reader waits for no lock.

mod bounded;

use std::pin::pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use super::WhenFull;
use super::records::Records;
use crate::key::Key;
use crate::record::{Lifetime, Owner, Timestamp};
use crate::store::{
    Condition, Found, Inserted, Load, NewRecord, OwnerLimit, Replaced, Touch, Write,
};

const START: Timestamp = Timestamp::from_millis(1_000_000);

fn key(number: u8) -> Key {
    let mut bytes = [number; Key::LEN];
    bytes[0] = number.wrapping_mul(37);
    Key::from_bytes(bytes)
}

fn owner(number: u8) -> Owner {
    Owner::new(format!("user-{number}")).unwrap()
}

fn idle(millis: u64) -> Lifetime {
    Lifetime::idle(Duration::from_millis(millis)).unwrap()
}

fn record(owner: &Owner, lifetime: Lifetime) -> NewRecord<'_> {
    NewRecord { owner: Some(owner), ..NewRecord::new("data", lifetime) }
}

/// The answer of an operation, and how many records it looked at in its longest step.
fn measured<T>(records: &Records, operation: impl Future<Output = T>) -> (T, usize) {
    let mut operation = pin!(operation);
    let mut longest = 0;
    records.take_looks();
    loop {
        let step = operation.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        longest = longest.max(records.take_looks());
        if let Poll::Ready(answer) = step {
            return (answer, longest);
        }
    }
}

fn done<T>(operation: impl Future<Output = T>) -> T {
    let mut operation = pin!(operation);
    loop {
        let step = operation.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(answer) = step {
            return answer;
        }
    }
}

fn is_there(records: &Records, key: &Key, touch: Touch, now: Timestamp) -> bool {
    records.load(key, &Load { touch, ..Load::new() }, now) != Found::Missing
}

fn remove(records: &Records, key: &Key, now: Timestamp) -> bool {
    records.remove(key, Condition::Always, false, now).is_done()
}

fn insert(records: &Records, key: &Key, record: &NewRecord<'_>, now: Timestamp) {
    done(records.insert(key, record, now)).expect("there is no cap");
}

#[test]
fn what_was_created_and_ended_leaves_nothing_behind() {
    let records = Records::new(usize::MAX, WhenFull::Refuse);
    let century = Lifetime::idle(Lifetime::MAX).unwrap();
    for turn in 0..5_000_u32 {
        let key = key(turn as u8);
        let owner = owner((turn % 3) as u8);
        insert(&records, &key, &record(&owner, century), START);
        match turn % 5 {
            0 => assert!(remove(&records, &key, START)),
            1 => {
                records.remove(&key, Condition::Owner(&owner), false, START);
            }
            2 => records.remove_owned(&owner, None, START),
            3 => {
                records.remove_owned(&owner, Some(&key), START);
                assert!(remove(&records, &key, START));
            }
            _ => {
                let write = Write { lifetime: Some(&idle(1)), ..Write::data("data") };
                assert!(matches!(records.replace(&key, &write, START), Replaced::Done(_)));
                let later = START + Duration::from_millis(1);
                assert!(!is_there(&records, &key, Touch::No, later));
            }
        }
        assert_eq!(records.sizes(), (0, 0, 0), "after turn {turn}");
    }
    records.assert_whole();
}

#[test]
fn reads_touches_and_writes_wait_for_no_lock() {
    let records = Records::new(usize::MAX, WhenFull::Refuse);
    let (owner, key) = (owner(1), key(1));
    insert(&records, &key, &record(&owner, idle(60_000)), START);
    let (done, is_done) = mpsc::channel();
    thread::scope(|scope| {
        let locks = records.lock_everything();
        scope.spawn(|| {
            let touch = Touch::After(Duration::ZERO);
            for later in 1..100 {
                let now = START + Duration::from_millis(later);
                assert!(is_there(&records, &key, touch, now));
                assert!(is_there(&records, &key, Touch::No, now));
                let replaced = records.replace(&key, &Write::data("new data"), now);
                assert!(matches!(replaced, Replaced::Done(_)));
            }
            done.send(()).unwrap();
        });
        let in_time = is_done.recv_timeout(Duration::from_secs(30));
        drop(locks);
        assert!(in_time.is_ok(), "a reader or a writer waits for a lock");
    });
}

#[test]
fn the_map_the_queue_and_the_lists_agree_whatever_happens_at_once() {
    let records = Records::new(usize::MAX, WhenFull::Refuse);
    for round in 0..20_u64 {
        thread::scope(|scope| {
            for thread in 0..4 {
                let records = &records;
                scope.spawn(move || any_operations(records, round * 4 + thread));
            }
        });
        records.assert_whole();
    }
}

/// Two thousand operations on a few keys of a few owners, while the clock advances.
fn any_operations(records: &Records, seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = |end: u64| {
        // xorshift64: Marsaglia, "Xorshift RNGs", 2003.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % end) as u8
    };
    for turn in 0..2_000 {
        let now = START + Duration::from_millis(seed / 4 * 500 + turn / 4 + u64::from(draw(3)));
        let (key, owner) = (key(draw(12)), owner(draw(3)));
        match draw(11) {
            0..3 => {
                let lifetime = idle(10 + u64::from(draw(200)));
                let anyones = NewRecord::new("data", lifetime);
                let record = if draw(4) == 0 { anyones } else { record(&owner, lifetime) };
                insert(records, &key, &record, now);
            }
            3 => {
                is_there(records, &key, Touch::After(Duration::ZERO), now);
            }
            4 => {
                records.replace(&key, &Write::data("new data"), now);
            }
            5 => {
                let lifetime = idle(1 + u64::from(draw(100)));
                let write = Write { lifetime: Some(&lifetime), ..Write::data("new data") };
                records.replace(&key, &write, now);
            }
            6 => {
                remove(records, &key, now);
            }
            7 => {
                records.remove(&key, Condition::Owner(&owner), false, now);
            }
            8 => records.remove_owned(&owner, None, now),
            9 => records.remove_owned(&owner, Some(&key), now),
            _ if draw(50) == 0 => done(records.clear()),
            _ => {
                records.sweep_some(3, 5, now);
            }
        }
    }
}
