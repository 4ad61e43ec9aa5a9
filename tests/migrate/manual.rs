//! What `docs/from-node.md` says of moving, done in its order, with its own code and command line.

mod moving;
mod sharing;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::routing::get;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use token_session::http::Session;
use token_session::store;
use token_session::store::compat::Lossless;
use token_session::{Owner, Token, TokenSession};
use tower::ServiceExt;
use url::Url;

use super::{Move, fresh_name, migrate, printed, wrapped};
use sharing::Visitor;

const MANUAL: &str = include_str!("../../docs/from-node.md");

/// What the manual gives the command, but for the program itself.
fn arguments() -> Vec<&'static str> {
    let blocks: Vec<&str> = MANUAL.split("```sh\n").skip(1).collect();
    let [block] = &blocks[..] else { panic!("there is one command in the manual") };
    let (command, _) = block.split_once("```").unwrap();
    let words = command.split_whitespace().filter(|&word| word != "\\");
    let mut words = words.skip_while(|&word| word != "--");
    words.next();
    words.collect()
}

#[test]
fn the_manual_shows_the_code_that_is_run_here() {
    for code in [include_str!("sharing.rs"), include_str!("moving.rs")] {
        assert!(MANUAL.contains(&format!("```rust\n{code}```\n")), "it lacks this:\n{code}");
    }
    let build =
        "cargo run --release --example migrate --features mongodb,mysql,postgres,redis -- \\";
    assert!(MANUAL.contains(build));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_moves_as_the_manual_says() {
    let server = test_servers::Redis::start().unwrap();
    let (redis, name) = (server.url(), fresh_name());
    let shared = test_servers::postgres_url();
    let pool = PgPool::connect(shared).await.unwrap();
    let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::raw_sql(create).execute(&pool).await.unwrap();
    let mut postgres = Url::parse(shared).unwrap();
    postgres.set_path(&name);
    let postgres = postgres.as_str();

    // Both keep the sessions where Node keeps them.
    let there = Move::from(redis, "tokensess:").await;
    let token = Token::random("").unwrap();
    let node = json!({"name": "anna", "count": 1, "user": "anna", "theme": "dark"});
    there.put([(token.reveal().to_owned(), wrapped(node))]);
    let sessions = sharing::sessions(redis).await.unwrap();
    let count = sessions.update(&token, |visitor| {
        visitor.count += 1;
        visitor.count
    });
    assert_eq!(count.await.unwrap(), 2);
    let greet = async |session: Session<Lossless<Visitor>>| session.name.clone();
    let app = Router::new().route("/", get(greet)).layer(sharing::layer(sessions).unwrap());
    let request = Request::get("/").header("token-session", token.reveal());
    let answer = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(to_bytes(answer.into_body(), 100).await.unwrap(), "anna");

    // The first deployment, and the next.
    let first = moving::sessions(redis, postgres, true).await.unwrap();
    let begun = first.create(&json!({"user": "anna"})).await.unwrap().token;
    assert!(there.text(begun.reveal()).is_some());
    let next = moving::sessions(redis, postgres, false).await.unwrap();
    assert!(there.text(next.create(&json!(1)).await.unwrap().token.reveal()).is_none());
    assert_eq!(next.owned(&Owner::new("anna").unwrap(), 10).await.unwrap().len(), 2);

    // The command.
    let mut program = migrate(redis);
    let mut arguments = arguments().into_iter();
    while let Some(argument) = arguments.next() {
        match (argument, arguments.next()) {
            ("--from", Some("redis://127.0.0.1")) => {}
            ("--to", Some("postgres://app:password@127.0.0.1/shop")) => {
                program.args(["--to", postgres]);
            }
            (option, Some(value)) => {
                program.args([option, value]);
            }
            (option, None) => panic!("{option} has no value"),
        }
    }
    let (out, complaint) = printed(&program.output().unwrap());
    assert_eq!(out, "2 sessions have moved, 0 stay\n", "{complaint}");

    // The new store alone.
    let new = store::connect(postgres).await.unwrap();
    let service = TokenSession::<Value>::builder().store(new).build().unwrap();
    let session = service.get(&token).await.unwrap().unwrap();
    let moved = json!({"name": "anna", "count": 2, "user": "anna", "theme": "dark"});
    assert_eq!(*session, moved);
    assert_eq!(service.owned(&Owner::new("anna").unwrap(), 10).await.unwrap().len(), 2);
    assert!(service.get(&begun).await.unwrap().is_some());
}
