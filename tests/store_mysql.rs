//! The MySQL store on a real server: the contract, and what is specific to MySQL.

use std::time::Duration;

use token_session::store::MySql;
use token_session::store::conformance::Harness;

#[path = "store_mysql/costs.rs"]
mod costs;
#[path = "sql/damaged.rs"]
mod damaged;
#[path = "store_mysql/differences.rs"]
mod differences;
#[path = "sql/failover.rs"]
mod failover;
#[path = "store_mysql/faults.rs"]
mod faults;
#[path = "sql/gate.rs"]
mod gate;
#[path = "store_mysql/golden.rs"]
mod golden;
#[path = "sql/hang_ups.rs"]
mod hang_ups;
#[path = "sql/isolation.rs"]
mod isolation;
#[path = "store_mysql/least_privilege.rs"]
mod least_privilege;
#[path = "sql/owners.rs"]
mod many_owned;
#[path = "on_every_store/mod.rs"]
mod on_every_store;
#[path = "store_mysql/protocol.rs"]
mod protocol;
#[path = "sql/proxy.rs"]
mod proxy;
#[path = "store_mysql/reference.rs"]
mod reference;
#[path = "store_mysql/server.rs"]
mod server;
#[path = "sql/faults.rs"]
mod sql_faults;
#[path = "sql/server.rs"]
mod sql_server;
#[path = "sql/sweeping.rs"]
mod sweeping;
#[path = "store_mysql/tables.rs"]
mod tables;

struct OnMySql;

impl Harness for OnMySql {
    type Store = MySql;

    async fn store(&self) -> MySql {
        server::fresh_store(MySql::builder()).await
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

mod conformance {
    use super::OnMySql;

    token_session::conformance_suite!(OnMySql);
}

mod with_codes {
    use super::OnMySql;

    crate::on_every_store::codes_on_store!(OnMySql);
}
