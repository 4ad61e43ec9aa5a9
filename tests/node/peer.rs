//! A Node process with the real npm packages, for the tests of this binary.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node");

/// A process that ends with this one, because its input does.
struct Node {
    input: Mutex<ChildStdin>,
    waiting: Waiting,
    next: AtomicU64,
    _process: Child,
}

/// Those who wait for an answer; `None` once nobody hears Node any more.
type Waiting = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Value>>>>>;

/// Tells whoever waits that no answer comes, also when the thread that hears Node panics.
struct Hearing(Waiting);

impl Drop for Hearing {
    fn drop(&mut self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Node {
    fn start() -> Self {
        test_servers::install_npm_packages(Path::new(HERE)).unwrap();
        let node = test_servers::packages::NODE.program("node").unwrap();
        let mut process = Command::new(node)
            .arg("peer.js")
            .current_dir(HERE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node starts");
        let input = Mutex::new(process.stdin.take().expect("its input is a pipe"));
        let output = process.stdout.take().expect("its output is a pipe");
        let waiting = Waiting::new(Mutex::new(Some(HashMap::new())));
        let hearing = Hearing(waiting.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let answer: Value = serde_json::from_str(&line).expect("it answers in JSON");
                let number = answer["number"].as_u64().expect("an answer has a number");
                let mut waiting = hearing.0.lock().unwrap();
                let waiter = waiting.as_mut().and_then(|waiting| waiting.remove(&number));
                let _ = waiter.expect("it was asked").send(answer);
            }
        });
        Self { input, waiting, next: AtomicU64::new(0), _process: process }
    }
}

/// Has Node do something, and waits for its answer.
async fn ask(operation: &str, arguments: Value) -> Value {
    let answer = try_ask(operation, arguments).await;
    answer.unwrap_or_else(|error| panic!("{operation} fails in Node: {error}"))
}

/// As [`ask`], with what Node says where it fails.
async fn try_ask(operation: &str, arguments: Value) -> Result<Value, String> {
    static NODE: OnceLock<Node> = OnceLock::new();
    let node = NODE.get_or_init(Node::start);
    let number = node.next.fetch_add(1, Ordering::Relaxed);
    let mut question = arguments;
    question["number"] = number.into();
    question["operation"] = operation.into();
    let (answer, answered) = oneshot::channel();
    node.waiting.lock().unwrap().as_mut().expect("Node is heard").insert(number, answer);
    writeln!(node.input.lock().unwrap(), "{question}").expect("Node listens");
    let mut answer = answered.await.expect("Node answers");
    match answer.get("error") {
        Some(error) => Err(error.as_str().unwrap_or_default().to_owned()),
        None => Ok(answer["ok"].take()),
    }
}

/// A date as JavaScript reads it, since the epoch.
pub async fn parse_date(text: &str) -> Duration {
    let millis = ask("parseDate", json!({"text": text})).await;
    Duration::from_millis(millis.as_u64().expect("it is a date"))
}

/// A store that Node has opened, with what works on it.
#[derive(Clone, Copy, Debug)]
pub struct Peer(u64);

impl Peer {
    /// Opens a package's store, with its own options.
    pub async fn open(store: &str, options: Value) -> Self {
        Self::open_with(json!({"store": store, "options": options})).await
    }

    /// As [`open`](Self::open), behind express-session.
    pub async fn express(store: &str, options: Value, cookie: Value) -> Self {
        let secret = ["the newest secret", "an older secret"];
        let peer = json!({"store": store, "options": options, "secret": secret, "cookie": cookie});
        Self::open_with(peer).await
    }

    async fn open_with(peer: Value) -> Self {
        Self(ask("open", peer).await.as_u64().unwrap())
    }

    /// A method of `token-session` 1.1.
    pub async fn call(self, method: &str, arguments: Value) -> Value {
        ask("call", json!({"peer": self.0, "method": method, "args": arguments})).await
    }

    /// A method of `token-session` 1.0, or of the `store`.
    pub async fn call_of(self, of: &str, method: &str, arguments: Value) -> Value {
        let call = json!({"peer": self.0, "of": of, "method": method, "args": arguments});
        ask("call", call).await
    }

    /// Begins a session with `token-session` 1.1.
    pub async fn begin(self, data: &Value, ttl: Option<u32>) -> String {
        self.call("newSession", json!([data, ttl])).await.as_str().unwrap().to_owned()
    }

    /// What `token-session` 1.1 has under an id: `{"data":…}` or null.
    pub async fn get(self, id: &str) -> Value {
        self.call("get", json!([id])).await
    }

    /// As [`call`](Self::call), with what Node says where it fails.
    pub async fn try_call(self, method: &str, arguments: Value) -> Result<Value, String> {
        try_ask("call", json!({"peer": self.0, "method": method, "args": arguments})).await
    }

    /// A request to the Express service, with this `Cookie` header, that does these steps to its
    /// session.
    pub async fn request(self, cookie: Option<&str>, steps: Value) -> Value {
        ask("request", json!({"peer": self.0, "cookie": cookie, "steps": steps})).await
    }
}
