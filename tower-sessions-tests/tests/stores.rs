//! Stores that others have made for tower-sessions, as stores of this library.

use std::time::Duration;

use token_session::store::TowerSessions;
use token_session::store::conformance::Harness;
use tower_sessions_moka_store::MokaStore;
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike, Config, Pool};

#[path = "../../tests/store_tower_sessions/suite.rs"]
mod suite;

struct OverRedis;

impl Harness for OverRedis {
    type Store = TowerSessions;

    async fn store(&self) -> TowerSessions {
        let config = Config::from_url(test_servers::redis_url()).unwrap();
        let pool = Pool::new(config, None, None, None, 4).unwrap();
        pool.init().await.unwrap();
        TowerSessions::new_0_14(RedisStore::new(pool))
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn knows_owners(&self) -> bool {
        false
    }

    fn knows_all_records(&self) -> bool {
        false
    }
}

mod redis {
    use super::OverRedis;

    super::suite::what_can_hold!(OverRedis);
}

struct OverMoka;

impl Harness for OverMoka {
    type Store = TowerSessions;

    async fn store(&self) -> TowerSessions {
        TowerSessions::new_0_14(MokaStore::new(Some(100_000)))
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn knows_owners(&self) -> bool {
        false
    }

    fn knows_all_records(&self) -> bool {
        false
    }
}

mod moka {
    use super::OverMoka;

    super::suite::what_can_hold!(OverMoka);
}
