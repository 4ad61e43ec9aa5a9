//! The PostgreSQL store on a real server: the contract, and what is particular to PostgreSQL.

use std::time::Duration;

use token_session::store::Postgres;
use token_session::store::conformance::Harness;

#[path = "store_postgres/costs.rs"]
mod costs;
#[path = "sql/damaged.rs"]
mod damaged;
#[path = "sql/failover.rs"]
mod failover;
#[path = "store_postgres/faults.rs"]
mod faults;
#[path = "sql/gate.rs"]
mod gate;
#[path = "store_postgres/golden.rs"]
mod golden;
#[path = "sql/hang_ups.rs"]
mod hang_ups;
#[path = "sql/isolation.rs"]
mod isolation;
#[path = "store_postgres/least_privilege.rs"]
mod least_privilege;
#[path = "store_postgres/logs.rs"]
mod logs;
#[path = "sql/owners.rs"]
mod many_owned;
#[path = "store_postgres/marks.rs"]
mod marks;
#[path = "store_postgres/migrating.rs"]
mod migrating;
#[path = "on_every_store/mod.rs"]
mod on_every_store;
#[path = "store_postgres/pooler.rs"]
mod pooler;
#[path = "store_postgres/protocol.rs"]
mod protocol;
#[path = "sql/proxy.rs"]
mod proxy;
#[path = "store_postgres/server.rs"]
mod server;
#[path = "store_postgres/set_up.rs"]
mod set_up;
#[path = "sql/faults.rs"]
mod sql_faults;
#[path = "sql/server.rs"]
mod sql_server;
#[path = "sql/sweeping.rs"]
mod sweeping;
#[path = "store_postgres/tables.rs"]
mod tables;
#[path = "store_postgres/unprepared.rs"]
mod unprepared;

struct OnPostgres;

impl Harness for OnPostgres {
    type Store = Postgres;

    async fn store(&self) -> Postgres {
        server::fresh_store(Postgres::builder()).await
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

token_session::conformance_suite!(OnPostgres);

mod codes {
    use super::*;

    crate::on_every_store::codes_on_store!(OnPostgres);
}
