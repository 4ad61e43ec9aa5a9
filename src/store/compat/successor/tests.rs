use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::*;
use crate::manager::TokenSession;
use crate::record::Lifetime;
use crate::store::{ManualClock, Memory, StoreError};
use crate::token::Token;

const MINUTE: Duration = Duration::from_secs(60);

/// A store in memory, as one of Node's or as a new one, which others interrupt at every step and
/// which breaks down at one.
#[derive(Clone, Default)]
struct Fragile {
    memory: Memory,
    faults: Arc<Faults>,
}

/// Operations are counted through both stores.
#[derive(Default)]
struct Faults {
    count: AtomicUsize,
    /// The operation that fails, counted from one, and whether it has been done all the same. Zero:
    /// none.
    at: AtomicUsize,
    after: bool,
    /// Whether a failure says that nothing was done.
    is_full: bool,
    /// Whether a write that is done is denied, as by a client that has sent it twice.
    denies: AtomicBool,
}

impl Faults {
    fn heal(&self) {
        self.at.store(0, Ordering::Relaxed);
    }
}

impl Fragile {
    async fn run<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::task::yield_now().await;
        let Faults { count, at, after, is_full, .. } = &*self.faults;
        let kind = if *is_full { StoreErrorKind::Full } else { StoreErrorKind::Unavailable };
        let now = count.fetch_add(1, Ordering::Relaxed) + 1;
        let fault = (now == at.load(Ordering::Relaxed)).then(|| StoreError::new(kind, "broken"));
        match fault {
            Some(fault) if !after => Err(fault),
            Some(fault) => operation.await.and(Err(fault)),
            None => {
                let answer = operation.await;
                tokio::task::yield_now().await;
                answer
            }
        }
    }
}

impl Store for Fragile {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        self.run(self.memory.insert(key, record)).await
    }
    async fn load(&self, key: &Key, touch: Touch) -> Result<Option<Record>> {
        self.run(self.memory.load(key, touch)).await
    }
    async fn touch(&self, key: &Key, touch: Touch) -> Result<Option<Meta>> {
        self.run(self.memory.touch(key, touch)).await
    }
    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let replaced = self.run(self.memory.replace(key, write)).await?;
        let is_denied = self.faults.denies.swap(false, Ordering::Relaxed);
        Ok(if is_denied { Replaced::Conflict } else { replaced })
    }
    async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
        self.run(self.memory.rename(from, to, renewal)).await
    }
    async fn take(&self, key: &Key) -> Result<Option<Record>> {
        self.run(self.memory.take(key)).await
    }
    async fn remove(&self, key: &Key, condition: Condition<'_>) -> Result<Removed> {
        self.run(self.memory.remove(key, condition)).await
    }
    async fn owned(&self, owner: &Owner, limit: usize) -> Result<Vec<(Key, Meta)>> {
        self.run(self.memory.owned(owner, limit)).await
    }
    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        self.run(self.memory.remove_owned(owner, keep)).await
    }
    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.run(self.memory.scan(after, limit)).await
    }
    async fn count(&self) -> Result<u64> {
        self.memory.count().await
    }
    async fn clear(&self) -> Result<()> {
        self.memory.clear().await
    }
    async fn sweep(&self, limit: usize) -> Result<usize> {
        self.memory.sweep(limit).await
    }
}

impl AtomicStore for Fragile {}
impl crate::store::compat::sealed::Sealed for Fragile {
    async fn scan_for_mover(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.scan(after, limit).await
    }
}
impl NodeStore for Fragile {}

type Both = Successor<Fragile, Fragile>;

fn stores_on(clock: &ManualClock, faults: &Arc<Faults>) -> Both {
    let fragile = || Fragile {
        memory: Memory::builder().clock(clock.clone()).build(),
        faults: Arc::clone(faults),
    };
    let owner = |record: &Record| Owner::new(str::from_utf8(&record.data).ok()?).ok();
    Successor::new(fragile(), fragile()).owner(owner).unwrap()
}

