//! The Redis store keeps the contract: on one server, on a Cluster, and as a user who has no right
//! that is not needed. So do codes and links on it.

#[path = "on_every_store/mod.rs"]
mod on_every_store;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use token_session::store::Redis;
use token_session::store::conformance::Harness;

/// Where the store connects to.
struct At(String);

/// How many rounds racing codes take elsewhere than on one server: the scripts are the same.
const FEWER: usize = 10;

impl At {
    fn server() -> Self {
        Self(test_servers::redis_url().to_owned())
    }

    fn cluster() -> Self {
        let urls = test_servers::redis_cluster_urls();
        let hosts: Vec<_> = urls.iter().map(|url| url.trim_start_matches("redis://")).collect();
        Self(format!("redis-cluster://{}", hosts.join(",")))
    }

    fn server_as_user() -> Self {
        static SERVER: OnceLock<test_servers::Redis> = OnceLock::new();
        let rights = include_str!("../src/store/redis/rights.acl");
        let server = SERVER
            .get_or_init(|| test_servers::Redis::with_user("service", "secret", rights).unwrap());
        Self(server.url_as("service", "secret"))
    }
}

impl Harness for At {
    type Store = Redis;

    /// A prefix of its own keeps each store apart.
    async fn store(&self) -> Redis {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("ts:{}-{number}:", std::process::id());
        // Patience, so that no verdict hangs on how busy the machine is.
        let builder = Redis::builder()
            .timeout(Duration::from_secs(60))
            .connect_timeout(Duration::from_secs(60));
        builder.prefix(prefix).connect(&self.0).await.unwrap()
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn scan_repeats(&self) -> bool {
        true
    }
}

mod server {
    use super::At;

    token_session::conformance_suite!(At::server());
    crate::on_every_store::codes_on_store!(At::server());
}

mod cluster {
    use super::{At, FEWER};

    token_session::conformance_suite!(At::cluster());
    crate::on_every_store::codes_on_store!(At::cluster(), rounds: FEWER);
}

mod least_rights {
    use super::{At, FEWER};

    token_session::conformance_suite!(At::server_as_user());
    crate::on_every_store::codes_on_store!(At::server_as_user(), rounds: FEWER);
}
