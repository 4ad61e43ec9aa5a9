//! A test for each sentence of the [store contract](super), for any store.
//!
//! Say in a [`Harness`] how to get an empty store and how to let time pass; then
//! [`conformance_suite!`](crate::conformance_suite) makes a test of each function here. The tests
//! need `tokio` with `macros` and `rt-multi-thread` among your development dependencies.
//!
//! ```
//! use std::time::Duration;
//! use token_session::store::conformance::Harness;
//! use token_session::store::{ManualClock, Memory};
//!
//! #[derive(Default)]
//! struct InMemory(ManualClock);
//!
//! impl Harness for InMemory {
//!     type Store = Memory;
//!
//!     async fn store(&self) -> Memory {
//!         Memory::builder().clock(self.0.clone()).build()
//!     }
//!
//!     async fn pass(&self, time: Duration) {
//!         self.0.advance(time);
//!     }
//! }
//!
//! token_session::conformance_suite!(InMemory::default());
//! ```
//!
//! Four sentences are a store's own to test, because no stranger can bring them about: that an
//! operation is one round trip, that an error says whether to retry, that a full store says so, and
//! that a damaged record hides no other.
//!
//! No verdict hangs on how fast the machine is: a record that has to be alive lives an hour, and
//! where a touch must have kept one alive, the store's own timestamps are compared.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;
use tokio::task::{JoinSet, yield_now};

use super::{Inserted, NewRecord, Store, Touch};
use crate::key::Key;
use crate::record::{Label, Lifetime, Meta, Owner, Record};
use crate::token::Token;

pub mod abuse;
pub mod administration;
pub mod attacks;
pub mod codes;
pub mod insert;
mod later;
pub mod load;
pub mod owners;
pub mod remove;
pub mod rename;
pub mod replace;
#[cfg(test)]
mod tests;
pub mod throughout;

/// What the suite has to know of a store.
///
/// The [module](self) has an example.
pub trait Harness: Send + Sync + 'static {
    /// The store to test.
    type Store: Store;

    /// An empty store. Each call makes one that shares no record with those before, though it may
    /// share their server: tests run at the same time, and some ask for two stores.
    fn store(&self) -> impl Future<Output = Self::Store> + Send;

    /// Lets so much time pass on the store's clock: moves a clock that can be moved, or sleeps.
    fn pass(&self, time: Duration) -> impl Future<Output = ()> + Send;

    /// How many callers race for one record, and how many rounds the randomised tests take.
    fn races(&self) -> usize {
        1_000
    }

    /// How many rounds the race for one code takes, of which each is some 4,000 calls at 1,000 races.
    /// Races of a few callers take up to 20 of them, and an attack of 30 days no more days than this. A
    /// second suite of an engine may take fewer.
    fn rounds(&self) -> usize {
        100
    }

    /// The store's clock moves in steps of so much, and may end a record so much late or early.
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    /// Whether a scan may list a record twice while others come and go.
    fn scan_repeats(&self) -> bool {
        false
    }

    /// Whether the store knows owners. Without them it is no [`AtomicStore`](super::AtomicStore), and
    /// tests that are about something else leave them out.
    fn knows_owners(&self) -> bool {
        true
    }

    /// Whether the store can scan and count what it holds. As with owners otherwise.
    fn knows_all_records(&self) -> bool {
        true
    }
}

