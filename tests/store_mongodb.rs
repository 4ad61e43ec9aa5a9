//! The MongoDB store on a real server: the contract, and what is MongoDB's own.

#[path = "store_mongodb/damaged.rs"]
mod damaged;
#[path = "store_mongodb/faults.rs"]
mod faults;
#[path = "store_mongodb/golden.rs"]
mod golden;
#[path = "store_mongodb/hang_ups.rs"]
mod hang_ups;
#[path = "store_mongodb/hooked.rs"]
mod hooked;
#[path = "on_every_store/mod.rs"]
mod on_every_store;
#[path = "store_mongodb/owners.rs"]
mod owners;
#[path = "store_mongodb/privileges.rs"]
mod privileges;
#[path = "store_mongodb/proofs.rs"]
mod proofs;
#[path = "store_mongodb/round_trips.rs"]
mod round_trips;
#[path = "store_mongodb/server.rs"]
mod server;
#[path = "store_mongodb/tasks.rs"]
mod tasks;

mod conformance {
    use std::time::Duration;

    use token_session::store::MongoDb;
    use token_session::store::conformance::Harness;

    use super::server;

    struct OnMongoDb;

    impl Harness for OnMongoDb {
        type Store = MongoDb;

        async fn store(&self) -> MongoDb {
            server::fresh_store(MongoDb::builder()).await
        }

        async fn pass(&self, time: Duration) {
            tokio::time::sleep(time).await;
        }
    }

    token_session::conformance_suite!(OnMongoDb);

    // Debian has no `mongod`. Its stand-in is a Python program that runs one thread at a time, and a
    // round of the race for one code is some 4,000 calls.
    crate::on_every_store::codes_on_store!(OnMongoDb, rounds: 10);
}

/// With partitions, as for a sharded cluster, and with the other read concern. Its races are short: the
/// ones above use the same commands.
mod partitioned {
    use std::time::Duration;

    use token_session::store::MongoDb;
    use token_session::store::conformance::Harness;

    use super::server;

    struct InPartitions;

    impl Harness for InPartitions {
        type Store = MongoDb;

        async fn store(&self) -> MongoDb {
            server::fresh_store(MongoDb::builder().partitions(16).linearizable_reads(true)).await
        }

        async fn pass(&self, time: Duration) {
            tokio::time::sleep(time).await;
        }

        fn races(&self) -> usize {
            50
        }
    }

    token_session::conformance_suite!(InPartitions);
    crate::on_every_store::codes_on_store!(InPartitions, rounds: 10);
}
