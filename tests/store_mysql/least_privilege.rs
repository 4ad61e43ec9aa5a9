//! The contract again, for an account that has only the documented rights.

use std::time::Duration;

use token_session::store::conformance::Harness;
use token_session::store::{self, MySql};

use crate::server::{admin, fresh_name, login, run};

struct AsLeastPrivileged;

impl Harness for AsLeastPrivileged {
    type Store = MySql;

    async fn store(&self) -> MySql {
        let admin = admin().await;
        let (account, schema) = (fresh_name(), fresh_name());
        run(&admin, format!("CREATE DATABASE {schema}")).await;
        let url = login(&admin, &account).await;
        let owner = MySql::builder().schema(&schema).build(admin.clone());
        owner.unwrap().migrate().await.unwrap();
        let grants = format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.token_sessions TO {account};
             GRANT SELECT, INSERT, UPDATE ON {schema}.token_sessions_locks TO {account}"
        );
        run(&admin, grants).await;
        admin.close().await;
        let (server, _) = url.rsplit_once('/').unwrap();
        let builder = MySql::builder().timeout(Duration::from_secs(60));
        let store = builder.connect(&format!("{server}/{schema}")).await;
        store.expect("the account may log in")
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn races(&self) -> usize {
        100
    }
}

mod conformance {
    use super::AsLeastPrivileged;

    token_session::conformance_suite!(AsLeastPrivileged);
}

/// Only the rights differ from the run as administrator, so fewer rounds are enough.
mod with_codes {
    use super::AsLeastPrivileged;

    crate::on_every_store::codes_on_store!(AsLeastPrivileged, rounds: 10);
}

#[tokio::test]
async fn an_account_without_the_right_to_create_connects_to_existing_tables() {
    let admin = admin().await;
    let (account, schema) = (fresh_name(), fresh_name());
    run(&admin, format!("CREATE DATABASE {schema}")).await;
    let url = login(&admin, &account).await;
    let owner = MySql::builder().schema(&schema).build(admin.clone());
    owner.unwrap().migrate().await.unwrap();
    let grants = format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.token_sessions TO {account};
         GRANT SELECT, INSERT, UPDATE ON {schema}.token_sessions_locks TO {account}"
    );
    run(&admin, grants).await;
    let (server, _) = url.rsplit_once('/').unwrap();
    let store = store::connect(&format!("{server}/{schema}")).await.unwrap();
    assert_eq!(store.count().await.unwrap(), 0);
}
