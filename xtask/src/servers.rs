use std::process::Command;
use std::thread;

use test_servers::{
    Chromium, MariaDb, MongoDb, PgBouncer, PoolMode, Postgres, Redis, RedisCluster, RedisTls,
    Sentinel, Smtp, packages,
};

use crate::Result;
use crate::cargo::root;

/// A kind of server, and how to start one, learn its version and stop it.
type Kind = (&'static str, fn() -> Result<String>);

/// Every kind of server, and every other program that the tests need.
const KINDS: &[Kind] = &[
    ("Redis", || Ok(Redis::start()?.version()?)),
    ("Redis Cluster", || Ok(RedisCluster::start()?.node(0).version()?)),
    ("Redis Sentinel", || Ok(Sentinel::start()?.sentinel(0).version()?)),
    ("Redis with TLS", || Ok(RedisTls::start()?.version()?)),
    ("PostgreSQL", || Ok(Postgres::start()?.version()?)),
    ("PgBouncer", pgbouncer),
    ("MariaDB", || Ok(MariaDb::start()?.version()?)),
    ("MongoDB", || Ok(MongoDb::start()?.version()?)),
    ("SMTP", || Ok(Smtp::start()?.version()?)),
    ("browser", || Ok(Chromium::start()?.version().to_owned())),
    ("Node", node),
    ("another clock", faketime),
];

/// Installs what is missing, starts every kind of server once, and prints its version.
pub fn run() -> Result<()> {
    packages::install_all()?;
    // All at once: most of them spend their time waiting for themselves.
    let outcomes: Vec<_> = thread::scope(|scope| {
        let starting: Vec<_> =
            KINDS.iter().map(|(_, start)| scope.spawn(|| attempt(*start))).collect();
        starting.into_iter().map(|thread| thread.join()).collect()
    });
    let mut failed = Vec::new();
    for ((name, _), outcome) in KINDS.iter().zip(outcomes) {
        match outcome.unwrap_or_else(|_| Err("its start panicked".to_owned())) {
            Ok(version) => println!("{name}: {version}"),
            Err(error) => {
                println!("{name}: FAILED: {error}");
                failed.push(*name);
            }
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("these do not start: {}", failed.join(", ")).into())
    }
}

/// An error that can leave its thread.
fn attempt(start: fn() -> Result<String>) -> std::result::Result<String, String> {
    start().map_err(|error| error.to_string())
}

/// Loads the npm packages that the tests share sessions with. The program ends with its input.
fn node() -> Result<String> {
    let folder = root().join("tests/node");
    test_servers::install_npm_packages(&folder)?;
    let node = packages::NODE.program("node")?;
    output(Command::new(&node).arg("peer.js").current_dir(folder))?;
    let version = output(Command::new(&node).arg("--version"))?;
    Ok(format!("Node {version}, with its npm packages"))
}

fn pgbouncer() -> Result<String> {
    let server = Postgres::start()?;
    PgBouncer::start(server.url(), PoolMode::Session, 1)?;
    output(Command::new(packages::PGBOUNCER.program("pgbouncer")?).arg("--version"))
}

fn faketime() -> Result<String> {
    output(Command::new(packages::FAKETIME.program("faketime")?).arg("--version"))
}

/// The first line that a program prints without input.
fn output(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{} fails: {complaint}", command.get_program().display()).into());
    }
    let output = String::from_utf8_lossy(&output.stdout);
    Ok(output.lines().find(|line| !line.is_empty()).unwrap_or_default().to_owned())
}
