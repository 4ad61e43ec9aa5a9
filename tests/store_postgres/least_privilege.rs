//! The contract again, for a role that has the rights of the docs and no more.

use std::time::Duration;

use token_session::store::Postgres;
use token_session::store::conformance::Harness;

use crate::server::{admin, fresh_name, login, run};

struct AsLeastPrivileged;

impl Harness for AsLeastPrivileged {
    type Store = Postgres;

    async fn store(&self) -> Postgres {
        let admin = admin().await;
        let (role, schema) = (fresh_name(), fresh_name());
        run(&admin, format!("CREATE SCHEMA {schema}")).await;
        let url = login(&admin, &role).await;
        let owner = Postgres::builder().schema(&schema).build(admin.clone());
        owner.unwrap().migrate().await.unwrap();
        let grants = format!(
            "GRANT USAGE ON SCHEMA {schema} TO {role};
             GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.token_sessions TO {role}"
        );
        run(&admin, grants).await;
        admin.close().await;
        let builder = Postgres::builder().schema(schema);
        let builder = builder.timeout(Duration::from_secs(60));
        builder.connect(&url).await.expect("the role may log in")
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn races(&self) -> usize {
        100
    }
}

token_session::conformance_suite!(AsLeastPrivileged);

mod codes {
    use super::*;

    // The statements are those of the engine's own suite; what differs is the rights.
    crate::on_every_store::codes_on_store!(AsLeastPrivileged, rounds: 10);
}
