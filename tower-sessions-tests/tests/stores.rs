//! Stores that others have made for tower-sessions, as stores of this library.

use token_session::store::TowerSessions;
use tower_sessions_moka_store::MokaStore;
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike, Config, Pool};

#[path = "../../tests/store_tower_sessions/suite.rs"]
mod suite;

async fn over_redis() -> TowerSessions {
    let config = Config::from_url(test_servers::redis_url()).unwrap();
    let pool = Pool::new(config, None, None, None, 4).unwrap();
    pool.init().await.unwrap();
    TowerSessions::new_0_14(RedisStore::new(pool))
}

mod redis {
    use super::{over_redis, suite::Over};

    super::suite::what_can_hold!(Over(over_redis));
}

async fn over_moka() -> TowerSessions {
    TowerSessions::new_0_14(MokaStore::new(Some(100_000)))
}

mod moka {
    use super::{over_moka, suite::Over};

    super::suite::what_can_hold!(Over(over_moka));
}