/// Makes a `#[tokio::test]` of each function of the
/// [suite](crate::store::conformance), for the harness that the expression gives.
///
/// The expression is evaluated in each test anew, within an `async` function. The tests stand in a
/// module for each part of the contract, so a store's tests go into a module or a file of their
/// own.
///
/// Codes and links are among them, since they lean on the contract more than sessions do. Their
/// tests ask for an [`AtomicStore`](super::AtomicStore); `conformance_suite!(sessions: …)` leaves
/// them out.
///
/// A store that cannot keep every sentence names the tests of those that it keeps, after a
/// semicolon: `conformance_suite! { InMemory::default(); load { a_missing_record_is_none } }`. Its
/// docs then say what does not hold.
#[macro_export]
macro_rules! conformance_suite {
    ($harness:expr) => {
        $crate::conformance_suite! { sessions: $harness }
        $crate::conformance_suite! { @modules $harness;
            codes {
                of_racing_right_codes_one_is_redeemed
                no_more_racing_guesses_are_compared_than_there_are
                a_right_code_amid_wrong_guesses_is_redeemed
                racing_challenges_keep_no_more_than_a_day
                a_racing_double_submit_gets_one_answer_twice
                of_racing_leases_one_is_taken
                a_code_ends_with_its_lifetime
                all_codes_of_a_subject_are_revoked
                of_racing_recovery_codes_one_is_used
                a_link_is_used_as_often_as_it_has_uses
                of_racing_right_codes_of_a_subject_one_is_redeemed
                of_racing_guesses_at_a_subject_five_are_compared
                a_subjects_revoked_code_stays_dead_whatever_races
                a_revoked_set_stays_dead_whatever_races
            }
            abuse {
                a_replayed_code_is_refused
                a_code_of_another_purpose_is_refused_and_stays_good
                a_code_of_another_subject_is_refused_and_stays_good
                a_code_of_another_challenge_is_refused_and_charged
                a_double_click_gets_the_first_answer_again
                an_expired_code_stays_dead
                a_megabyte_is_no_code
                a_replayed_link_is_refused
                a_link_of_another_purpose_is_refused_and_stays_good
                a_cut_or_padded_link_is_refused_and_stays_good
                a_megabyte_is_no_link
                a_link_ends_with_its_lifetime
            }
            attacks {
                a_dump_tells_no_secret
                nothing_in_a_dump_redeems
                offline_trials_on_a_dump_confirm_no_code
                thirty_days_of_guesses_stay_within_the_budget
            }
        }
    };
    (sessions: $harness:expr) => {
        $crate::conformance_suite! { @modules $harness;
            throughout {
                an_expired_record_does_not_exist
                a_sweep_changes_no_verdict
                nobody_sees_half_of_a_write
                a_dropped_insert_is_done_or_not_done
                a_dropped_write_is_done_or_not_done
                a_dropped_rename_is_done_or_not_done
            }
            insert {
                a_new_record_is_of_its_version_created_and_seen_now
                a_new_record_is_as_it_was_given
                data_of_every_size_and_byte_is_kept
                timeouts_from_a_millisecond_to_the_longest_are_kept
                a_taken_key_is_refused_and_nothing_changes
                an_expired_record_is_no_hindrance
                of_racing_inserts_of_one_key_one_is_done
                at_the_limit_the_oldest_goes_and_its_key_is_returned
                as_many_go_as_a_lower_limit_asks_for
                at_the_limit_an_insert_is_refused_and_nothing_changes
                a_taken_key_ends_none_of_the_owners_sessions
                only_live_sessions_of_the_owner_count_for_the_limit
                racing_inserts_that_are_refused_leave_no_more_than_the_limit
                racing_inserts_that_evict_leave_no_more_than_the_limit
            }
            load {
                a_missing_record_is_none
                a_load_without_a_touch_leaves_the_record
                a_touch_makes_the_record_seen_now
                a_touch_answers_as_a_load_does
                a_touch_within_the_interval_is_not_written
                a_touch_after_the_interval_is_written
                a_touch_after_a_tenth_of_the_idle_timeout_is_written
                nothing_slides_without_an_idle_timeout
                racing_touches_move_forward_only
                racing_touches_and_writes_lose_neither
                a_touch_never_passes_the_deadline
            }
            replace {
                a_write_changes_the_data_and_the_version_alone
                a_write_may_touch
                a_write_may_begin_a_new_lifetime
                a_new_lifetime_may_be_shorter
                data_of_every_size_and_byte_is_written
                a_missing_record_is_not_written
                no_write_brings_a_removed_record_back
                a_write_that_races_a_removal_does_not_undo_it
                another_version_is_a_conflict_and_nothing_is_written
                of_racing_writes_that_expect_one_version_one_is_done
                racing_increments_are_all_counted
            }
            rename {
                a_rename_changes_the_key_and_the_version_and_is_seen_now
                an_authentication_renews_the_deadline_too
                a_renamed_session_keeps_its_place_among_its_owners
                at_no_moment_are_both_keys_alive
                a_missing_record_is_not_renamed
                a_taken_key_is_refused_and_nothing_changes
                an_expired_record_is_no_hindrance
                of_racing_renames_of_one_key_one_is_done
                of_racing_renames_to_one_key_one_is_done
                a_rename_that_races_a_removal_does_not_undo_it
            }
            remove {
                a_take_hands_out_the_record_and_removes_it
                of_racing_takes_one_gets_the_record
                a_removed_record_is_gone
                a_missing_record_is_not_removed
                another_version_is_a_conflict_and_nothing_is_removed
                another_owner_is_a_conflict_and_nothing_is_removed
                of_racing_removals_one_is_done
                of_a_racing_take_and_removal_one_wins
            }
            owners {
                live_sessions_are_listed_the_youngest_first
                a_list_holds_no_more_than_its_limit
                a_list_shows_what_a_load_shows
                what_has_ended_is_not_listed
                owners_are_told_apart_by_every_byte
                all_sessions_of_an_owner_end
                others_sessions_stay
                the_kept_session_stays_and_works_on
                a_stranger_is_not_kept
                an_owner_without_sessions_is_no_error
                an_owner_whose_sessions_ended_begins_anew
                what_the_owner_had_ends_whatever_races
                an_insert_that_races_is_listed_or_dead
                of_two_that_keep_different_sessions_neither_keeps_one
                a_repeat_ends_what_a_dropped_end_has_left
                an_end_returns_although_sessions_keep_coming
            }
            administration {
                a_scan_lists_every_live_record_once
                a_scan_of_nothing_ends
                a_record_that_stays_is_scanned_while_others_come_and_go
                the_count_is_of_live_records
                a_clear_removes_every_record
                a_cleared_store_begins_anew
                stores_do_not_see_each_other
                a_sweep_frees_no_more_than_its_limit_and_nothing_live
                there_are_1_to_1024_partitions
            }
        }
    };
    ($harness:expr; $($module:ident $tests:tt)*) => {
        $crate::conformance_suite! { @modules $harness; $($module $tests)* }
    };
    (@modules $harness:expr; $($module:ident $tests:tt)*) => {
        $($crate::conformance_suite! { @module $harness; $module $tests })*
    };
    (@module $harness:expr; $module:ident { $($test:ident)* }) => {
        mod $module {
            #[allow(unused_imports)]
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $test() {
                    $crate::store::conformance::$module::$test(&$harness).await;
                }
            )*
        }
    };
}

