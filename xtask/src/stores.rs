use std::thread;

use test_servers::{Running, Shared};

use crate::Result;
use crate::cargo::root;

/// The servers that a store's tests talk to, by what the store's name begins with. A store that is
/// not here needs none.
const SERVERS: &[(&str, &[Shared])] = &[
    ("redis", &[Shared::Redis, Shared::RedisCluster, Shared::RedisSentinel, Shared::RedisTls]),
    ("postgres", &[Shared::Postgres]),
    ("mysql", &[Shared::Mysql]),
    ("mongodb", &[Shared::MongoDb]),
];

/// The stores that have a conformance test, by its file name: `tests/store_<name>.rs`.
pub fn stores() -> Result<Vec<String>> {
    let mut stores = Vec::new();
    for entry in root().join("tests").read_dir().into_iter().flatten() {
        let file = entry?.file_name().into_string().unwrap_or_default();
        let name = file.strip_prefix("store_").and_then(|name| name.strip_suffix(".rs"));
        stores.extend(name.map(str::to_owned));
    }
    stores.sort();
    Ok(stores)
}

/// The path of a store's conformance test, as cargo names it.
pub fn test_file(store: &str) -> String {
    format!("tests/store_{store}.rs")
}

/// Starts the servers that the stores need, all at once; those that the environment names are
/// used as they are.
pub fn start_servers(stores: &[String]) -> Result<Vec<Running>> {
    let needed = needed_servers(stores);
    let missing: Vec<Shared> = needed.into_iter().filter(|server| !server.is_given()).collect();
    thread::scope(|scope| {
        let starting: Vec<_> = missing
            .into_iter()
            .map(|server| {
                println!("xtask: starting {server:?}");
                scope.spawn(move || server.start())
            })
            .collect();
        // All are waited for before an error is returned: those that did start are then stopped.
        let started: Vec<_> = starting.into_iter().map(|thread| thread.join()).collect();
        started
            .into_iter()
            .map(|server| server.map_err(|_| "the start of a server panicked")?.map_err(Into::into))
            .collect()
    })
}

fn needed_servers(stores: &[String]) -> Vec<Shared> {
    SERVERS
        .iter()
        .filter(|(prefix, _)| stores.iter().any(|store| store.starts_with(prefix)))
        .flat_map(|(_, servers)| servers.iter().copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_in_the_process_needs_no_server() {
        assert_eq!(needed_servers(&["memory".to_owned(), "sqlite".to_owned()]), []);
    }

    #[test]
    fn two_suites_of_one_engine_share_its_servers() {
        let stores = ["postgres".to_owned(), "postgres_unlogged".to_owned()];
        assert_eq!(needed_servers(&stores), [Shared::Postgres]);
    }
}
