//! No step of an operation looks at more than a thousand records, whatever the store holds. The tests
//! count looks, not time.

use super::*;
use crate::store::memory::LOOKS;
use crate::store::memory::queue::Place;

const MANY: usize = 20_000;
const ALWAYS: Touch = Touch::After(Duration::ZERO);

/// Keys that are spread as evenly as digests.
fn spread(number: usize) -> Key {
    let mut bytes = [0; Key::LEN];
    for (word, chunk) in bytes.chunks_exact_mut(8).enumerate() {
        let mixed = ((number * 4 + word + 1) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        chunk.copy_from_slice(&(mixed ^ (mixed >> 29)).to_be_bytes());
    }
    Key::from_bytes(bytes)
}

fn at(millis: u64) -> Timestamp {
    START + Duration::from_millis(millis)
}

fn filled(records: Records) -> Records {
    for number in 0..MANY {
        let record = NewRecord::new("data", idle(1_000));
        done(records.insert(&spread(number), &record, START)).expect("there is space");
    }
    records
}

/// Sessions whose time in the queue is over at [`LATER`], but that live until 1,500.
fn touched(records: Records) -> Records {
    let records = filled(records);
    for number in 0..MANY {
        assert!(is_there(&records, &spread(number), ALWAYS, at(500)));
    }
    records
}

const LATER: Timestamp = Timestamp::from_millis(START.as_millis() + 1_200);

fn without_cap() -> Records {
    Records::new(usize::MAX, WhenFull::Refuse)
}

fn of_one_owner(owner: &Owner) -> Records {
    let records = without_cap();
    for number in 0..MANY {
        insert(&records, &spread(number), &record(owner, idle(1_000)), START);
    }
    records
}

fn limited(owner: &Owner, limit: OwnerLimit) -> NewRecord<'_> {
    NewRecord { limit: Some(limit), ..record(owner, idle(1_000)) }
}

fn all_of_them() -> std::num::NonZeroU32 {
    (MANY as u32).try_into().unwrap()
}

#[test]
fn a_sweep_looks_at_its_limit_and_a_thousand_more() {
    let records = touched(without_cap());
    for limit in [0, 1, 10, 1_000, 2_000] {
        let (freed, longest) = measured(&records, records.sweep(limit, limit + LOOKS, LATER));
        assert_eq!(freed, 0);
        assert!(longest <= LOOKS, "{longest} looks in one step of a sweep of {limit}");
    }
    records.assert_whole();
}

#[test]
fn sweeps_that_free_nothing_get_past_the_touched_sessions_all_the_same() {
    let records = touched(without_cap());
    insert(&records, &spread(MANY), &NewRecord::new("data", idle(1_100)), START);
    let mut sweeps = 1;
    while done(records.sweep(1, 1 + LOOKS, LATER)) == 0 {
        sweeps += 1;
        assert!(sweeps <= MANY / LOOKS + 1, "the expired session stays hidden");
    }
    assert_eq!(records.held(), MANY);
    records.assert_whole();
}

#[test]
fn a_touch_leaves_nothing_for_a_sweep_once_the_sessions_time_in_the_queue_is_over() {
    let records = touched(without_cap());
    for number in 0..MANY {
        assert!(is_there(&records, &spread(number), ALWAYS, LATER));
    }
    let (freed, longest) = measured(&records, records.sweep(1, usize::MAX, LATER));
    assert_eq!((freed, longest), (0, 0));
    records.assert_whole();
}

#[test]
fn a_sweep_without_a_limit_frees_everything_in_steps() {
    let records = filled(without_cap());
    let (freed, longest) = measured(&records, records.sweep(usize::MAX, usize::MAX, at(1_000)));
    assert_eq!((freed, longest), (MANY, LOOKS));
    assert_eq!(records.sizes(), (0, 0, 0));
}

#[test]
fn an_insert_into_a_full_store_of_touched_sessions_looks_at_a_thousand_in_a_step() {
    for policy in [WhenFull::Refuse, WhenFull::EvictNearestExpiry] {
        let records = touched(Records::new(MANY, policy));
        for turn in 0..3 {
            let new = spread(MANY + turn);
            let record = NewRecord::new("data", idle(1_000));
            let (inserted, longest) = measured(&records, records.insert(&new, &record, LATER));
            assert_eq!(inserted.is_ok(), policy == WhenFull::EvictNearestExpiry);
            assert!(longest <= 2 * LOOKS + 10, "{longest} looks in one step of an insert");
        }
        assert_eq!(records.held(), MANY);
        records.assert_whole();
    }
}

