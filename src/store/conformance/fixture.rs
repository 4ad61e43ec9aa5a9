//! What the cases share: records, keys and secrets, a look at a record, time and races.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Barrier;
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use super::Harness;
use crate::key::Key;
use crate::proof::{Claim, Proof};
use crate::record::{Details, Label, Lifetime, Owner, Record, Timestamp};
use crate::store::{
    Cursor, Found, Inserted, Listing, Load, NewProof, NewRecord, Owners, Replaced, Store, Touch,
    Write, Written,
};
use crate::token::Token;

/// For records that have to be alive.
pub const HOUR: Duration = Duration::from_secs(3_600);

pub const ALWAYS: Touch = Touch::After(Duration::ZERO);

pub const DONE: Inserted = Inserted::Done { evicted: Vec::new() };

pub fn hour() -> Lifetime {
    valid(Lifetime::idle(HOUR))
}

/// For records that have to die.
pub fn moment<H: Harness>(harness: &H) -> Lifetime {
    valid(Lifetime::idle(moment_of(harness)))
}

pub fn moment_of<H: Harness>(harness: &H) -> Duration {
    Duration::from_millis(300).max(2 * harness.resolution())
}

pub fn valid<E: std::fmt::Debug>(checked: Result<Lifetime, E>) -> Lifetime {
    checked.expect("the suite asks for valid timeouts")
}

/// Lets enough time pass that what lives for a [`moment`] is dead.
pub async fn outlive_moment<H: Harness>(harness: &H) {
    harness.pass(moment_of(harness) + 2 * harness.resolution() + Duration::from_millis(50)).await;
}

/// Lets enough time pass that the store's clock shows it.
pub async fn tick<H: Harness>(harness: &H) {
    harness.pass(Duration::from_millis(20).max(2 * harness.resolution())).await;
}

pub async fn store<H: Harness>(harness: &H) -> Arc<dyn Store> {
    Arc::new(harness.store().await)
}

pub fn owners(store: &dyn Store) -> &dyn Owners {
    store.owners().expect("this case is for a store that knows owners")
}

pub fn listing(store: &dyn Store) -> &dyn Listing {
    store.listing().expect("this case is for a store that lists its records")
}

/// With a plain id, as the manager hands it to a store whose format keeps it.
pub fn random_key() -> Key {
    let token = Token::random("").expect("the operating system gives random bytes");
    Key::with_plain_id(token.reveal())
}

/// A random key that a session of this owner may have.
pub fn key_of(store: &dyn Store, owner: &Owner) -> Key {
    let count = store.partitions();
    if store.keeps_plain_ids() || count == 1 {
        return random_key();
    }
    let partition = Some(owner.partition(count));
    Key::random(partition, count).expect("the operating system gives random bytes")
}

/// A random key that a session of this owner, or of none, may have.
pub fn key_for(store: &dyn Store, owner: Option<&Owner>) -> Key {
    owner.map_or_else(random_key, |owner| key_of(store, owner))
}

/// An owner, if the store knows any.
pub fn any_owner(store: &dyn Store, id: &str) -> Option<Owner> {
    store.owners().map(|_| owner_named(id))
}

pub fn owner_named(id: impl Into<String>) -> Owner {
    Owner::new(id.into()).expect("the suite names a valid owner")
}

/// The longest details.
pub fn long_details() -> Details {
    let label = Label::new("ö".repeat(127)).expect("the suite makes a valid label");
    let with_label = Details::new().with_label(label);
    let mut bytes = with_label.as_bytes().to_vec();
    bytes.extend((0..=255).cycle().take(Details::MAX_LEN - bytes.len()));
    Details::from_stored(bytes.into())
}

pub fn random_below(end: usize) -> usize {
    let number = getrandom::u32().expect("the operating system gives random bytes");
    number as usize % end
}

/// The proof of a new secret.
pub fn random_proof() -> Proof {
    let mut bytes = [1; Proof::LEN];
    getrandom::fill(&mut bytes[1..]).expect("the operating system gives random bytes");
    Proof::from_bytes(bytes)
}

/// A claim of the secret with this proof. Its grace is over in an hour.
pub fn claim(proof: &Proof) -> Claim {
    Claim::new(*proof, HOUR)
}

/// The same, without a grace.
pub fn without_grace(proof: &Proof) -> Claim {
    Claim::new(*proof, Duration::ZERO)
}

pub fn record_of(owner: &Owner) -> NewRecord<'_> {
    NewRecord { owner: Some(owner), ..NewRecord::new("data", hour()) }
}

/// Inserts a record that nothing hinders.
pub async fn put(store: &dyn Store, key: &Key, record: &NewRecord<'_>) {
    assert_eq!(store.insert(key, record).await.unwrap(), DONE);
}

/// Inserts a record of no owner that lives an hour.
pub async fn put_any(store: &dyn Store) -> Key {
    let key = random_key();
    put(store, &key, &NewRecord::new("data", hour())).await;
    key
}

/// Inserts a session of this owner that lives an hour.
pub async fn put_owned(store: &dyn Store, owner: &Owner) -> Key {
    let key = key_of(store, owner);
    put(store, &key, &record_of(owner)).await;
    key
}

/// Inserts a session with a secret that lives an hour.
pub async fn put_proved(store: &dyn Store) -> (Key, Proof) {
    let (key, proof) = (random_key(), random_proof());
    put(store, &key, &NewRecord { proof: Some(proof), ..NewRecord::new("data", hour()) }).await;
    (key, proof)
}

