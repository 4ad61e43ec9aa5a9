//! Sessions that connect-redis shares with this crate.

mod node;

use std::time::Duration;

use http::{Request, Response};
use redis::AsyncConnectionConfig;
use serde_json::{Value, json};
use token_session::http::{SessionLayer, Sessions, SignedCookie};
use token_session::store::compat::{AnyBytes, ConnectRedis, Shape, Successor};
use token_session::store::conformance::Harness;
use token_session::store::{Memory, StoreErrorKind};
use token_session::{Error, Lifetime, TokenSession};
use tower::ServiceExt;
use url::Url;

use node::peer::Peer;
use node::{Place, fresh_name, share_with_node, token};

/// A prefix that nothing else has.
struct Prefix {
    package: &'static str,
    prefix: String,
    client: redis::Client,
}

impl Prefix {
    async fn new(package: &'static str) -> Self {
        let client = redis::Client::open(test_servers::redis_url()).unwrap();
        Self { package, prefix: format!("[sess]{}:", fresh_name()), client }
    }

    async fn run<T: redis::FromRedisValue>(&self, command: &mut redis::Cmd) -> T {
        let patient =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connection = self.client.get_multiplexed_async_connection_with_config(&patient).await;
        let mut connection = connection.unwrap();
        command.query_async(&mut connection).await.unwrap()
    }
}

impl Place for Prefix {
    type Store = ConnectRedis;

    async fn store(&self, shape: Shape) -> ConnectRedis {
        let store = ConnectRedis::connect(test_servers::redis_url(), shape).await.unwrap();
        store.prefix(&self.prefix).timeout(Duration::from_secs(20))
    }

    async fn package(&self) -> (&'static str, Value) {
        let mut options = json!({"url": test_servers::redis_url(), "prefix": self.prefix});
        if self.package == "connect-redis@3" {
            // Without it, this version deletes what it reads.
            options["ttl"] = 86_400.into();
        }
        (self.package, options)
    }

    async fn express(&self, cookie: Value) -> Peer {
        let (package, mut options) = self.package().await;
        // Where version 3 has it, no session of Express lives as long as its cookie says.
        options.as_object_mut().unwrap().remove("ttl");
        Peer::express(package, options, cookie).await
    }

    async fn text(&self, id: &str) -> Option<String> {
        self.run(redis::cmd("GET").arg(format!("{}{id}", self.prefix))).await
    }

    async fn end(&self, id: &str) -> Duration {
        let at: u64 = self.run(redis::cmd("PEXPIRETIME").arg(format!("{}{id}", self.prefix))).await;
        Duration::from_millis(at)
    }

    async fn leave(&self, id: &str, seconds: u32) {
        let name = format!("{}{id}", self.prefix);
        let moved: u8 = self.run(redis::cmd("EXPIRE").arg(name).arg(seconds)).await;
        assert_eq!(moved, 1);
    }

    async fn put(&self, id: &str, text: &str) {
        let name = format!("{}{id}", self.prefix);
        self.run::<()>(redis::cmd("SET").arg(name).arg(text).arg("EX").arg(3600)).await;
    }
}

mod version_3 {
    use super::*;
    share_with_node!(Prefix::new("connect-redis@3"));
}

mod version_6 {
    use super::*;
    share_with_node!(Prefix::new("connect-redis@6"));
}

mod version_7 {
    use super::*;
    share_with_node!(Prefix::new("connect-redis@7"));
}

mod version_8 {
    use super::*;
    share_with_node!(Prefix::new("connect-redis@8"));
}

mod version_9 {
    use super::*;
    share_with_node!(Prefix::new("connect-redis@9"));
}

/// For a user who has the rights of the docs and no more.
struct Contract(String);

fn make_user(urls: &[&str], beyond: &str) {
    let rights = r"reset on >secret ~\[sess]* +evalsha +eval +get +strlen +pttl +time +set +pexpire
                   +del +scan +unlink";
    for url in urls {
        let mut connection = redis::Client::open(*url).unwrap().get_connection().unwrap();
        let mut command = redis::cmd("ACL");
        command.arg("SETUSER").arg("service");
        for right in rights.split_whitespace().chain(beyond.split_whitespace()) {
            command.arg(right);
        }
        command.query::<()>(&mut connection).unwrap();
    }
}

