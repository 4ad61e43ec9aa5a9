//! The example `migrate`: here from Redis, as connect-redis keeps sessions there, to a file.

#[path = "migrate/manual.rs"]
mod manual;
#[path = "migrate/sources.rs"]
mod sources;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use redis::Commands;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use test_servers::fresh_name;
use token_session::store::compat::{ConnectRedis, Shape, Successor};
use token_session::store::{Listing, Redis, Sqlite, Store, StoreErrorKind};
use token_session::{Key, Owner, Token, TokenSession};

/// Far longer than anything here takes.
const BOUND: Duration = Duration::from_secs(60);

/// A prefix in Redis that nothing else has, and a file in which one session has begun.
struct Move {
    server: String,
    old: ConnectRedis,
    prefix: String,
    folder: TempDir,
}

impl Move {
    async fn new(prefix: &str) -> Self {
        Self::from(test_servers::redis_url(), &format!("{prefix}{}:", fresh_name())).await
    }

    async fn from(server: &str, prefix: &str) -> Self {
        let connection = Redis::builder().connect_timeout(BOUND).connection(server).await.unwrap();
        let old = ConnectRedis::new(connection, Shape::token_session()).prefix(prefix);
        let (server, prefix) = (server.to_owned(), prefix.to_owned());
        let folder = tempfile::tempdir().unwrap();
        let there = Self { server, old: old.timeout(BOUND), prefix, folder };
        there.service(|new| new).await.create(&json!("begun in the new store")).await.unwrap();
        there
    }

    fn target(&self) -> String {
        format!("sqlite:{}", self.folder.path().join("sessions.db").display())
    }

    /// A connection that waits for its answers.
    fn redis(&self) -> redis::Connection {
        redis::Client::open(&*self.server).unwrap().get_connection().unwrap()
    }

    /// Puts records there as Node does.
    fn put(&self, records: impl IntoIterator<Item = (String, String)>) {
        let mut pipeline = redis::pipe();
        for (id, text) in records {
            pipeline.cmd("SET").arg(format!("{}{id}", self.prefix)).arg(text).arg("EX").arg(3600);
        }
        pipeline.exec(&mut self.redis()).unwrap();
    }

    /// The record under an id, as it stands there.
    fn text(&self, id: &str) -> Option<String> {
        self.redis().get(format!("{}{id}", self.prefix)).unwrap()
    }

    fn program(&self) -> Command {
        let mut program = self.program_without_place();
        program.args(["--place", &self.prefix]);
        program
    }

    fn program_without_place(&self) -> Command {
        let mut program = migrate(&self.server);
        program.args(["--shape", "token-session", "--owner", "/user/id"]);
        program.env("MIGRATE_TO", self.target());
        program
    }

    /// The service, in both stores or, when all have moved, in the new one.
    async fn service<S: Store>(&self, store: impl Fn(Sqlite) -> S) -> TokenSession<Value> {
        let new = Sqlite::builder().timeout(BOUND).connect(&self.target()).await.unwrap();
        new.migrate().await.unwrap();
        TokenSession::builder().store(store(new)).build().unwrap()
    }
}

fn migrate(from: &str) -> Command {
    let mut program = Command::new(test_servers::example("migrate").unwrap());
    program.args(["--from", from]);
    program
}

/// What `token-session` 1.1 writes.
fn wrapped(data: impl Into<Value>) -> String {
    json!({"cookie": {"maxAge": 0}, "data": data.into()}).to_string()
}

fn random_tokens(number: usize) -> Vec<Token> {
    (0..number).map(|_| Token::random("").unwrap()).collect()
}

fn ids(tokens: &[Token]) -> impl Iterator<Item = String> {
    tokens.iter().map(|token| token.reveal().to_owned())
}

fn key(id: &str) -> String {
    let digest = Sha256::digest(id);
    Key::from_bytes(*digest.first_chunk().unwrap()).to_string()
}

