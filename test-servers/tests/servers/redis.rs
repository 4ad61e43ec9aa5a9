use std::net::TcpStream;

use test_servers::{Redis, RedisCluster, RedisTls, Result, Sentinel};

use crate::facts::{it_lives_dies_and_returns, redis_says};

#[test]
fn a_plain_server_lives_dies_and_returns() -> Result<()> {
    let server = Redis::start()?;
    it_lives_dies_and_returns(&server, |server| redis_says(server.port(), "PING", "+PONG"))?;
    let port = server.port();
    drop(server);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    Ok(())
}

#[test]
fn a_durable_server_has_what_it_acknowledged() -> Result<()> {
    let server = Redis::durable()?;
    assert!(redis_says(server.port(), "SET color red", "+OK"));
    server.kill()?;
    server.restart()?;
    assert!(redis_says(server.port(), "GET color", "$3\r\nred"));
    Ok(())
}

#[test]
fn a_plain_server_forgets_on_restart() -> Result<()> {
    let server = Redis::start()?;
    assert!(redis_says(server.port(), "SET color red", "+OK"));
    server.restart()?;
    assert!(redis_says(server.port(), "GET color", "$-1"));
    Ok(())
}

#[test]
fn a_user_can_do_what_its_rules_say() -> Result<()> {
    let server = Redis::with_user("web", "secret", "~session:* +get")?;
    let login = "AUTH web secret\r\n";
    assert!(redis_says(server.port(), &format!("{login}GET session:1"), "+OK\r\n$-1"));
    assert!(redis_says(server.port(), &format!("{login}GET other:1"), "+OK\r\n-NOPERM"));
    assert_eq!(server.url_as("web", "secret"), format!("redis://web:secret@{}", address(&server)));
    Ok(())
}

#[test]
fn a_server_with_tls_lives_dies_and_returns() -> Result<()> {
    let server = RedisTls::start()?;
    assert!(server.url().starts_with("rediss://"));
    let files = server.certificates();
    for file in [files.authority(), files.client_certificate(), files.client_key()] {
        assert!(file.is_file(), "{} is missing", file.display());
    }
    // It answers nothing in plain text; `start` and `restart` have asked it over TLS.
    assert!(!redis_says(server.port(), "PING", "+PONG"));
    server.kill()?;
    server.restart()
}

#[test]
fn a_cluster_promotes_the_replica_of_a_killed_master() -> Result<()> {
    let cluster = RedisCluster::start()?;
    assert_eq!(cluster.urls().len(), 6);
    assert_eq!(cluster.masters()?.len(), 3);
    let lost = cluster.master_of_slot(0)?;
    let position = cluster.masters()?.iter().position(|&index| index == lost).unwrap();
    assert_eq!(cluster.kill_master(position)?, lost);
    cluster.wait_until_ok()?;
    assert_ne!(cluster.master_of_slot(0)?, lost);
    assert_eq!(cluster.masters()?.len(), 3);
    cluster.node(lost).restart()?;
    cluster.wait_until_ok()
}

#[test]
fn sentinels_promote_the_replica_of_a_killed_master() -> Result<()> {
    let sentinel = Sentinel::start()?;
    assert_eq!(sentinel.urls().len(), 3);
    let lost = sentinel.kill_master()?.port();
    sentinel.wait_until_ok()?;
    assert_ne!(sentinel.master()?.port(), lost);
    Ok(())
}

#[test]
fn a_server_that_cannot_start_shows_its_log() {
    let error = Redis::with_user("web", "secret", "+no-such-command").err().unwrap().to_string();
    assert!(error.contains("starting it failed"), "{error}");
    assert!(error.contains("no-such-command"), "{error}");
}

fn address(server: &Redis) -> String {
    format!("127.0.0.1:{}", server.port())
}
