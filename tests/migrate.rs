//! The example `migrate`: from Redis, as connect-redis keeps sessions there, to a file.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use token_session::store::compat::{ConnectRedis, Shape, Successor};
use token_session::store::{AnyStore, Redis, Store, StoreErrorKind};
use token_session::{Owner, Token, TokenSession};

/// A prefix in Redis that nothing else has, and a file that is not there yet.
struct Move {
    old: ConnectRedis,
    prefix: String,
    folder: TempDir,
}

impl Move {
    async fn new(prefix: &str) -> Self {
        let prefix = format!("{prefix}{}:", std::process::id());
        let old = ConnectRedis::connect(test_servers::redis_url(), Shape::token_session()).await;
        Self { old: old.unwrap().prefix(&prefix), prefix, folder: tempfile::tempdir().unwrap() }
    }

    fn target(&self) -> String {
        format!("sqlite:{}", self.folder.path().join("sessions.db").display())
    }

    /// Puts records there as Node does.
    async fn put(&self, records: impl IntoIterator<Item = (String, String)>) {
        let client = redis::Client::open(test_servers::redis_url()).unwrap();
        let mut pipeline = redis::pipe();
        for (id, text) in records {
            pipeline.cmd("SET").arg(format!("{}{id}", self.prefix)).arg(text).arg("EX").arg(3600);
        }
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        pipeline.exec_async(&mut connection).await.unwrap();
    }

    fn program(&self) -> Command {
        let mut program = migrate(test_servers::redis_url());
        program.args(["--place", &self.prefix, "--owner", "/user/id"]);
        program.env("MIGRATE_TO", self.target());
        program
    }

    /// The service, in both stores or, when all have moved, in the new one.
    async fn service<S: Store>(&self, store: impl Fn(AnyStore) -> S) -> TokenSession<Value, S> {
        let new = AnyStore::connect(&self.target()).await.unwrap();
        TokenSession::builder().store(store(new)).build().unwrap()
    }
}

fn migrate(from: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    let mut program = Command::new(tests.ancestors().nth(2).unwrap().join("examples/migrate"));
    program.args(["--from", from, "--shape", "token-session"]);
    program
}

fn printed(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_migration_goes_on_where_it_was_and_nobody_is_logged_out() {
    const SESSIONS: usize = 5_000;
    let there = Move::new("killed").await;
    let tokens: Vec<Token> = (0..SESSIONS).map(|_| Token::random("").unwrap()).collect();
    let record = |number| {
        let data = json!({"user": {"id": number % 1000}, "number": number});
        json!({"cookie": {"maxAge": 0}, "data": data}).to_string()
    };
    let ids = tokens.iter().map(|token| token.reveal().to_owned());
    there.put(ids.zip((0..SESSIONS).map(record))).await;

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

#[tokio::test]
async fn what_cannot_move_stays_and_is_named_without_its_token() {
    let there = Move::new("damaged").await;
    let whole = Token::random("").unwrap();
    let session = json!({"cookie": {"maxAge": 0}, "data": {"user": {"id": "anna"}}}).to_string();
    let records = [(whole.reveal(), &*session), ("damaged-token", "[1]"), ("undefined", &session)];
    there.put(records.map(|(id, text)| (id.to_owned(), text.to_owned()))).await;
    let output = there.program().output().unwrap();
    let (out, complaint) = printed(&output);
    assert!(!output.status.success());
    assert_eq!(complaint, "migrate: not everything could be moved\n");
    let mut lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.remove(0), "1 sessions have moved, 2 stay");
    lines.sort_unstable();
    assert!(lines[0].starts_with("stays: its id is one that anybody can guess"), "{out}");
    assert!(lines[1].starts_with("stays: the store's record"), "{out}");
    assert!(!out.contains("damaged-token"), "{out}");
    assert_eq!(there.old.count().await.unwrap(), 2);
    let service = there.service(|new| new).await;
    let meta = service.get(&whole).await.unwrap().unwrap().meta;
    assert_eq!(meta.owner, Some(Owner::new("anna").unwrap()));
    assert!(meta.expires_in() > Duration::from_secs(86_000), "{:?}", meta.expires_in());
}

#[tokio::test]
async fn sessions_move_to_a_cluster_and_have_no_owner_there() {
    let there = Move::new("cluster").await;
    let tokens: Vec<Token> = (0..50).map(|_| Token::random("").unwrap()).collect();
    let session = json!({"cookie": {"maxAge": 0}, "data": 1}).to_string();
    there.put(tokens.iter().map(|token| (token.reveal().to_owned(), session.clone()))).await;
    let urls = test_servers::redis_cluster_urls();
    let nodes: Vec<_> = urls.iter().map(|url| url.trim_start_matches("redis://")).collect();
    let nodes = format!("redis-cluster://{}", nodes.join(","));
    let new = Redis::builder().prefix(format!("{}new:", there.prefix)).connect(&nodes);
    let new = new.await.unwrap();
    let refused = Successor::new(new.clone(), there.old.clone()).owner(|_| None).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Refused);

    let store = Successor::new(new.clone(), there.old.clone());
    let service = TokenSession::<Value, _>::builder().store(store.clone()).build().unwrap();
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
    let service = TokenSession::<Value, _>::builder().store(new).build().unwrap();
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
    let zone = ["--time-zone", "UTC"];
    for (from, to) in [
        ("redis://:secret@127.0.0.1:1", file.clone()),
        ("mysql://app:secret@127.0.0.1:1/shop", file.clone()),
        ("postgres://app:secret@127.0.0.1:1/shop", file.clone()),
        ("mongodb://app:secret@127.0.0.1:1/shop?serverSelectionTimeoutMS=100", file.clone()),
        ("ftp://app:secret@127.0.0.1", file.clone()),
        (test_servers::redis_url(), format!("sqlite:{}", to.display())),
    ] {
        let output = migrate(from).args(["--to", &to]).args(zone).output().unwrap();
        let (_, complaint) = printed(&output);
        assert!(!output.status.success());
        assert!(complaint.starts_with("migrate: "), "{complaint}");
        assert!(!complaint.contains("secret"), "{complaint}");
    }
    let zoneless = migrate("postgres://127.0.0.1/shop").args(["--to", &file]).output().unwrap();
    assert!(printed(&zoneless).1.contains("--time-zone"));
    let lost = migrate(test_servers::redis_url()).args(["--to", "memory:"]).output().unwrap();
    assert!(printed(&lost).1.contains("every session with it"));
}