fn one_server() -> Contract {
    let url = test_servers::redis_url();
    make_user(&[url], "");
    Contract(url.replace("redis://", "redis://service:secret@"))
}

impl Harness for Contract {
    type Store = AnyBytes<ConnectRedis>;

    async fn store(&self) -> AnyBytes<ConnectRedis> {
        let store = ConnectRedis::connect(&self.0, Shape::token_session()).await.unwrap();
        let prefix = format!("[sess]{}:", fresh_name());
        AnyBytes(store.prefix(prefix).timeout(Duration::from_secs(20)))
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn scan_repeats(&self) -> bool {
        true
    }
}

mod contract {
    use super::one_server;

    token_session::shared_format_suite!(one_server());
}

fn cluster() -> Contract {
    let urls = test_servers::redis_cluster_urls();
    let hosts: Vec<&str> = urls.iter().map(|url| url.trim_start_matches("redis://")).collect();
    make_user(&urls, "+cluster|slots +ping +asking");
    Contract(format!("redis-cluster://service:secret@{}", hosts.join(",")))
}

mod contract_on_a_cluster {
    use super::cluster;

    token_session::shared_format_suite!(cluster());
}

#[tokio::test]
async fn sessions_on_a_cluster_are_listed_counted_and_cleared() {
    let AnyBytes(store) = cluster().store().await;
    let sessions = TokenSession::<Value>::builder().store(store).build().unwrap();
    for number in 0..50 {
        sessions.create(&json!(number)).await.unwrap();
    }
    assert_eq!(sessions.count().await.unwrap(), 50);
    let (mut listed, mut after) = (0, None);
    loop {
        let page = sessions.all(after.as_ref(), 10).await.unwrap();
        for session in page.sessions {
            assert!(sessions.destroy_key(&session.unwrap().key).await.unwrap());
            listed += 1;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((listed, sessions.count().await.unwrap()), (50, 0));
    sessions.create(&json!(1)).await.unwrap();
    sessions.clear().await.unwrap();
    assert_eq!(sessions.count().await.unwrap(), 0);
}

#[tokio::test]
async fn a_key_without_a_time_to_live_is_alive_and_stays_so() {
    let place = Prefix::new("connect-redis@8").await;
    let sessions = place.sessions::<Value>(Shape::token_session()).await;
    place.put("forever-zcM2Gl1Bi74mNZtj", r#"{"cookie":{"maxAge":0},"data":1}"#).await;
    let name = |id: &str| format!("{}{id}", place.prefix);
    place.run::<()>(redis::cmd("PERSIST").arg(name("forever-zcM2Gl1Bi74mNZtj"))).await;
    sessions.touch(&token("forever-zcM2Gl1Bi74mNZtj")).await.unwrap();
    sessions.set(&token("forever-zcM2Gl1Bi74mNZtj"), &json!(2)).await.unwrap();
    let issued = sessions.regenerate(&token("forever-zcM2Gl1Bi74mNZtj")).await.unwrap();
    let left: i64 = place.run(redis::cmd("TTL").arg(name(issued.token.reveal()))).await;
    assert_eq!(left, -1);
    let lifetime = Lifetime::idle_secs(60).unwrap();
    sessions.set_with_lifetime(&issued.token, &json!(3), lifetime).await.unwrap();
    let left: i64 = place.run(redis::cmd("TTL").arg(name(issued.token.reveal()))).await;
    assert!((1..=60).contains(&left), "{left}");
}

#[tokio::test]
async fn the_life_that_version_3_gives_beyond_the_cookie_lasts_until_a_touch_here() {
    let place = Prefix::new("connect-redis@3").await;
    let (package, options) = place.package().await;
    let express = Peer::express(package, options, json!({"maxAge": 60_000})).await;
    let (_, id) = node::express::begin(express, json!({"a": 1})).await;
    let left =
        async || -> i64 { place.run(redis::cmd("TTL").arg(format!("{}{id}", place.prefix))).await };
    assert!(left().await > 60);
    let sessions = place.sessions::<Value>(Shape::express()).await;
    let own = Duration::from_secs(60);
    let meta = sessions.get_untouched(&token(&id)).await.unwrap().unwrap().meta;
    assert!(meta.expires_in() <= own);
    assert!(sessions.touch(&token(&id)).await.unwrap() <= own);
    assert!((1..=60).contains(&left().await));
}

#[tokio::test]
async fn a_session_keeps_its_token_where_redis_is_full() {
    let server = test_servers::Redis::start().unwrap();
    let store = ConnectRedis::connect(server.url(), Shape::token_session()).await.unwrap();
    let sessions = TokenSession::<Value>::builder().store(store).build().unwrap();
    let issued = sessions.create(&json!({"a": 1})).await.unwrap();
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let mut set_memory = |bytes: u32| {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("maxmemory").arg(bytes).exec(&mut connection).unwrap();
    };
    set_memory(1);
    let error = sessions.regenerate(&issued.token).await.unwrap_err();
    assert!(
        matches!(&error, Error::Store(error) if error.kind() == StoreErrorKind::Full),
        "{error}"
    );
    set_memory(0);
    let session = sessions.get(&issued.token).await.unwrap().expect("it is alive");
    assert_eq!(session.data, json!({"a": 1}));
}

#[tokio::test]
async fn what_is_no_session_of_redis_is_told_so_and_not_listed() {
    let place = Prefix::new("connect-redis@8").await;
    let sessions = place.sessions::<Value>(Shape::token_session()).await;
    place
        .run::<()>(redis::cmd("LPUSH").arg(format!("{}list-zcM2Gl1Bi74mNZtj", place.prefix)).arg(1))
        .await;
    place
        .run::<()>(redis::cmd("SET").arg(format!("{}empty-zcM2Gl1Bi74mNZtj", place.prefix)).arg(""))
        .await;
    let error = sessions.get(&token("list-zcM2Gl1Bi74mNZtj")).await.unwrap_err();
    assert!(matches!(&error, Error::Store(error) if error.kind() == StoreErrorKind::Refused));
    assert!(sessions.get(&token("empty-zcM2Gl1Bi74mNZtj")).await.unwrap().is_none());
    assert_eq!(sessions.all(None, 100).await.unwrap().sessions.len(), 0);
}

#[tokio::test]
async fn where_neither_is_told_where_both_look_in_one_place() {
    // Which no other test uses.
    let mut url = Url::parse(test_servers::redis_url()).unwrap();
    url.set_path("7");
    let node = Peer::open("connect-redis@9", json!({"url": url.as_str()})).await;
    let store = ConnectRedis::connect(url.as_str(), Shape::token_session()).await.unwrap();
    let sessions = TokenSession::<Value>::builder().store(store).build().unwrap();
    let id = node.begin(&json!(1), None).await;
    assert_eq!(sessions.get(&token(&id)).await.unwrap().unwrap().data, json!(1));
}

/// A browser's cookie works for the Express service and for the Rust one beside it.
#[tokio::test]
async fn the_cookie_of_express_is_the_cookie_of_both_services() {
    let place = Prefix::new("connect-redis@8").await;
    let express = place.express(json!({})).await;
    let answer = express.request(None, json!([["set", {"user": "anna"}]])).await;
    let cookie = answer["cookies"][0].as_str().unwrap().split(';').next().unwrap().to_owned();

    let signed = SignedCookie::new("connect.sid", "another secret").unwrap();
    let signed = signed.older_secret("the newest secret").unwrap();
    let sessions = place.sessions::<Value>(Shape::express()).await;
    let layer = SessionLayer::builder(sessions.clone()).signed_cookie(signed).build().unwrap();
    let service = tower::ServiceBuilder::new().layer(layer).service_fn(who);
    let ask = async |cookie: &str| {
        let request = Request::builder().header("cookie", cookie).body(String::new()).unwrap();
        service.clone().oneshot(request).await.unwrap().into_body()
    };
    assert_eq!(ask(&format!("a=b; {cookie}")).await, "anna");
    assert_eq!(ask(&cookie.replace("s%3A", "s%3Ax")).await, "nobody");
    let answer = express.request(Some(&cookie), json!([])).await;
    assert_eq!(answer["found"]["seen"], true);
}

#[tokio::test]
async fn a_token_that_anybody_could_guess_is_a_stranger_in_whatever_it_comes() {
    let place = Prefix::new("connect-redis@8").await;
    let cookie = SignedCookie::new("connect.sid", "the newest secret").unwrap();
    let sessions = place.sessions::<Value>(Shape::express()).await;
    let layer = SessionLayer::builder(sessions).signed_cookie(cookie.clone()).build().unwrap();
    let service = tower::ServiceBuilder::new().layer(layer).service_fn(who);
    for id in ["undefined", "null", "NaN", "false", "0"] {
        place.put(id, r#"{"cookie":{"originalMaxAge":null},"user":"anna"}"#).await;
        let signed = cookie.set(&token(id), "").unwrap();
        let headers = [
            ("authorization", format!("Bearer {id}")),
            ("token-session", id.to_owned()),
            ("cookie", signed.to_str().unwrap().to_owned()),
        ];
        for (name, value) in headers {
            let request = Request::builder().header(name, value).body(String::new()).unwrap();
            let response = service.clone().oneshot(request).await.unwrap();
            assert_eq!(response.into_body(), "nobody", "{name}: {id}");
        }
    }
}

/// A login changes the session before it gets its new token, and after.
#[tokio::test]
async fn what_a_handler_changes_around_a_new_token_is_written() {
    for shape in [Shape::token_session(), Shape::express().max_age(HOUR).unwrap()] {
        let place = Prefix::new("connect-redis@8").await;
        let sessions = place.sessions(shape.clone()).await;
        log_in(&sessions, &sessions).await;
        let successor = Successor::new(Memory::new(), place.store(shape).await);
        log_in(&sessions, &TokenSession::builder().store(successor).build().unwrap()).await;
    }
}

const HOUR: Duration = Duration::from_secs(3600);

async fn log_in(old: &TokenSession<Value>, now: &TokenSession<Value>) {
    for renewal in ["regenerate", "reauthenticate"] {
        let begun = old.create(&json!({"steps": 0})).await.unwrap();
        let request = Request::builder()
            .header("authorization", format!("Bearer {}", begun.token.reveal()))
            .header("renewal", renewal);
        let service = tower::ServiceBuilder::new()
            .layer(SessionLayer::new(now.clone()))
            .service_fn(change_renew_and_change);
        let response = service.oneshot(request.body(String::new()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200, "{renewal}");
        let renewed = token(response.headers()["token-session"].to_str().unwrap());
        assert_eq!(now.get(&renewed).await.unwrap().unwrap().data, json!({"steps": 2}));
        assert!(now.get(&begun.token).await.unwrap().is_none());
    }
}

async fn change_renew_and_change(
    request: Request<String>,
) -> Result<Response<String>, std::convert::Infallible> {
    let sessions = request.extensions().get::<Sessions<Value>>().unwrap();
    let mut session = sessions.session().await.unwrap();
    session["steps"] = 1.into();
    if request.headers()["renewal"] == "regenerate" {
        session.regenerate().await.unwrap();
    } else {
        session.reauthenticate().await.unwrap();
    }
    session["steps"] = 2.into();
    Ok(Response::default())
}

async fn who(request: Request<String>) -> Result<Response<String>, std::convert::Infallible> {
    let sessions = request.extensions().get::<Sessions<Value>>().unwrap();
    Ok(Response::new(match sessions.optional_session().await.unwrap() {
        Some(mut session) => {
            session["seen"] = true.into();
            session["user"].as_str().unwrap().to_owned()
        }
        None => "nobody".to_owned(),
    }))
}