/// Hands a secret over, and says the proof of the next one.
pub async fn hand_over(store: &dyn Store, key: &Key, from: &Proof) -> Proof {
    let next = random_proof();
    write(store, key, &handover(&claim(from), next)).await;
    next
}

/// What hands a secret over.
pub fn handover(claim: &Claim, next: Proof) -> Write<'_> {
    let proof = Some(NewProof::Rotated { next, sealed: "the next secret".into() });
    Write { claim: Some(claim), proof, ..Write::default() }
}

/// What a write that has to be done has left.
pub async fn write(store: &dyn Store, key: &Key, write: &Write<'_>) -> Written {
    match store.replace(key, write).await.unwrap() {
        Replaced::Done(written) => {
            assert!(write.proof.is_none() || written.times.is_some(), "a new token has no times");
            written
        }
        refused => panic!("{refused:?} for a write to {key}"),
    }
}

/// A load without a touch.
pub async fn found(store: &dyn Store, key: &Key, claim: &Claim) -> Found {
    let load = Load { claim: Some(claim), ..Load::new() };
    store.load(key, &load).await.unwrap()
}

/// The record under a key that has to hold a live one.
pub async fn look(store: &dyn Store, key: &Key) -> Record {
    let found = store.load(key, &Load::new()).await.unwrap();
    found.live().unwrap_or_else(|| panic!("{key} holds no live record"))
}

/// The record under a key, touched where that is due.
pub async fn load_with_data(store: &dyn Store, key: &Key, touch: Touch) -> Option<Record> {
    let load = Load { touch, ..Load::new() };
    store.load(key, &load).await.unwrap().live()
}

/// The same without the data.
pub async fn load_without_data(store: &dyn Store, key: &Key, touch: Touch) -> Option<Record> {
    let load = Load { touch, with_data: false, ..Load::new() };
    store.load(key, &load).await.unwrap().live()
}

/// The record under a key, of which nothing is left there.
pub async fn take(store: &dyn Store, key: &Key) -> Option<Record> {
    store.remove(key, crate::store::Condition::Always, true).await.unwrap().record()
}

pub async fn is_alive(store: &dyn Store, key: &Key) -> bool {
    load_without_data(store, key, Touch::No).await.is_some()
}

/// All sessions of an owner.
pub async fn listed(store: &dyn Store, owner: &Owner) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut after: Option<Cursor> = None;
    for _ in 0..10_000 {
        let page = owners(store).owned(owner, after.as_ref(), 1_000, false).await.unwrap();
        keys.extend(page.records.into_iter().map(|(key, _)| key));
        after = page.next;
        if after.is_none() {
            return keys;
        }
    }
    panic!("the list of {owner:?} does not end");
}

/// These are the owner's sessions, where the store knows owners.
pub async fn assert_listed(store: &dyn Store, owner: Option<&Owner>, keys: &[Key]) {
    if let Some(owner) = owner {
        assert_eq!(listed(store, owner).await, keys);
    }
}

/// This many records are alive, where the store can tell.
pub async fn assert_count(store: &dyn Store, count: u64) {
    if let Some(listing) = store.listing() {
        assert_eq!(listing.count().await.unwrap(), count);
    }
}

/// The times that a write has answered, if any, are those of the record that it has left.
pub fn assert_times(written: &Written, after: &Record) {
    if let Some(times) = written.times {
        assert_eq!(times.expires_at, after.meta.expires_at());
        assert!(times.now >= after.meta.last_seen && times.now <= after.meta.now);
    }
}

/// All but the time at which the store was asked.
pub fn facts(record: &Record) -> Record {
    let mut record = record.clone();
    record.meta.now = Timestamp::from_millis(0);
    record
}

/// The record is as it was.
pub async fn assert_unchanged(store: &dyn Store, key: &Key, before: &Record) {
    assert_eq!(facts(&look(store, key).await), facts(before));
}

/// A thing to keep that shows every kind of data: nothing, every byte, and much.
pub fn data_of_every_kind() -> [Vec<u8>; 3] {
    let every_byte: Vec<u8> = (0..=255).collect();
    [vec![], every_byte.clone(), every_byte.repeat(4_096)]
}

/// Runs this many tasks at once, and returns what they answered. They start when all are there, and
/// wait for a few turns of the scheduler then, so that its order does not decide which comes first.
pub async fn race<T, F>(tasks: usize, task: impl Fn(usize) -> F) -> Vec<T>
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
pub fn how_many<T: PartialEq>(answers: &[T], this: &T) -> usize {
    answers.iter().filter(|answer| *answer == this).count()
}

/// How many writes were done, and how many met a conflict.
pub fn done_and_conflicts(answers: &[Replaced]) -> (usize, usize) {
    let done = answers.iter().filter(|answer| matches!(answer, Replaced::Done(_))).count();
    (done, how_many(answers, &Replaced::Conflict))
}

/// Lets a future run a little, then drops it: after a few polls, so that one which stops between two
/// steps is surely met there, or after a time that chance chooses, in which a server gets further.
/// Every eighth task lets it end, so that both outcomes are seen.
pub async fn drop_after<T>(task: usize, future: impl Future<Output = T>) {
    match task % 8 {
        0 => drop(future.await),
        1 | 3 | 5 | 7 => {
            let mut future = pin!(future);
            let mut polls = 1 + random_below(4);
            poll_fn(|context| {
                polls -= 1;
                match future.as_mut().poll(context) {
                    Poll::Pending if polls > 0 => Poll::Pending,
                    _ => Poll::Ready(()),
                }
            })
            .await;
        }
        _ => {
            let micros = random_below(2_000) as u64;
            let _ = timeout(Duration::from_micros(micros), future).await;
        }
    }
}
