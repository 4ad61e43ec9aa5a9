//! From each of Node's packages to each kind of store, all under names that are not the default ones.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mongodb::bson::{DateTime, Document, doc};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, MySqlPool, PgPool};
use token_session::store::compat::{ConnectPgSimple, ExpressMysql, Shape};
use token_session::store::{MongoDb, MySql, Postgres, Redis, Store};
use token_session::{Lifetime, Owner, Token, TokenSession};

use super::{BOUND, Move, fresh_name, ids, migrate, printed, random_tokens, wrapped};

const SESSIONS: usize = 20;

/// What the Node service has as its `ttl`, and no package as its default.
const TTL: Duration = Duration::from_secs(7200);

fn data(number: usize) -> Value {
    json!({"user": {"id": number % 2}, "number": number})
}

/// Begins sessions as the Node service does.
async fn begin(old: impl Store) -> Vec<Token> {
    let node = TokenSession::<Value>::builder().store(old).lifetime(idle()).build().unwrap();
    let mut tokens = Vec::new();
    for number in 0..SESSIONS {
        tokens.push(node.create(&data(number)).await.unwrap().token);
    }
    tokens
}

fn idle() -> Lifetime {
    Lifetime::idle(TTL).unwrap()
}

fn run(program: &mut Command) {
    let (out, complaint) = printed(&program.args(["--ttl", "7200"]).output().unwrap());
    assert_eq!(out, format!("{SESSIONS} sessions have moved, 0 stay\n"), "{complaint}");
}

/// That the service has each session in the new store, as it was.
async fn all_have_moved<S: Store>(new: S, tokens: &[Token]) -> TokenSession<Value> {
    let service = TokenSession::<Value>::builder().store(new).build().unwrap();
    for (number, token) in tokens.iter().enumerate() {
        let session = service.get(token).await.unwrap().expect("it was logged out");
        assert_eq!(session.data, data(number));
        assert_eq!(session.meta.lifetime, idle());
    }
    assert_eq!(service.count().await.unwrap(), SESSIONS as u64);
    service
}

async fn half_are_of_each_owner(service: TokenSession<Value>) {
    for owner in ["0", "1"] {
        let owned = service.owned(&Owner::new(owner).unwrap(), SESSIONS).await.unwrap();
        assert_eq!(owned.len(), SESSIONS / 2);
    }
}

async fn mysql_database(name: &str) -> MySqlPool {
    let pool = MySqlPool::connect(test_servers::mysql_url()).await.unwrap();
    let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::raw_sql(create).execute(&pool).await.unwrap();
    pool
}

async fn postgres_schema(name: &str) -> PgPool {
    let pool = PgPool::connect(test_servers::postgres_url()).await.unwrap();
    let create = AssertSqlSafe(format!("CREATE SCHEMA {name}"));
    sqlx::raw_sql(create).execute(&pool).await.unwrap();
    pool
}

