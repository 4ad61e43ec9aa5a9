//! The one writer: which operations share a commit, what waits, and when the writer ends.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
use token_session::store::{
    Listing, Load, NewProof, NewRecord, Replaced, Sqlite, Store, StoreErrorKind, Touch, Write,
};
use token_session::{Claim, Proof};
use tokio::task::{JoinSet, unconstrained};
use tokio::time::timeout;

use crate::folder::{Folder, find, put, random_key, record, run};

const BOUND: Duration = Duration::from_secs(60);

/// How many commits a write-ahead log holds. It is a header of 32 bytes and a list of frames. Only the
/// last frame of a commit holds the size of the database (<https://sqlite.org/fileformat2.html>).
fn commits(log: &[u8]) -> usize {
    let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
    let frame = 24 + number(8) as usize;
    (32..log.len()).step_by(frame).filter(|at| number(at + 4) > 0).count()
}

/// A store whose log keeps all commits.
async fn with_log(folder: &Folder) -> Sqlite {
    let options = SqliteConnectOptions::new()
        .filename(folder.file("sessions.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .pragma("wal_autocheckpoint", "0");
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let store = Sqlite::builder().timeout(BOUND).build(pool).unwrap();
    store.migrate().await.unwrap();
    store
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn operations_that_arrive_together_share_a_commit() {
    let folder = Folder::new();
    let store = with_log(&folder).await;
    let log = || std::fs::read(folder.file("sessions.db-wal")).unwrap();
    let before = commits(&log());

    // All of them wait while another process writes.
    let mut other = folder.beside("sessions.db").await;
    run(&mut other, "BEGIN IMMEDIATE").await;
    // Otherwise the runtime would pause a task that sends so many messages.
    let insert = |_| Box::pin(unconstrained(put(&store)));
    let mut inserts: Vec<_> = (0..1_000).map(insert).collect();
    for insert in &mut inserts {
        let waits = poll_fn(|context| Poll::Ready(insert.as_mut().poll(context).is_pending()));
        assert!(waits.await);
    }
    run(&mut other, "COMMIT").await;
    let mut keys = Vec::new();
    for insert in inserts {
        keys.push(insert.await);
    }
    let shared = commits(&log()) - before;
    assert!((1..=6).contains(&shared), "{shared} commits for 1,000 operations");
    for key in keys {
        assert!(find(&store, &key).await.is_some());
    }

    let before = commits(&log());
    for _ in 0..10 {
        put(&store).await;
    }
    assert_eq!(commits(&log()) - before, 10, "one alone is not kept waiting for others");
}

#[tokio::test]
async fn a_load_commits_a_due_touch_and_a_confirmation_together_and_nothing_else() {
    let folder = Folder::new();
    let store = with_log(&folder).await;
    let log = || std::fs::read(folder.file("sessions.db-wal")).unwrap();
    let proofs = [1, 2].map(|byte| Proof::from_bytes([byte; Proof::LEN]));
    let [old, new] = proofs.map(|proof| Claim::new(proof, Duration::from_secs(60)));
    let key = random_key();
    store.insert(&key, &NewRecord { proof: Some(proofs[0]), ..record() }).await.unwrap();
    let sealed = "the next secret".into();
    let handover = NewProof::Rotated { next: proofs[1], sealed };
    let handover = Write { claim: Some(&old), proof: Some(handover), ..Write::default() };
    assert!(matches!(store.replace(&key, &handover).await.unwrap(), Replaced::Done(_)));

    let unseen = Touch::After(Duration::from_secs(60));
    let seen = Touch::After(Duration::ZERO);
    for (claim, touch, expected) in
        [(&old, unseen, 0), (&new, seen, 1), (&new, unseen, 0), (&old, unseen, 0)]
    {
        let before = commits(&log());
        // A touch needs a later millisecond.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let load = Load { claim: Some(claim), touch, ..Load::new() };
        assert!(store.load(&key, &load).await.unwrap().live().is_some());
        assert_eq!(commits(&log()) - before, expected);
    }
    let stored = find(&store, &key).await.unwrap();
    assert!(stored.meta.last_seen > stored.meta.created_at);
    let previous = stored.proofs.previous.unwrap();
    assert!(previous.confirmed_at.is_some() && previous.sealed.is_none());
}

#[tokio::test]
async fn a_read_does_not_wait_for_a_long_write_and_a_write_waits_up_to_the_timeout() {
    let folder = Folder::new();
    let patient = folder.store("sessions.db", Sqlite::builder().timeout(BOUND)).await;
    let key = put(&patient).await;
    let hasty = Sqlite::builder().timeout(Duration::from_secs(3));
    let hasty = hasty.connect(&folder.url("sessions.db")).await.unwrap();
    let mut other = folder.beside("sessions.db").await;
    run(&mut other, "BEGIN IMMEDIATE; UPDATE token_sessions SET data = 'theirs'").await;

    let found = timeout(BOUND, find(&patient, &key)).await;
    assert_eq!(found.unwrap().unwrap().data, "data");
    assert_eq!(patient.count().await.unwrap(), 1);
    let ours = Write::data("ours");
    let write = timeout(BOUND, hasty.replace(&key, &ours)).await;
    let error = write.unwrap().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");

    run(&mut other, "COMMIT").await;
    // The write that failed as unavailable may still take place after the lock is free.
    let data = find(&patient, &key).await.unwrap().data;
    assert!(["theirs", "ours"].iter().any(|written| data == written), "{data:?}");
    let begun = Instant::now();
    // The writer may still wait for the lock.
    while let Err(error) = hasty.replace(&key, &ours).await {
        assert!(begun.elapsed() < BOUND, "{error}");
    }
    assert_eq!(find(&patient, &key).await.unwrap().data, "ours");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_writers_of_one_file_take_turns() {
    let folder = Folder::new();
    let [one, two] = [
        folder.store("sessions.db", Sqlite::builder().timeout(BOUND)).await,
        folder.store("sessions.db", Sqlite::builder().timeout(BOUND)).await,
    ];
    let inserts: JoinSet<_> = (0..500)
        .map(|turn| {
            let store = if turn % 2 == 0 { one.clone() } else { two.clone() };
            async move { put(&store).await }
        })
        .collect();
    let keys = inserts.join_all().await;
    for key in keys {
        assert!(find(&one, &key).await.is_some());
        assert!(find(&two, &key).await.is_some());
    }
}

#[tokio::test]
async fn the_writer_ends_with_its_store() {
    let folder = Folder::new();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let store = folder.store("sessions.db", Sqlite::builder()).await;
    put(&store).await;
    assert!(tasks() > before);
    drop(store);
    let begun = Instant::now();
    while tasks() > before {
        assert!(begun.elapsed() < BOUND, "a task goes on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_store_whose_runtime_has_ended_is_unavailable() {
    let folder = Folder::new();
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let first = runtime();
    let store = first.block_on(folder.store("sessions.db", Sqlite::builder()));
    drop(first);
    let insert = runtime().block_on(store.insert(&random_key(), &record()));
    assert_eq!(insert.unwrap_err().kind(), StoreErrorKind::Unavailable);
}