fn stores() -> (ManualClock, Both) {
    let clock = ManualClock::default();
    let store = stores_on(&clock, &Arc::default());
    (clock, store)
}

fn idle() -> Lifetime {
    Lifetime::idle(MINUTE).unwrap()
}

async fn put(store: &Fragile, id: &str, lifetime: Lifetime) -> Key {
    let key = Key::with_plain_id(id);
    store.memory.insert(&key, &NewRecord::new("1", lifetime)).await.unwrap();
    key
}

async fn move_all(store: &Both) -> Moved {
    let moved = store.move_page(None, 100).await.unwrap();
    assert!(moved.next.is_none());
    moved
}

async fn data(store: &impl Store, key: &Key) -> Option<bytes::Bytes> {
    store.load(key, Touch::No).await.unwrap().map(|record| record.data)
}

/// Every way in which a move of one session can end half way: each of its steps fails, done or not
/// done. Hands each to the test, with the session's key.
async fn after_each_broken_move<F: Future<Output = ()>>(test: impl Fn(Both, Key) -> F) {
    for after in [false, true] {
        let mut step = 1;
        loop {
            let faults = Faults { at: step.into(), after, ..Faults::default() };
            let faults = Arc::new(faults);
            let store = stores_on(&ManualClock::default(), &faults);
            let key = put(&store.old, "old", idle()).await;
            let is_whole = store.move_page(None, 100).await.is_ok_and(|page| page.moved == 1);
            faults.heal();
            test(store, key).await;
            if is_whole {
                break;
            }
            step += 1;
        }
        assert_eq!(step, 6, "a page, a copy, a note, its key, and the note's end");
    }
}

