//! The races of the contract at isolation levels other than the server's default.

use std::time::Duration;

use token_session::store::conformance::{
    Harness, confirmation, ends, handover, insert, limits, load, proof, remove, replace,
};

use crate::server::{LEVELS, PoolOptions, Sql, fresh_name, shared_url};

/// A store whose connections begin with this statement.
struct With(&'static str);

impl Harness for With {
    type Store = Sql;

    async fn store(&self) -> Sql {
        let level = self.0;
        let pool = PoolOptions::new().max_connections(8).after_connect(move |connection, _| {
            Box::pin(async move { sqlx::query(level).execute(connection).await.map(drop) })
        });
        let pool = pool.connect(shared_url()).await.unwrap();
        let builder = Sql::builder().table(fresh_name());
        let store = builder.timeout(Duration::from_secs(60)).build(pool).unwrap();
        store.migrate().await.unwrap();
        store
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn races(&self) -> usize {
        200
    }
}

async fn races(harness: &With) {
    insert::one_of_racing_inserts_of_a_key_is_done(harness).await;
    limits::racing_inserts_that_evict_leave_no_more_than_the_limit(harness).await;
    limits::racing_inserts_that_are_refused_leave_no_more_than_the_limit(harness).await;
    load::racing_touches_and_writes_lose_neither(harness).await;
    replace::one_of_racing_writes_that_expect_a_version_is_done(harness).await;
    replace::a_write_that_races_a_removal_does_not_undo_it(harness).await;
    proof::one_of_racing_regenerations_with_a_secret_is_done(harness).await;
    handover::one_of_racing_handovers_is_done(harness).await;
    confirmation::one_of_racing_confirmations_sets_the_time(harness).await;
    remove::one_of_racing_takes_gets_the_record(harness).await;
    ends::what_the_owner_had_ends_in_every_race(harness).await;
    ends::an_insert_that_races_is_listed_or_dead(harness).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_weaker_or_a_stronger_level_changes_nothing() {
    for level in LEVELS {
        races(&With(level)).await;
    }
}
