//! What clients that hang up cost the others, on each store.
//!
//! `cargo run --release --bin hang_ups [STORE]`, on servers of its own. Four honest clients wait for each
//! answer. Beside them are 20 that wait too, and then 20 that give up after a millisecond, by turns. A
//! ratio of 1 means that those who hang up cost the honest clients nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{MySqlPool, PgPool};
use test_servers as servers;
use token_session::store::compat::{ConnectPgSimple, ExpressMysql, Shape};
use token_session::store::{MongoDb, MySql, Postgres, Redis, Sqlite, Store};
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
async fn report(name: &str, store: impl Store) {
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
async fn honest(
    sessions: &TokenSession<Value>,
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

const PG_SIMPLE: &str = "
CREATE TABLE session (sid varchar PRIMARY KEY, sess json NOT NULL, expire timestamp(6) NOT NULL)";

const EXPRESS_MYSQL: &str = "
CREATE TABLE sessions (session_id varchar(128) COLLATE utf8mb4_bin PRIMARY KEY,
                       expires int unsigned NOT NULL, data mediumtext COLLATE utf8mb4_bin)";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wanted = std::env::args().nth(1);
    let is_wanted = |name| wanted.as_deref().is_none_or(|wanted| wanted == name);
    if is_wanted("sqlite") {
        let folder = std::env::temp_dir().join(format!("hang-ups-{}", std::process::id()));
        std::fs::create_dir(&folder)?;
        let store = Sqlite::connect(&format!("sqlite:{}/sessions.db", folder.display())).await?;
        store.migrate().await?;
        report("SQLite", store).await;
        std::fs::remove_dir_all(folder)?;
    }
    if is_wanted("redis") {
        let server = servers::Redis::start()?;
        report("Redis", Redis::connect(server.url()).await?).await;
    }
    if is_wanted("postgres") {
        let server = servers::Postgres::start()?;
        let store = Postgres::connect(server.url()).await?;
        store.migrate().await?;
        report("PostgreSQL", store).await;
        let admin = PgPool::connect(server.url()).await?;
        sqlx::query(PG_SIMPLE).execute(&admin).await?;
        let store = ConnectPgSimple::connect(server.url(), Shape::token_session(), "UTC").await?;
        report("connect-pg-simple", store).await;
    }
    if is_wanted("mysql") {
        let server = servers::MariaDb::start()?;
        let store = MySql::connect(server.url()).await?;
        store.migrate().await?;
        report("MySQL (MariaDB)", store).await;
        let admin = MySqlPool::connect(server.url()).await?;
        sqlx::query(EXPRESS_MYSQL).execute(&admin).await?;
        let store = ExpressMysql::connect(server.url(), Shape::token_session()).await?;
        report("express-mysql-session", store).await;
    }
    if is_wanted("mongodb") {
        let server = servers::MongoDb::start()?;
        let store = MongoDb::connect(&server.url().replacen("/?", "/hang_ups?", 1)).await?;
        store.migrate().await?;
        report("MongoDB (a stand-in)", store).await;
    }
    Ok(())
}