#[test]
fn a_full_store_finds_an_expired_session_among_thousands_of_touched_ones() {
    let records = touched(Records::new(MANY + 1, WhenFull::Refuse));
    let (old, new) = (spread(MANY), spread(MANY + 1));
    insert(&records, &old, &NewRecord::new("data", idle(1_200)), START);
    let inserted = done(records.insert(&new, &NewRecord::new("data", idle(1)), LATER));
    let full = inserted.is_err();
    // The first refusal has looked at 16,000 records: the second reaches the end.
    let inserted = done(records.insert(&new, &NewRecord::new("data", idle(1)), LATER));
    assert!(!full || inserted.is_ok());
    records.assert_whole();
}

#[test]
fn a_full_listing_looks_at_each_session_once() {
    let records = filled(without_cap());
    for limit in [1, 100, 1_000, usize::MAX] {
        let (mut listed, mut place) = (Vec::new(), Some(Place::default()));
        records.take_looks();
        let mut total = 0;
        while let Some(from) = place {
            let page = records.scan(from, limit, START, |key, _| key.clone());
            let looks = records.take_looks();
            assert!(looks <= LOOKS, "{looks} looks for a page of {limit}");
            total += looks;
            listed.extend(page.0);
            place = page.1;
        }
        assert_eq!(total, MANY);
        listed.sort_unstable();
        listed.dedup();
        assert_eq!(listed.len(), MANY);
    }
}

#[test]
fn a_session_that_stays_is_listed_once_while_others_come_and_go_between_the_pages() {
    let records = filled(without_cap());
    let (mut listed, mut place, mut turn) = (Vec::new(), Some(Place::default()), 0);
    while let Some(from) = place {
        let page = records.scan(from, 100, START, |key, _| key.clone());
        listed.extend(page.0);
        place = page.1;
        // Every second one is removed, from both ends, and new ones take the slots.
        for number in [turn * 2, MANY - 2 - turn * 2] {
            remove(&records, &spread(number), START);
        }
        insert(&records, &spread(MANY + turn), &NewRecord::new("data", idle(1_000)), START);
        turn += 1;
    }
    for number in (1..MANY).step_by(2) {
        let key = spread(number);
        assert_eq!(listed.iter().filter(|listed| **listed == key).count(), 1);
        if number > 2_000 {
            break;
        }
    }
}

#[test]
fn a_count_looks_at_a_thousand_in_a_step() {
    let records = filled(without_cap());
    assert_eq!(measured(&records, records.count(START)), (MANY, LOOKS));
}

#[test]
fn a_clear_removes_a_thousand_in_a_step_and_a_dropped_one_leaves_the_rest() {
    let records = filled(without_cap());
    let ((), longest) = measured(&records, records.clear());
    assert_eq!((longest, records.sizes()), (LOOKS, (0, 0, 0)));

    let records = filled(records);
    let held = records.held();
    {
        let mut clear = pin!(records.clear());
        let step = clear.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(step.is_pending());
    }
    assert_eq!(records.held(), held - LOOKS);
    records.assert_whole();
    done(records.clear());
    assert_eq!((records.held(), records.sizes()), (0, (0, 0, 0)));
}

#[test]
fn a_list_of_an_owners_sessions_looks_at_those_that_it_shows() {
    let owner = owner(1);
    let records = of_one_owner(&owner);
    let keys = |key: &Key, _: &crate::store::memory::entry::Entry| key.clone();
    let ((ten, next), longest) =
        measured(&records, records.owned(&owner, u64::MAX, 10, START, keys));
    assert!(longest <= 10, "{longest} looks for ten sessions");
    assert_eq!(ten, (MANY - 10..MANY).rev().map(spread).collect::<Vec<_>>());
    let ((all, end), longest) =
        measured(&records, records.owned(&owner, u64::MAX, usize::MAX, START, keys));
    assert!(longest <= LOOKS + 1, "{longest} looks in one step");
    assert_eq!(all, (0..MANY).rev().map(spread).collect::<Vec<_>>());
    assert_eq!(end, None);
    let (eleventh, _) = done(records.owned(&owner, next.unwrap(), 1, START, keys));
    assert_eq!(eleventh, [spread(MANY - 11)]);
    assert_eq!(done(records.owned(&owner, u64::MAX, 0, START, keys)).0, []);
}

#[test]
fn an_owners_expired_sessions_are_passed_in_steps() {
    let owner = owner(1);
    let records = without_cap();
    insert(&records, &key(1), &record(&owner, idle(5_000)), START);
    for number in 0..MANY {
        insert(&records, &spread(number), &record(&owner, idle(1_000)), START);
    }
    let keys = |key: &Key, _: &crate::store::memory::entry::Entry| key.clone();
    let ((live, _), longest) =
        measured(&records, records.owned(&owner, u64::MAX, 10, at(1_000), keys));
    assert!(longest <= 2 * LOOKS, "{longest} looks in one step");
    assert_eq!(live, [key(1)]);
    records.assert_whole();
}

