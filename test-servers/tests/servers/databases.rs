use std::net::TcpStream;

use test_servers::{MariaDb, MongoDb, PgBouncer, PoolMode, Postgres, Result, Server};

use crate::facts::{it_lives_dies_and_returns, says};

#[test]
fn postgres_lives_dies_and_returns() -> Result<()> {
    let server = Postgres::start()?;
    it_lives_dies_and_returns(&server, postgres_answers)?;
    its_port_is_closed_after_drop(server.port(), server)
}

#[test]
fn a_durable_postgres_lives_dies_and_returns() -> Result<()> {
    let server = Postgres::durable()?;
    it_lives_dies_and_returns(&server, postgres_answers)
}

#[test]
fn pgbouncer_lives_dies_and_returns() -> Result<()> {
    let behind = Postgres::start()?;
    let server = PgBouncer::start(behind.url(), PoolMode::Transaction, 2)?;
    it_lives_dies_and_returns(&server, postgres_answers)?;
    its_port_is_closed_after_drop(server.port(), server)
}

#[test]
fn mariadb_lives_dies_and_returns() -> Result<()> {
    let server = MariaDb::start()?;
    it_lives_dies_and_returns(&server, mariadb_answers)?;
    its_port_is_closed_after_drop(server.port(), server)
}

#[test]
fn a_durable_mariadb_lives_dies_and_returns() -> Result<()> {
    let server = MariaDb::durable()?;
    it_lives_dies_and_returns(&server, mariadb_answers)
}

#[test]
fn mongodb_lives_dies_and_returns() -> Result<()> {
    let server = MongoDb::start()?;
    it_lives_dies_and_returns(&server, mongodb_answers)?;
    its_port_is_closed_after_drop(server.port(), server)
}

#[test]
fn a_durable_mongodb_lives_dies_and_returns() -> Result<()> {
    let server = MongoDb::durable()?;
    it_lives_dies_and_returns(&server, mongodb_answers)
}

fn its_port_is_closed_after_drop<T>(port: u16, server: T) -> Result<()> {
    drop(server);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    Ok(())
}

/// Logs in and reads until the server is ready for a query.
fn postgres_answers(server: &Server) -> bool {
    let startup = b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0";
    says(server.port(), startup, |answer| answer.ends_with(b"Z\0\0\0\x05I"))
}

/// Reads the greeting, which names the version.
fn mariadb_answers(server: &Server) -> bool {
    says(server.port(), b"", |answer| answer.windows(7).any(|part| part == b"MariaDB"))
}

/// Sends `{ping: 1, $db: "admin"}` and reads until the `ok` of its answer.
fn mongodb_answers(server: &Server) -> bool {
    let ping = b"\x33\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\
                 \x1e\0\0\0\x10ping\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0";
    says(server.port(), ping, |answer| answer.windows(3).any(|part| part == b"ok\0"))
}