fn printed(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_migration_goes_on_where_it_was_and_nobody_is_logged_out() {
    const SESSIONS: usize = 5_000;
    let there = Move::new("killed").await;
    let tokens = random_tokens(SESSIONS);
    let record = |number| wrapped(json!({"user": {"id": number % 1000}, "number": number}));
    there.put(ids(&tokens).zip((0..SESSIONS).map(record)));

    let mut program = there.program();
    let mut killed = program.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while there.old.count().await.unwrap() == SESSIONS as u64 {
        let ended = killed.try_wait().unwrap();
        assert!(ended.is_none(), "it ends before it has moved anything: {ended:?}");
    }
    killed.kill().unwrap();
    killed.wait().unwrap();

    let old = there.old.clone();
    let service = there.service(|new| Successor::new(new, old.clone())).await;
    for (number, token) in tokens.iter().enumerate() {
        let session = service.get(token).await.unwrap().expect("it was logged out");
        assert_eq!(session.data["number"], json!(number));
    }

    let left = there.old.count().await.unwrap();
    assert!(left > 0, "it was done before it could be killed");
    let (out, complaint) = printed(&there.program().output().unwrap());
    assert_eq!(out, format!("{left} sessions have moved, 0 stay\n"), "{complaint}");
    // Where no terminal is, lines tell of each tenth.
    let is_progress = |line: &&str| line.ends_with(&format!(" of {left} sessions"));
    let mut others = complaint.lines().filter(|line| !is_progress(line));
    assert!(complaint.lines().any(|line| is_progress(&line)), "{complaint}");
    // A busy machine may keep it waiting.
    assert!(others.all(|line| line.starts_with("trying again in ")), "{complaint}");
    assert_eq!(there.old.count().await.unwrap(), 0);
    let service = there.service(|new| new).await;
    for (number, token) in tokens.iter().enumerate() {
        let session = service.get(token).await.unwrap().expect("it was logged out");
        assert_eq!(session.data["number"], json!(number));
    }
    let owner = Owner::new("7").unwrap();
    assert_eq!(service.owned(&owner, 100).await.unwrap().len(), 5);
    service.destroy_all(&owner).await.unwrap();
    assert!(service.get(&tokens[1007]).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_away_is_told_and_the_command_ends_with_how_to_go_on() {
    const SESSIONS: usize = 5_000;
    let server = test_servers::Redis::start().unwrap();
    let there = Move::from(server.url(), "sess:").await;
    let sessions = (0..SESSIONS).map(wrapped);
    there.put(ids(&random_tokens(SESSIONS)).zip(sessions));
    there.put((0..1_000).map(|number| (format!("not-a-session-{number}"), "[1]".to_owned())));
    let mut program = there.program();
    program.args(["--patience", "2"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = program.spawn().unwrap();
    let mut lines = BufReader::new(program.stderr.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap().split_once(" of ").unwrap().1, "6000 sessions");
    server.kill().unwrap();
    let told: Vec<String> = lines.map(Result::unwrap).collect();
    let output = program.wait_with_output().unwrap();
    assert!(!output.status.success());
    assert!(told.iter().any(|line| line.starts_with("trying again in 1s: ")), "{told:?}");
    let last = told.last().unwrap();
    assert!(last.starts_with("migrate: for 2s nothing could be moved: "), "{told:?}");
    assert!(last.contains("run the same command again"), "{told:?}");
    let (out, _) = printed(&output);
    let (sum, stays) = out.split_once('\n').unwrap();
    assert!(sum.ends_with(" sessions have moved"), "{out}");
    let mut stays = stays.lines().filter(|line| !line.starts_with("and "));
    assert!(stays.next().is_some() && stays.all(|line| line.starts_with("stays: ")), "{out}");
}

#[tokio::test]
async fn on_a_terminal_a_bar_shows_how_far_it_is() {
    let there = Move::new("terminal").await;
    // No token: it stays.
    let tokens = random_tokens(1_234);
    there.put(ids(&tokens).chain(["undefined".to_owned()]).map(|id| (id, wrapped(1))));
    let program = there.program();
    let words: Vec<_> = [program.get_program()].into_iter().chain(program.get_args()).collect();
    let words: Vec<_> = words.iter().map(|word| format!("'{}'", word.display())).collect();
    // Of util-linux: it runs a command on a terminal of its own.
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"]);
    // A runner's own terminal may be none that has a bar, and its shell none that runs a command.
    script.env("TERM", "xterm").env("SHELL", "/bin/sh").env("MIGRATE_TO", there.target());
    let script = script.stdin(Stdio::null()).output().unwrap();
    let (shown, _) = printed(&script);
    assert!(!script.status.success(), "{shown}");
    assert!(shown.contains('█') && !shown.contains("1,235/1,235"), "{shown}");
    assert!(shown.contains(" 1,234/1,235 sessions, 0s to go\r\n1234 sessions have"), "{shown}");
}

#[tokio::test]
async fn what_cannot_move_stays_and_is_named_without_its_token() {
    let there = Move::new("damaged").await;
    let whole = Token::random("").unwrap();
    let session = wrapped(json!({"user": {"id": "anna"}}));
    let records = [(whole.reveal(), &*session), ("damaged-token", "[1]"), ("undefined", &session)];
    there.put(records.map(|(id, text)| (id.to_owned(), text.to_owned())));
    let output = there.program().output().unwrap();
    let (out, complaint) = printed(&output);
    assert!(!output.status.success());
    assert!(complaint.ends_with("migrate: not everything could be moved\n"), "{complaint}");
    let (first, stays) = out.split_once('\n').unwrap();
    assert_eq!(first, "1 sessions have moved, 2 stay");
    assert_eq!(stays.lines().count(), 2, "{out}");
    let guessed = format!("stays: {}: its id is one that anybody can guess", key("undefined"));
    assert!(stays.contains(&guessed), "{out}");
    let damaged = format!("stays: {}: it is no session as the Node", key("damaged-token"));
    assert!(stays.contains(&damaged) && stays.contains("is the shape right?"), "{out}");
    assert!(!out.contains("damaged-token"), "{out}");
    assert_eq!(there.old.count().await.unwrap(), 2);
    let service = there.service(|new| new).await;
    let meta = service.get(&whole).await.unwrap().unwrap().meta;
    assert_eq!(meta.owner, Some(Owner::new("anna").unwrap()));
    assert!(meta.expires_in() > Duration::from_secs(86_000), "{:?}", meta.expires_in());
}

#[tokio::test]
async fn of_many_that_stay_the_first_are_named_and_the_rest_counted() {
    let there = Move::new("many").await;
    there.put((0..150).map(|number| (format!("not-a-session-{number}"), "[1]".to_owned())));
    let (out, _) = printed(&there.program().output().unwrap());
    assert_eq!(out.lines().next(), Some("0 sessions have moved, 150 stay"));
    assert_eq!(out.lines().filter(|line| line.starts_with("stays: ")).count(), 100, "{out}");
    assert!(out.ends_with("\nand 50 more\n"), "{out}");
}

#[tokio::test]
async fn what_is_no_session_of_the_node_service_stays_as_it_is() {
    let there = Move::new("mixed").await;
    let whole = Token::random("").unwrap();
    let express = json!({"cookie": {"originalMaxAge": null}, "user": "anna"}).to_string();
    let others = [
        // Of a service whose prefix is longer.
        ("admin:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB".to_owned(), wrapped(1)),
        ("config".to_owned(), json!({"data": {"theme": "dark"}}).to_string()),
        ("texts".to_owned(), json!({"cookie": "We use cookies.", "data": 1}).to_string()),
        ("flat".to_owned(), express),
    ];
    there.put(others.clone().into_iter().chain([(whole.reveal().to_owned(), wrapped(1))]));
    let (out, _) = printed(&there.program().output().unwrap());
    assert_eq!(out.lines().next(), Some("1 sessions have moved, 4 stay"), "{out}");
    for (id, text) in &others {
        assert_eq!(there.text(id).as_ref(), Some(text), "{out}");
    }
    assert!(there.text(whole.reveal()).is_none());
    for id in ["config", "texts", "flat"] {
        assert!(out.contains(&format!("stays: {}: ", key(id))), "{out}");
    }

    // Nor does what is wrapped move as what is flat.
    let (id, text) = (Token::random("").unwrap(), wrapped(json!({"u": 1})));
    there.put([(id.reveal().to_owned(), text.clone())]);
    let mut program = migrate(&there.server);
    program.args(["--place", &there.prefix, "--shape", "express"]);
    let (out, _) = printed(&program.env("MIGRATE_TO", there.target()).output().unwrap());
    assert!(out.contains(&format!("stays: {}: ", key(id.reveal()))), "{out}");
    assert_eq!(there.text(id.reveal()), Some(text));
}

#[tokio::test]
async fn without_a_prefix_it_is_refused_unless_that_is_meant() {
    let server = test_servers::Redis::start().unwrap();
    let there = Move::from(server.url(), "").await;
    let whole = Token::random("").unwrap();
    let cached = json!({"name": "anna"}).to_string();
    there.put([
        (whole.reveal().to_owned(), wrapped(1)),
        ("cache:user:1".to_owned(), cached.clone()),
        ("settings".to_owned(), cached.clone()),
    ]);
    let refused = there.program().output().unwrap();
    assert!(printed(&refused).1.contains("--without-prefix"), "{refused:?}");
    assert!(there.text(whole.reveal()).is_some());

    let meant = there.program_without_place().arg("--without-prefix").output().unwrap();
    let (out, _) = printed(&meant);
    assert_eq!(out.lines().next(), Some("1 sessions have moved, 2 stay"), "{out}");
    assert_eq!(there.text("cache:user:1").as_ref(), Some(&cached));
    assert_eq!(there.text("settings"), Some(cached));
    assert!(there.text(whole.reveal()).is_none());
}

#[tokio::test]
async fn a_store_in_which_nobody_has_begun_a_session_is_not_taken_for_the_services_new_one() {
    let there = Move::new("astray").await;
    let whole = Token::random("").unwrap();
    there.put([(whole.reveal().to_owned(), wrapped(1))]);
    let astray = there.program().args(["--to-place", "another"]).output().unwrap();
    assert!(printed(&astray).1.contains("--to-empty"), "{astray:?}");
    assert!(there.text(whole.reveal()).is_some());
    let meant = there.program().args(["--to-place", "another", "--to-empty"]).output().unwrap();
    assert!(meant.status.success(), "{meant:?}");
}

#[tokio::test]
async fn sessions_move_to_a_cluster_and_have_no_owner_there() {
    let there = Move::new("cluster").await;
    let tokens = random_tokens(50);
    there.put(ids(&tokens).map(|id| (id, wrapped(1))));
    let urls = test_servers::redis_cluster_urls();
    let nodes: Vec<_> = urls.iter().map(|url| url.trim_start_matches("redis://")).collect();
    let nodes = format!("redis-cluster://{}", nodes.join(","));
    let new = Redis::builder().prefix(format!("{}new:", there.prefix));
    let new = new.timeout(BOUND).connect_timeout(BOUND).connect(&nodes).await.unwrap();
    let refused = Successor::new(new.clone(), there.old.clone()).owner(|_| None).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Refused);

    let store = Successor::new(new.clone(), there.old.clone());
    let service = TokenSession::<Value>::builder().store(store.clone()).build().unwrap();
    let renewed = service.regenerate(&tokens[0]).await.unwrap().token;
    let (mut moved, mut after) = (0, None);
    loop {
        let page = store.move_page(after.as_ref(), 20).await.unwrap();
        assert!(page.failed.is_empty(), "{page:?}");
        moved += page.moved;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((moved, there.old.count().await.unwrap()), (49, 0));
    let service = TokenSession::<Value>::builder().store(new).build().unwrap();
    for token in tokens[1..].iter().chain([&renewed]) {
        assert_eq!(*service.get(token).await.unwrap().unwrap(), json!(1));
    }
    assert!(service.get(&tokens[0]).await.unwrap().is_none());
}

#[test]
fn what_cannot_be_reached_is_said_in_a_sentence_without_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}", folder.path().join("sessions.db").display());
    let to: PathBuf = tempfile::tempdir().unwrap().path().join("no/such/folder/sessions.db");
    for (from, to) in [
        ("redis://:secret@127.0.0.1:1", file.clone()),
        ("mysql://app:secret@127.0.0.1:1/shop", file.clone()),
        ("postgres://app:secret@127.0.0.1:1/shop", file.clone()),
        ("mongodb://app:secret@127.0.0.1:1/shop?serverSelectionTimeoutMS=100", file.clone()),
        ("ftp://app:secret@127.0.0.1", file.clone()),
        (test_servers::redis_url(), format!("sqlite:{}", to.display())),
    ] {
        let mut program = migrate_wrapped(from);
        if from.starts_with("postgres") {
            program.args(["--time-zone", "UTC"]);
        }
        let output = program.args(["--to", &to]).output().unwrap();
        let (_, complaint) = printed(&output);
        assert!(!output.status.success());
        assert!(complaint.starts_with("migrate: "), "{complaint}");
        assert!(!complaint.contains("secret"), "{complaint}");
    }
}

#[test]
fn an_option_that_has_no_effect_is_refused_and_so_is_one_that_lacks() {
    let (redis, nowhere) = (test_servers::redis_url(), "sqlite:nowhere.db");
    let [mongodb, mysql, postgres] = ["mongodb", "mysql", "postgres"];
    let [mongodb, mysql, postgres] = [mongodb, mysql, postgres].map(|name| format!("{name}://a/b"));
    for (from, to, options, said) in [
        (&*postgres, nowhere, &[][..], "--time-zone"),
        (&mysql, nowhere, &["--columns", "a,b"], "three"),
        (redis, "memory:", &[], "every session with it"),
        (redis, nowhere, &["--to-schema", "app"], "--to-schema"),
        (redis, nowhere, &["--to-partitions", "8"], "--to-partitions"),
        (redis, nowhere, &["--schema", "app"], "--schema has no effect with Redis"),
        (redis, nowhere, &["--columns", "a,b,c"], "--columns has no effect with Redis"),
        (redis, nowhere, &["--time-zone", "UTC"], "--time-zone has no effect with Redis"),
        (&mysql, nowhere, &["--time-zone", "UTC"], "--time-zone has no effect with MySQL"),
        (&mysql, nowhere, &["--without-prefix"], "--without-prefix has no effect with MySQL"),
        (&postgres, nowhere, &["--columns", "a,b,c"], "--columns has no effect with PostgreSQL"),
        (&mongodb, nowhere, &["--schema", "app"], "--schema has no effect with MongoDB"),
    ] {
        let output = migrate_wrapped(from).args(["--to", to]).args(options).output().unwrap();
        let (_, complaint) = printed(&output);
        assert!(!output.status.success());
        assert!(complaint.starts_with("migrate: ") && complaint.contains(said), "{complaint}");
    }
}

fn migrate_wrapped(from: &str) -> Command {
    let mut program = migrate(from);
    program.args(["--shape", "token-session"]);
    program
}