#[tokio::test]
async fn a_session_is_there_whatever_step_of_its_move_fails() {
    after_each_broken_move(async |store, key| {
        let mut listed = store.scan(None, 10).await.unwrap().records;
        listed.extend(store.scan(Some(&Cursor::new([NEW])), 10).await.unwrap().records);
        assert!(listed.iter().any(|(listed, record)| *listed == key && record.data == "1"));
        assert!(listed.iter().all(|(_, record)| record.data == "1"));
        assert_eq!(data(&store, &key).await.unwrap(), "1");
        move_all(&store).await;
        assert_eq!(data(&store, &key).await.unwrap(), "1");
        assert_eq!(data(&store.new.memory, &key).await.unwrap(), "1");
        assert_eq!(store.old.count().await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_change_is_kept_whatever_step_of_its_move_fails() {
    after_each_broken_move(async |store, key| {
        let replaced = store.replace(&key, &Write::new("2")).await.unwrap();
        assert!(matches!(replaced, Replaced::Done(_)));
        assert_eq!(data(&store, &key).await.unwrap(), "2");
        let version = store.touch(&key, Touch::No).await.unwrap().unwrap().version;
        let stale = Write { expected: Some(version.next()), ..Write::new("3") };
        assert_eq!(store.replace(&key, &stale).await.unwrap(), Replaced::Conflict);
        let fresh = Write { expected: Some(version), ..Write::new("4") };
        assert!(matches!(store.replace(&key, &fresh).await.unwrap(), Replaced::Done(_)));
        move_all(&store).await;
        assert_eq!(data(&store.new.memory, &key).await.unwrap(), "4");
    })
    .await;
}

#[tokio::test]
async fn what_was_ended_stays_so_whatever_step_of_its_move_fails() {
    after_each_broken_move(async |store, key| {
        assert_eq!(store.remove(&key, Condition::Always).await.unwrap(), Removed::Done);
        assert_eq!(store.remove(&key, Condition::Always).await.unwrap(), Removed::Missing);
        assert_eq!(data(&store, &key).await, None);
        assert_eq!(move_all(&store).await.moved, 0);
        assert_eq!(data(&store, &key).await, None);
    })
    .await;
    after_each_broken_move(async |store, key| {
        assert_eq!(store.take(&key).await.unwrap().unwrap().data, "1");
        assert!(store.take(&key).await.unwrap().is_none());
        move_all(&store).await;
        assert_eq!(data(&store, &key).await, None);
    })
    .await;
}

#[tokio::test]
async fn a_new_token_replaces_the_old_one_whatever_step_of_its_move_fails() {
    after_each_broken_move(async |store, key| {
        let to = Key::with_plain_id("to");
        let renamed = store.rename(&key, &to, Renewal::Authentication).await.unwrap();
        assert!(matches!(renamed, Renamed::Done(meta) if meta.authenticated_at.is_some()));
        for _ in 0..2 {
            assert_eq!(data(&store, &key).await, None);
            assert_eq!(data(&store, &to).await.unwrap(), "1");
            move_all(&store).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_owners_sessions_end_but_for_the_kept_one_whatever_step_of_their_move_fails() {
    let owner = Owner::new("1").unwrap();
    for keeps_the_moved in [true, false] {
        after_each_broken_move(async |store, key| {
            let other = put(&store.old, "other", idle()).await;
            let (kept, ended) = if keeps_the_moved { (key, other) } else { (other, key) };
            for kept in [&kept, &bare(&kept)] {
                store.remove_owned(&owner, Some(kept)).await.unwrap();
            }
            for _ in 0..2 {
                assert_eq!(data(&store, &kept).await.unwrap(), "1");
                assert_eq!(data(&store, &ended).await, None);
                move_all(&store).await;
            }
        })
        .await;
    }
}

/// Lets two calls meet at every pair of their steps: the first goes so far, then the second, then the
/// first to its end, and the second to its own. `check` gets the first one's answer.
async fn at_each_step<R>(
    first: impl AsyncFn(Both, Key) -> R,
    second: impl AsyncFn(Both, Key),
    check: impl AsyncFn(Both, Key, R),
) {
    for (one, two) in (0..40).flat_map(|one| (0..40).map(move |two| (one, two))) {
        let (_, store) = stores();
        let key = put(&store.old, "old", idle()).await;
        let mut first = pin!(first(store.clone(), key.clone()));
        let mut second = pin!(second(store.clone(), key.clone()));
        let answer = go(first.as_mut(), one);
        let is_over = go(second.as_mut(), two).is_some();
        let answer = match answer {
            Some(answer) => answer,
            None => first.await,
        };
        if !is_over {
            second.await;
        }
        check(store, key, answer).await;
    }
}

/// Polls a future so often, unless it is done before.
fn go<R>(mut future: Pin<&mut impl Future<Output = R>>, steps: usize) -> Option<R> {
    let mut context = Context::from_waker(Waker::noop());
    (0..steps).find_map(|_| match future.as_mut().poll(&mut context) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    })
}

async fn moves(store: Both, _: Key) {
    let moved = store.move_page(None, 100).await.unwrap();
    assert!(moved.failed.is_empty(), "{moved:?}");
}

#[tokio::test]
async fn a_session_that_is_ended_by_its_public_id_while_it_moves_is_dead() {
    let ends =
        async |store: Both, key: Key| store.remove(&bare(&key), Condition::Always).await.unwrap();
    let check = async |store: Both, key: Key, removed: Removed| {
        assert_eq!((removed, data(&store, &key).await), (Removed::Done, None));
        assert_eq!(store.old.count().await.unwrap(), 0);
    };
    at_each_step(ends, moves, check).await;
}

#[tokio::test]
async fn a_session_that_moves_is_among_its_owners() {
    let owner = Owner::new("1").unwrap();
    let owned = async |store: Both, _: Key| store.owned(&owner, 10).await.unwrap();
    let check = async |_: Both, key: Key, owned: Vec<(Key, Meta)>| {
        let keys: Vec<&Key> = owned.iter().map(|(key, _)| key).collect();
        assert_eq!(keys.iter().filter(|&&owned| *owned == key).count(), 1, "{keys:?}");
    };
    at_each_step(owned, moves, check).await;
}

#[tokio::test]
async fn a_new_token_from_an_instance_of_before_replaces_the_old_one_while_the_session_moves() {
    let to = Key::with_plain_id("to");
    let renames = async |store: Both, key: Key| {
        let renamed = store.begin_in_old().rename(&key, &to, Renewal::Key).await.unwrap();
        assert!(matches!(renamed, Renamed::Done(_)), "{renamed:?}");
    };
    let check = async |store: Both, key: Key, ()| {
        for _ in 0..2 {
            assert_eq!(data(&store, &key).await, None);
            assert_eq!(data(&store, &to).await.unwrap(), "1");
            move_all(&store).await;
        }
    };
    at_each_step(renames, moves, check).await;
    at_each_step(moves, renames, check).await;
}

#[tokio::test]
async fn a_change_while_a_session_moves_leaves_one_session_with_it() {
    let changes = async |store: Both, key: Key| {
        let replaced = store.replace(&key, &Write::new("2")).await.unwrap();
        assert!(matches!(replaced, Replaced::Done(_)));
    };
    let check = async |store: Both, key: Key, ()| {
        move_all(&store).await;
        assert_eq!(data(&store, &key).await.unwrap(), "2");
        assert_eq!(store.count().await.unwrap(), 1);
    };
    at_each_step(moves, changes, check).await;
    at_each_step(changes, moves, check).await;
}

#[tokio::test]
async fn a_note_that_is_denied_though_it_was_written_loses_nothing() {
    let (_, store) = stores();
    let key = put(&store.old, "old", idle()).await;
    store.old.faults.denies.store(true, Ordering::Relaxed);
    assert_eq!(move_all(&store).await.moved, 1);
    assert_eq!(data(&store, &key).await.unwrap(), "1");
    assert_eq!(store.count().await.unwrap(), 1);
}

#[tokio::test]
async fn a_store_that_takes_no_note_leaves_no_copies_behind() {
    let faults = Arc::new(Faults { at: 3.into(), is_full: true, ..Faults::default() });
    let store = stores_on(&ManualClock::default(), &faults);
    let key = put(&store.old, "old", idle()).await;
    let moved = move_all(&store).await;
    assert!(moved.failed[0].1.is_retryable(), "{moved:?}");
    assert_eq!(store.new.count().await.unwrap(), 0);
    assert_eq!(data(&store, &key).await.unwrap(), "1");
}

#[tokio::test]
async fn a_note_that_leads_nowhere_stays_for_the_mover() {
    let (_, store) = stores();
    let key = put(&store.old, "old", idle()).await;
    let note = Write::new(r#"{"token-session:moved":"7"}"#);
    store.old.replace(&key, &note).await.unwrap();
    let refused = store.load(&key, Touch::No).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Refused);
    assert_eq!(store.old.count().await.unwrap(), 1);
    assert_eq!(move_all(&store).await.gone, 1);
    assert_eq!(store.old.count().await.unwrap(), 0);
    assert_eq!(data(&store, &key).await, None);
}

#[tokio::test]
async fn a_service_that_finds_a_note_to_another_store_than_its_own_says_so() {
    let (_, store) = stores();
    let key = put(&store.old, "old", idle()).await;
    let elsewhere = Successor::new(Fragile::default(), store.old.clone());
    let record = store.old.load(&key, Touch::No).await.unwrap().unwrap();
    store.old.faults.at.store(5, Ordering::Relaxed);
    assert!(
        store.move_one(&key, record).await.is_err(),
        "it was to be killed before its last step"
    );
    store.old.faults.heal();

    let write = Write::new("2");
    let refusals = [
        elsewhere.load(&key, Touch::No).await.err(),
        elsewhere.touch(&key, Touch::No).await.err(),
        elsewhere.take(&key).await.err(),
        elsewhere.replace(&key, &write).await.err(),
        elsewhere.rename(&key, &Key::with_plain_id("to"), Renewal::Key).await.err(),
        elsewhere.remove(&key, Condition::Always).await.err(),
    ];
    for refused in refusals.map(Option::unwrap) {
        assert_eq!(refused.kind(), StoreErrorKind::Refused);
        assert!(refused.to_string().contains(&key.to_string()), "{refused}");
    }
    assert!(elsewhere.scan(None, 10).await.unwrap().records.is_empty());
    assert_eq!(data(&store, &key).await.unwrap(), "1", "where it was moved to, it is");
}

/// Movers that are killed and begun again, writers, new tokens and logouts, all at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_revived_while_movers_come_and_go() {
    for round in 0..30 {
        let (_, store) = stores();
        let sessions = TokenSession::<u32, _>::builder().store(store.clone()).build().unwrap();
        let mut people = tokio::task::JoinSet::new();
        for number in 0..12 {
            let mut token = Token::random("").unwrap();
            put(&store.old, token.reveal(), Lifetime::idle(60 * MINUTE).unwrap()).await;
            let sessions = sessions.clone();
            people.spawn(async move {
                for count in 1..10 {
                    if number % 3 == 0 {
                        sessions.set(&token, &(1 + count)).await.unwrap();
                    } else {
                        sessions.update(&token, |data| *data += 1).await.unwrap();
                    }
                    if number % 3 == 1 && count % 4 == 0 {
                        let issued = sessions.regenerate(&token).await.unwrap();
                        let old = std::mem::replace(&mut token, issued.token);
                        assert!(sessions.get(&old).await.unwrap().is_none());
                    }
                    assert_eq!(*sessions.get(&token).await.unwrap().unwrap(), 1 + count);
                }
                if number % 3 == 2 {
                    assert!(sessions.destroy(&token).await.unwrap());
                }
                (number, token)
            });
        }
        let mut people = tokio::spawn(people.join_all());
        let people = loop {
            let movers: Vec<_> = (0..2)
                .map(|_| {
                    let store = store.clone();
                    tokio::spawn(async move { store.move_page(None, 100).await })
                })
                .collect();
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            for mover in movers {
                mover.abort();
                let _ = mover.await;
            }
            if people.is_finished() {
                break (&mut people).await.unwrap();
            }
        };
        move_all(&store).await;
        assert_eq!(store.old.count().await.unwrap(), 0);
        for (number, token) in people {
            let data = sessions.get(&token).await.unwrap().map(|session| *session);
            assert_eq!(data, (number % 3 != 2).then_some(10));
        }
    }
}

#[tokio::test]
async fn a_session_that_is_kept_is_kept_while_it_moves() {
    let owner = Owner::new("1").unwrap();
    let ends = async |store: Both, kept: Key| {
        let other = put(&store.old, "other", idle()).await;
        store.remove_owned(&owner, Some(&kept)).await.unwrap();
        assert_eq!(data(&store, &other).await, None);
    };
    let check = async |store: Both, kept: Key, ()| {
        assert_eq!(data(&store, &kept).await.unwrap(), "1");
        assert_eq!(data(&store, &Key::with_plain_id("other")).await, None);
    };
    at_each_step(ends, moves, check).await;
    at_each_step(moves, ends, check).await;
}

#[tokio::test]
async fn the_new_store_never_sees_a_token() {
    let (_, store) = stores();
    put(&store.old, "old", idle()).await;
    move_all(&store).await;
    let record = NewRecord::new("1", idle());
    store.insert(&Key::with_plain_id("new"), &record).await.unwrap();
    let renamed = Key::with_plain_id("renamed");
    store.rename(&Key::with_plain_id("new"), &renamed, Renewal::Key).await.unwrap();
    let page = store.new.scan(None, 10).await.unwrap();
    assert_eq!(page.records.len(), 2);
    assert!(page.records.iter().all(|(key, _)| key.plain_id().is_none()));

    let sessions = TokenSession::<u32>::in_memory();
    sessions.create(&1).await.unwrap();
    let page = sessions.store().scan(None, 10).await.unwrap();
    assert!(page.records.iter().all(|(key, _)| key.plain_id().is_none()));
}

#[tokio::test]
async fn a_session_ends_when_it_would_have_ended() {
    let (clock, store) = stores();
    let lifetime = Lifetime::idle(10 * MINUTE).unwrap().and_absolute(15 * MINUTE).unwrap();
    let both = put(&store.old, "both", lifetime).await;
    let absolute = put(&store.old, "absolute", Lifetime::absolute(15 * MINUTE).unwrap()).await;
    clock.advance(6 * MINUTE);
    assert_eq!(move_all(&store).await.moved, 2);
    for key in [&both, &absolute] {
        let meta = store.touch(key, Touch::After(Duration::ZERO)).await.unwrap().unwrap();
        assert_eq!(meta.deadline.unwrap().since(meta.now), 9 * MINUTE);
    }
    clock.advance(9 * MINUTE);
    assert!(data(&store, &both).await.is_none() && data(&store, &absolute).await.is_none());
}

#[tokio::test]
async fn what_cannot_move_stays_and_hinders_nothing_else() {
    let (_, store) = stores();
    for id in ["undefined", "null", "admin:17", "whole"] {
        put(&store.old, id, idle()).await;
    }
    let damaged = Key::with_plain_id("damaged");
    store.old.insert(&damaged, &NewRecord::new("{", idle())).await.unwrap();
    let moved = move_all(&store).await;
    assert_eq!((moved.moved, moved.gone), (1, 0));
    let mut failed: Vec<_> = moved.failed.iter().map(|(key, _)| key).collect();
    failed.sort_unstable_by_key(|key| key.plain_id());
    let of = |id| Key::with_plain_id(id);
    assert_eq!(failed, [&of("admin:17"), &damaged, &of("null"), &of("undefined")]);
    assert!(moved.failed.iter().all(|(_, error)| error.kind() == StoreErrorKind::Refused));
    assert!(moved.failed.iter().all(|(_, error)| !error.to_string().contains("admin")));
    assert_eq!(store.old.count().await.unwrap(), 4);
}

#[tokio::test]
async fn what_is_ended_by_its_public_id_leaves_no_note_of_a_killed_mover() {
    let (_, store) = stores();
    let key = put(&store.old, "anna", idle()).await;
    let record = store.old.load(&key, Touch::No).await.unwrap().unwrap();
    let staged = store.staged(&key, 7);
    store.stage(&staged, &record).await.unwrap();
    store.new.rename(&staged, &bare(&key), Renewal::Key).await.unwrap();
    let note = Write::new(r#"{"token-session:moved":"7"}"#);
    store.old.replace(&key, &note).await.unwrap();
    let removed = store.remove(&bare(&key), Condition::Always).await.unwrap();
    assert_eq!(removed, Removed::Done);
    assert!(store.load(&key, Touch::No).await.unwrap().is_none());
}

#[tokio::test]
async fn a_note_that_a_user_writes_opens_no_other_session() {
    let (_, store) = stores();
    let victim = put(&store.old, "victim", idle()).await;
    let record = store.load(&victim, Touch::No).await.unwrap().unwrap();
    store.stage(&store.staged(&victim, 7), &record).await.unwrap();
    let attacker = Key::with_plain_id("attacker");
    let note = NewRecord::new(r#"{"token-session:moved":"7"}"#, idle());
    store.old.insert(&attacker, &note).await.unwrap();
    let ended = store.load(&attacker, Touch::No).await.unwrap_err();
    assert_eq!(ended.kind(), StoreErrorKind::Refused, "its own session is all it has lost");
    move_all(&store).await;
    assert_eq!(data(&store, &attacker).await, None);
    assert_eq!(data(&store, &victim).await.unwrap(), "1");
}

#[tokio::test]
async fn sessions_of_both_stores_are_listed_and_counted() {
    let (_, store) = stores();
    for number in 0..7 {
        put(&store.old, &format!("old{number}"), idle()).await;
        let key = Key::with_plain_id(&format!("new{number}"));
        store.insert(&key, &NewRecord::new("1", idle())).await.unwrap();
    }
    assert_eq!(store.count().await.unwrap(), 14);
    let (mut keys, mut after) = (Vec::new(), None);
    loop {
        let page = store.scan(after.as_ref(), 3).await.unwrap();
        keys.extend(page.records.into_iter().map(|(key, _)| key));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(keys.len(), 14);
    // As an operator's page sends it back: without the id, which is shown to nobody.
    for key in keys.iter().map(bare) {
        assert_eq!(store.remove(&key, Condition::Always).await.unwrap(), Removed::Done);
        assert_eq!(store.remove(&key, Condition::Always).await.unwrap(), Removed::Missing);
    }
    assert_eq!(store.count().await.unwrap(), 0);
}

#[tokio::test]
async fn an_owner_has_the_sessions_of_both_stores() {
    let (clock, store) = stores();
    let (anna, bob) = (Owner::new("1").unwrap(), Owner::new("bob").unwrap());
    let old = put(&store.old, "old", idle()).await;
    clock.advance(Duration::from_secs(1));
    let new = Key::with_plain_id("new");
    let record = NewRecord { owner: Some(&anna), ..NewRecord::new("1", idle()) };
    store.insert(&new, &record).await.unwrap();
    let keys = async |limit| {
        let owned = store.owned(&anna, limit).await.unwrap();
        assert!(owned.iter().all(|(_, meta)| meta.owner.as_ref() == Some(&anna)));
        owned.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    assert_eq!(keys(10).await, [new.clone(), old.clone()]);
    assert_eq!(keys(1).await, std::slice::from_ref(&new));
    let loaded = store.load(&old, Touch::No).await.unwrap().unwrap();
    assert_eq!(loaded.meta.owner.as_ref(), Some(&anna));
    let of = |owner| Condition::Owner(owner);
    assert_eq!(store.remove(&old, of(&bob)).await.unwrap(), Removed::Conflict);
    store.remove_owned(&bob, None).await.unwrap();
    assert_eq!(keys(10).await.len(), 2);
    move_all(&store).await;
    assert_eq!(keys(10).await.len(), 2);
    assert_eq!(store.remove(&bare(&old), of(&anna)).await.unwrap(), Removed::Done);
    put(&store.old, "another", idle()).await;
    store.remove_owned(&anna, None).await.unwrap();
    assert_eq!(store.count().await.unwrap(), 0);
}

#[tokio::test]
async fn what_no_client_can_present_is_no_owners() {
    let (_, store) = stores();
    let anna = Owner::new("1").unwrap();
    let others = put(&store.old, "admin:17", idle()).await;
    assert!(store.owned(&anna, 10).await.unwrap().is_empty());
    store.remove_owned(&anna, None).await.unwrap();
    assert_eq!(data(&store.old, &others).await.unwrap(), "1");
}

#[tokio::test]
async fn a_session_begins_in_the_new_store_under_an_id_that_neither_has() {
    let (_, store) = stores();
    let key = put(&store.old, "taken", idle()).await;
    let record = NewRecord::new("1", idle());
    assert_eq!(store.insert(&key, &record).await.unwrap(), Inserted::KeyTaken);
    let key = Key::with_plain_id("free");
    store.insert(&key, &record).await.unwrap();
    assert!(data(&store.new, &key).await.is_some() && data(&store.old, &key).await.is_none());
}

#[tokio::test]
async fn instances_of_before_and_after_know_the_same_sessions() {
    let (_, store) = stores();
    let before = store.old.clone();
    let after = store.clone().begin_in_old();
    let key = Key::with_plain_id("begun");
    after.insert(&key, &NewRecord::new("1", idle())).await.unwrap();
    assert_eq!(data(&before, &key).await.unwrap(), "1");
    let renamed = Key::with_plain_id("renamed");
    let done = after.rename(&key, &renamed, Renewal::Key).await.unwrap();
    assert!(matches!(done, Renamed::Done(_)));
    assert_eq!(data(&before, &renamed).await.unwrap(), "1");
    // What the next deployment begins in the new store is known too.
    let key = Key::with_plain_id("next");
    store.insert(&key, &NewRecord::new("2", idle())).await.unwrap();
    assert_eq!(data(&after, &key).await.unwrap(), "2");
}