/// For records that have to be alive.
const HOUR: Duration = Duration::from_secs(3_600);

fn hour() -> Lifetime {
    lifetime(Lifetime::idle(HOUR))
}

/// For records that have to die.
fn moment<H: Harness>(harness: &H) -> Lifetime {
    lifetime(Lifetime::idle(moment_of(harness)))
}

fn moment_of<H: Harness>(harness: &H) -> Duration {
    Duration::from_millis(300).max(2 * harness.resolution())
}

fn lifetime<E: std::fmt::Debug>(checked: Result<Lifetime, E>) -> Lifetime {
    checked.expect("the suite asks for timeouts that are none")
}

/// Lets so much time pass that what lives for a [`moment`] is dead.
async fn outlive_moment<H: Harness>(harness: &H) {
    harness.pass(moment_of(harness) + 2 * harness.resolution() + Duration::from_millis(50)).await;
}

/// Lets so much time pass that the store's clock shows it.
async fn tick<H: Harness>(harness: &H) {
    harness.pass(Duration::from_millis(20).max(2 * harness.resolution())).await;
}

async fn fresh<H: Harness>(harness: &H) -> Arc<H::Store> {
    Arc::new(harness.store().await)
}

/// With the token, as the manager hands it to a store whose format keeps it.
fn random_key() -> Key {
    let token = Token::random("").expect("the operating system gives random bytes");
    Key::with_plain_id(token.reveal())
}

fn random_key_where(fits: impl Fn(&Key) -> bool) -> Key {
    std::iter::repeat_with(random_key)
        .find(fits)
        .unwrap_or_else(|| unreachable!("the iterator has no end"))
}

/// A random key in the partition of another.
fn key_beside(store: &impl Store, other: &Key) -> Key {
    let count = store.partitions();
    random_key_where(|key| key.partition(count) == other.partition(count))
}

/// A random key in the partition of its owner.
fn key_of(store: &impl Store, owner: &Owner) -> Key {
    let count = store.partitions();
    random_key_where(|key| key.partition(count) == owner.partition(count))
}

