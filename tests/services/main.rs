//! The accounts service on the stores that real servers keep.

#[allow(dead_code, reason = "its main is not run here")]
#[path = "../../examples/accounts/main.rs"]
mod accounts;
#[allow(dead_code, reason = "not every test reads every part of an answer")]
#[path = "../sessions/client.rs"]
mod client;
mod commands;
mod crash;
mod parameters;
#[path = "../sessions/program.rs"]
mod program;
#[path = "../sessions/story.rs"]
mod story;

use std::net::SocketAddr;

use token_session::Lifetime;
use token_session::store;

/// The service, with its sessions where the URL says.
async fn service(url: &str) -> SocketAddr {
    let store = store::connect(url).await.unwrap();
    let lifetime = Lifetime::idle_secs(1800).unwrap();
    let (router, _) = accounts::app(store, lifetime, "http://localhost").unwrap();
    client::serve(router).await
}

async fn tell_the_story(url: &str) {
    let service = service(url).await;
    story::a_session_from_login_to_logout(service).await;
    story::a_person_sees_and_ends_their_sessions(service).await;
    story::an_address_is_proven_and_a_link_signs_in(service).await;
    story::a_password_reset_ends_all_sessions_of_its_owner(service).await;
    story::a_download_is_served_while_uses_remain(service).await;
    story::a_download_ends_with_its_time(service).await;
    story::a_person_withdraws_their_downloads(service).await;
}

#[tokio::test]
async fn the_service_runs_on_redis() {
    tell_the_story(test_servers::Redis::start().unwrap().url()).await;
}

#[tokio::test]
async fn the_service_runs_on_a_redis_cluster() {
    let urls = test_servers::redis_cluster_urls();
    let nodes: Vec<_> = urls.iter().map(|url| url.trim_start_matches("redis://")).collect();
    tell_the_story(&format!("redis-cluster://{}", nodes.join(","))).await;
}

#[tokio::test]
async fn the_service_runs_on_postgresql() {
    tell_the_story(test_servers::Postgres::start().unwrap().url()).await;
}

#[tokio::test]
async fn the_service_runs_on_mariadb() {
    tell_the_story(test_servers::MariaDb::start().unwrap().url()).await;
}

#[tokio::test]
async fn the_service_runs_on_mongodb() {
    let server = test_servers::MongoDb::start().unwrap();
    tell_the_story(&server.url().replace("/?", "/accounts?")).await;
}

#[tokio::test]
async fn the_service_runs_on_a_file() {
    let folder = tempfile::tempdir().unwrap();
    tell_the_story(&format!("sqlite:{}", folder.path().join("sessions.db").display())).await;
}
