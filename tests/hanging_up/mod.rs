//! What clients that hang up cost the others, on any store: a measurement, for
//! `cargo test --release --all-features beside_others -- --ignored --nocapture --test-threads 1`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use token_session::store::Store;
use token_session::{Token, TokenSession};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Who waits for each answer.
const HONEST: usize = 4;
/// Who gives up after [`PATIENCE`], or waits too, beside them.
const OTHERS: usize = 20;
const PATIENCE: Duration = Duration::from_millis(1);

/// Measures how many sessions per second the honest clients get: beside others that wait, and beside
/// others that hang up. The rounds of both alternate.
pub async fn report<S: Store>(name: &str, store: S) {
    const ROUNDS: usize = 4;
    let round = Duration::from_millis(1_500);
    let sessions = TokenSession::<Value>::builder().store(store).build().unwrap();
    let mut tokens = Vec::new();
    for number in 0..HONEST + OTHERS {
        tokens.push(sessions.create(&json!({ "number": number })).await.unwrap().token);
    }
    let tokens: Arc<[Token]> = tokens.into();
    honest(&sessions, &tokens, false, round).await;
    let mut answers = [0; 2];
    for _ in 0..ROUNDS {
        for hang_up in [false, true] {
            answers[usize::from(hang_up)] += honest(&sessions, &tokens, hang_up, round).await;
        }
    }
    let [waiting, hanging_up] =
        answers.map(|answers| answers as f64 / (round * ROUNDS as u32).as_secs_f64());
    println!(
        "{name}: {waiting:.0}/s beside {OTHERS} that wait, {hanging_up:.0}/s beside {OTHERS} that hang \
         up, ratio {:.2}",
        hanging_up / waiting
    );
}

/// How many answers the honest clients get in a time.
async fn honest<S: Store>(
    sessions: &TokenSession<Value, S>,
    tokens: &Arc<[Token]>,
    hang_up: bool,
    time: Duration,
) -> usize {
    let (answers, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut clients = JoinSet::new();
    for client in 0..HONEST + OTHERS {
        let (sessions, tokens) = (sessions.clone(), Arc::clone(tokens));
        let (answers, ended) = (Arc::clone(&answers), Arc::clone(&ended));
        clients.spawn(async move {
            while !ended.load(Ordering::Relaxed) {
                let get = sessions.get(&tokens[client]);
                if client < HONEST {
                    if get.await.is_ok_and(|found| found.is_some()) {
                        answers.fetch_add(1, Ordering::Relaxed);
                    }
                } else if hang_up {
                    let _ = timeout(PATIENCE, get).await;
                } else {
                    let _ = get.await;
                }
            }
        });
    }
    sleep(time).await;
    let answered = answers.load(Ordering::Relaxed);
    ended.store(true, Ordering::Relaxed);
    clients.join_all().await;
    answered
}