fn mongodb_url(database: &str) -> String {
    let url = test_servers::mongodb_url().replacen("/?", &format!("/{database}?"), 1);
    assert!(url.contains(database), "{url} names a database already");
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_express_mysql_session_to_postgres() {
    let name = fresh_name();
    let pool = mysql_database(&name).await;
    let table = AssertSqlSafe(format!(
        "CREATE TABLE {name}.logins (sid varchar(128) COLLATE utf8mb4_bin PRIMARY KEY,
         ends int unsigned NOT NULL, body mediumtext COLLATE utf8mb4_bin)"
    ));
    sqlx::raw_sql(table).execute(&pool).await.unwrap();
    let old = ExpressMysql::new(pool, Shape::express().ttl(TTL).unwrap()).timeout(BOUND);
    let old = old.table(Some(&name), "logins").unwrap().columns("sid", "ends", "body").unwrap();
    let tokens = begin(old).await;

    let pool = postgres_schema(&name).await;
    let mut program = migrate(test_servers::mysql_url());
    program.args(["--schema", &name, "--place", "logins", "--columns", "sid,ends,body"]);
    program.args(["--shape", "express", "--owner", "/user/id"]);
    program.args(["--to", test_servers::postgres_url(), "--to-schema", &name]);
    run(program.args(["--to-place", "moved", "--to-empty"]));

    let new = Postgres::builder().schema(&name).table("moved").timeout(BOUND).build(pool).unwrap();
    half_are_of_each_owner(all_have_moved(new, &tokens).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_connect_pg_simple_to_mysql() {
    let (name, zone) = (fresh_name(), "Asia/Tokyo");
    let pool = postgres_schema(&name).await;
    let table = AssertSqlSafe(format!(
        "CREATE TABLE {name}.logins
         (sid varchar PRIMARY KEY, sess json NOT NULL, expire timestamp(6) NOT NULL)"
    ));
    sqlx::raw_sql(table).execute(&pool).await.unwrap();
    let shape = Shape::token_session().ttl(TTL).unwrap();
    let old = ConnectPgSimple::new(pool, shape, zone).table(Some(&name), "logins").unwrap();
    let tokens = begin(old.timeout(BOUND)).await;

    let pool = mysql_database(&name).await;
    let mut program = migrate(test_servers::postgres_url());
    program.args(["--schema", &name, "--place", "logins", "--time-zone", zone]);
    program.args(["--shape", "token-session", "--owner", "/user/id"]);
    program.args(["--to", test_servers::mysql_url(), "--to-schema", &name]);
    run(program.args(["--to-place", "moved", "--to-empty"]));

    let new = MySql::builder().schema(&name).table("moved").timeout(BOUND).build(pool).unwrap();
    half_are_of_each_owner(all_have_moved(new, &tokens).await).await;
}

/// Where there are partitions, there are no owners.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_connect_mongo_to_redis_with_partitions() {
    let (name, tokens) = (fresh_name(), random_tokens(SESSIONS));
    let client = mongodb::Client::with_uri_str(test_servers::mongodb_url()).await.unwrap();
    let expires = DateTime::from_millis(DateTime::now().timestamp_millis() + 3_600_000);
    let document = |(number, id): (usize, String)| {
        // As `touch` of `token-session` wraps it again.
        let twice = wrapped(json!({"cookie": {"maxAge": 0}, "data": data(number)}));
        doc! { "_id": id, "expires": expires, "session": twice }
    };
    let logins = client.database(&name).collection::<Document>("logins");
    logins.insert_many(ids(&tokens).enumerate().map(document)).await.unwrap();

    let prefix = format!("{name}:");
    let mut program = migrate(&mongodb_url(&name));
    program.args(["--place", "logins", "--shape", "token-session", "--unwrap"]);
    program.args(["--to", test_servers::redis_url(), "--to-place", &prefix]);
    run(program.args(["--to-partitions", "16", "--to-empty"]));

    let new = Redis::builder().prefix(prefix).partitions(16).timeout(BOUND).connect_timeout(BOUND);
    all_have_moved(new.connect(test_servers::redis_url()).await.unwrap(), &tokens).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_connect_redis_to_mongodb_with_partitions() {
    let (there, name) = (Move::new("tomongo").await, fresh_name());
    let tokens = random_tokens(SESSIONS);
    there.put(ids(&tokens).zip((0..SESSIONS).map(|number| wrapped(data(number)))));

    let mut program = migrate(test_servers::redis_url());
    program.args(["--place", &there.prefix, "--shape", "token-session"]);
    program.args(["--to", &mongodb_url(&name), "--to-place", "moved"]);
    run(program.args(["--to-partitions", "8", "--to-empty"]));

    let new = MongoDb::builder().collection("moved").partitions(8).timeout(BOUND);
    all_have_moved(new.connect(&mongodb_url(&name)).await.unwrap(), &tokens).await;
}

/// In the old store a session begins for each that leaves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_service_that_goes_on_is_followed_no_longer_than_patience_says() {
    let name = fresh_name();
    let pool = postgres_schema(&name).await;
    let sql = AssertSqlSafe(format!(
        r#"CREATE TABLE {name}.logins
           (sid varchar PRIMARY KEY, sess json NOT NULL, expire timestamp(6) NOT NULL);
           CREATE FUNCTION {name}.begin_another() RETURNS trigger AS $$ BEGIN
             INSERT INTO {name}.logins VALUES
               (gen_random_uuid(), '{{"cookie":{{"maxAge":0}},"data":1}}', OLD.expire);
             RETURN NULL;
           END $$ LANGUAGE plpgsql;
           CREATE TRIGGER goes_on AFTER DELETE ON {name}.logins
             FOR EACH ROW EXECUTE FUNCTION {name}.begin_another()"#
    ));
    sqlx::raw_sql(sql).execute(&pool).await.unwrap();
    let old = ConnectPgSimple::new(pool, Shape::token_session(), "UTC").timeout(BOUND);
    begin(old.table(Some(&name), "logins").unwrap()).await;

    let folder = tempfile::tempdir().unwrap();
    let mut program = migrate(test_servers::postgres_url());
    program.args(["--schema", &name, "--place", "logins", "--time-zone", "UTC"]);
    program.args(["--shape", "token-session", "--to-empty", "--patience", "1"]);
    let file = folder.path().join("sessions.db");
    program.args(["--to", &format!("sqlite:{}", file.display())]);
    let mut program = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while program.try_wait().unwrap().is_none() {
        if begun.elapsed() > BOUND {
            program.kill().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let output = program.wait_with_output().unwrap();
    let (out, complaint) = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{out}{complaint}");
    assert!(complaint.contains("they still begin there"), "{complaint}");
    let moved: usize = out.split_once(' ').unwrap().0.parse().unwrap();
    assert!(moved > SESSIONS, "{out}");
}