#[test]
fn the_end_of_all_of_an_owners_sessions_looks_at_a_thousand_and_leaves_the_rest_to_sweeps() {
    let owner = owner(1);
    let records = of_one_owner(&owner);
    records.take_looks();
    records.remove_owned(&owner, None, START);
    assert!(records.take_looks() <= LOOKS);
    assert_eq!(done(records.count(START)), 0);
    assert!(!is_there(&records, &spread(MANY - 1), Touch::No, START));
    assert_eq!(done(records.sweep(usize::MAX, usize::MAX, START)), MANY - LOOKS - 1);
    assert_eq!((records.held(), records.sizes()), (0, (0, 0, 0)));
}

#[test]
fn a_full_store_has_space_after_the_end_of_an_owners_sessions() {
    let owner = owner(1);
    let records = Records::new(MANY, WhenFull::Refuse);
    for number in 0..MANY {
        insert(&records, &spread(number), &record(&owner, idle(1_000)), START);
    }
    records.remove_owned(&owner, None, START);
    for number in MANY..2 * MANY {
        insert(&records, &spread(number), &record(&owner, idle(1_000)), START);
    }
    assert_eq!(records.held(), MANY);
    records.assert_whole();
}

#[test]
fn an_insert_at_the_limit_of_an_owner_of_many_looks_at_a_thousand() {
    let owner = owner(1);
    let records = of_one_owner(&owner);
    let evicting = limited(&owner, OwnerLimit::evict_oldest(all_of_them()));
    let (next, another) = (spread(MANY), spread(MANY + 1));
    let insert = records.insert(&next, &evicting, START);
    let (inserted, longest) = measured(&records, insert);
    assert_eq!(inserted.unwrap(), Inserted::Done { evicted: vec![spread(0)] });
    assert!(longest <= LOOKS, "{longest} looks in one step");
    let refusing = limited(&owner, OwnerLimit::reject(all_of_them()));
    let insert = records.insert(&another, &refusing, START);
    let (inserted, longest) = measured(&records, insert);
    assert_eq!(inserted.unwrap(), Inserted::OwnerFull);
    assert!(longest <= LOOKS, "{longest} looks in one step");
    records.assert_whole();
}

#[test]
fn an_expired_session_in_the_middle_of_many_makes_room_for_its_owners_next() {
    let owner = owner(1);
    let records = of_one_owner(&owner);
    let shorter = Write { lifetime: Some(&idle(100)), ..Write::data("data") };
    records.replace(&spread(MANY / 2), &shorter, START);
    let refusing = limited(&owner, OwnerLimit::reject(all_of_them()));
    let inserted = done(records.insert(&spread(MANY), &refusing, at(100))).unwrap();
    assert_eq!(inserted, Inserted::Done { evicted: vec![] });
    assert!(is_there(&records, &spread(0), Touch::No, at(100)));
    records.assert_whole();
}

#[test]
fn an_insert_under_a_lowered_limit_ends_a_thousand_and_leaves_the_rest_to_the_next() {
    let owner = owner(1);
    let records = of_one_owner(&owner);
    let three = limited(&owner, OwnerLimit::evict_oldest(3.try_into().unwrap()));
    for turn in 0..=MANY / LOOKS {
        let (inserted, longest) =
            measured(&records, records.insert(&spread(MANY + turn), &three, START));
        let all_but_three = MANY + turn - 2;
        let evicted = (turn * LOOKS..all_but_three.min((turn + 1) * LOOKS)).map(spread).collect();
        assert_eq!(inserted.unwrap(), Inserted::Done { evicted });
        assert!(longest <= LOOKS, "{longest} looks in one step");
    }
    assert_eq!(done(records.count(START)), 3);
    records.assert_whole();
}

#[test]
fn sessions_of_an_owner_that_end_in_any_order_leave_the_others_in_theirs() {
    let owner = owner(1);
    let records = of_one_owner(&owner);
    for number in (0..MANY).filter(|number| number % 3 != 0) {
        assert!(remove(&records, &spread(number), START));
    }
    records.assert_whole();
    let keys = |key: &Key, _: &crate::store::memory::entry::Entry| key.clone();
    let (left, _) = done(records.owned(&owner, u64::MAX, usize::MAX, START, keys));
    let expected = (0..MANY).filter(|number| number % 3 == 0).rev().map(spread);
    assert_eq!(left, expected.collect::<Vec<_>>());
}