/// An owner, if the store knows any.
fn any_owner<H: Harness>(harness: &H, id: &str) -> Option<Owner> {
    harness.knows_owners().then(|| owner_named(id))
}

/// A random key that a session of this owner may have.
fn key_for(store: &impl Store, owner: Option<&Owner>) -> Key {
    owner.map_or_else(random_key, |owner| key_of(store, owner))
}

fn owner_named(id: impl Into<String>) -> Owner {
    Owner::new(id.into()).expect("the suite names an owner that is none")
}

fn random_below(end: usize) -> usize {
    let number = getrandom::u32().expect("the operating system gives random bytes");
    number as usize % end
}

fn record_of<'a>(owner: &'a Owner) -> NewRecord<'a> {
    NewRecord { owner: Some(owner), ..NewRecord::new("data", hour()) }
}

/// Inserts a record that nothing hinders.
async fn put(store: &impl Store, key: &Key, record: &NewRecord<'_>) {
    assert_eq!(store.insert(key, record).await.unwrap(), Inserted::Done { evicted: vec![] });
}

/// Inserts a record of no owner that lives an hour.
async fn put_any(store: &impl Store) -> Key {
    let key = random_key();
    put(store, &key, &NewRecord::new("data", hour())).await;
    key
}

/// Inserts a session of this owner that lives an hour.
async fn put_owned(store: &impl Store, owner: &Owner) -> Key {
    let key = key_of(store, owner);
    put(store, &key, &record_of(owner)).await;
    key
}

/// The record under a key that has to hold a live one.
async fn look(store: &impl Store, key: &Key) -> Record {
    let found = store.load(key, Touch::No).await.unwrap();
    found.unwrap_or_else(|| panic!("{key} holds no live record"))
}

async fn is_alive(store: &impl Store, key: &Key) -> bool {
    store.load(key, Touch::No).await.unwrap().is_some()
}

async fn listed(store: &impl Store, owner: &Owner) -> Vec<Key> {
    let owned = store.owned(owner, usize::MAX).await.unwrap();
    owned.into_iter().map(|(key, _)| key).collect()
}

/// These are the owner's sessions, where the store knows owners.
async fn assert_listed(store: &impl Store, owner: Option<&Owner>, keys: &[Key]) {
    if let Some(owner) = owner {
        assert_eq!(listed(store, owner).await, keys);
    }
}

/// So many records are alive, where the store can tell.
async fn assert_count<H: Harness>(harness: &H, store: &impl Store, count: u64) {
    if harness.knows_all_records() {
        assert_eq!(store.count().await.unwrap(), count);
    }
}

/// A session's facts, without the time at which they were asked for.
fn facts(meta: &Meta) -> Meta {
    Meta { now: meta.created_at, ..meta.clone() }
}

/// The record is as it was, data and facts.
async fn assert_unchanged(store: &impl Store, key: &Key, before: &Record) {
    let after = look(store, key).await;
    assert_eq!(after.data, before.data);
    assert_eq!(facts(&after.meta), facts(&before.meta));
}

/// A thing to keep that shows every kind of data: nothing, every byte, and much.
fn data_of_every_kind() -> [Vec<u8>; 3] {
    let every_byte: Vec<u8> = (0..=255).collect();
    [vec![], every_byte.clone(), every_byte.repeat(4_096)]
}

/// Runs so many tasks at once, and returns what they answered. They start when all are there, and
/// wait for a few turns of the scheduler then, so that its order does not decide who comes first.
async fn race<T, F>(tasks: usize, task: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(tasks));
    let with_a_handicap = async |start: Arc<Barrier>, future: F| {
        start.wait().await;
        for _ in 0..random_below(4) {
            yield_now().await;
        }
        future.await
    };
    (0..tasks)
        .map(|number| with_a_handicap(start.clone(), task(number)))
        .collect::<JoinSet<T>>()
        .join_all()
        .await
}

/// How many of the answers are this one.
fn how_many<T: PartialEq>(answers: &[T], this: &T) -> usize {
    answers.iter().filter(|answer| *answer == this).count()
}

/// The longest label.
fn long_label() -> Label {
    Label::new("ö".repeat(127)).expect("the suite makes a label that is none")
}
