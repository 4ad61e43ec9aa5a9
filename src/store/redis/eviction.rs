//! Whether a server may evict records before their time. A record that counts guesses must not go.

use tokio::time::Instant;

use super::connection::Connection;

/// Logs a warning if a master may evict records before their time. Logs nothing if the store's user has
/// no right to ask; no operation needs that right.
pub(super) async fn warn_of_eviction(connection: &Connection, deadline: Instant) {
    let Ok(nodes) = connection.nodes(deadline).await else { return };
    let mut command = redis::cmd("INFO");
    command.arg("memory");
    for node in nodes {
        let Ok(answer) = connection.send(&command, node.first_slot, deadline).await else { return };
        let Ok(info) = redis::from_redis_value::<String>(answer) else { return };
        if let Some(policy) = evicting_policy(&info) {
            tracing::warn!(
                policy,
                "Redis may evict sessions before their time, and the records that count the \
                 guesses at codes; set maxmemory-policy to noeviction"
            );
            return;
        }
    }
}

/// The policy by which a server with this `INFO` evicts, if it ever does.
fn evicting_policy(info: &str) -> Option<&str> {
    let value = |name: &str| {
        let mut lines = info.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    let policy = value("maxmemory_policy").filter(|&policy| policy != "noeviction")?;
    value("maxmemory").is_some_and(|bytes| bytes != "0").then_some(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_evicts_by_its_policy_once_it_has_a_limit() {
        let info = |limit, policy| {
            format!("# Memory\r\nmaxmemory:{limit}\r\nmaxmemory_policy:{policy}\r\nx:1\r\n")
        };
        assert_eq!(evicting_policy(&info(100, "allkeys-lru")), Some("allkeys-lru"));
        assert_eq!(evicting_policy(&info(0, "allkeys-lru")), None);
        assert_eq!(evicting_policy(&info(100, "noeviction")), None);
        assert_eq!(evicting_policy(""), None);
    }
}
