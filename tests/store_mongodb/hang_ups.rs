//! What happens to a connection when its caller hangs up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mongodb::event::EventHandler;
use mongodb::event::cmap::CmapEvent;
use token_session::Owner;
use token_session::store::{Load, MongoDb, NewRecord, OwnerLimit, Owners, Store, Write};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::server::{HOUR, database, fresh_name, loaded, options, put, random_key, record};

const MOST: u32 = 5;

/// A store on a client of a few connections, and the number of connections made so far.
async fn counted() -> (MongoDb, Arc<AtomicUsize>) {
    let made = Arc::<AtomicUsize>::default();
    let counts = Arc::clone(&made);
    let mut options = options().await;
    options.max_pool_size = Some(MOST);
    options.cmap_event_handler = Some(EventHandler::callback(move |event| {
        if let CmapEvent::ConnectionCreated(_) = event {
            counts.fetch_add(1, Ordering::SeqCst);
        }
    }));
    let builder = MongoDb::builder().collection(fresh_name()).timeout(HOUR).connections(MOST);
    let store = builder.database(&database(options)).unwrap();
    store.migrate().await.unwrap();
    (store, made)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_hang_up_cost_no_connections() {
    let (store, made) = counted().await;
    let key = put(&store, None).await;
    let owner = Owner::new("Anna").unwrap();
    let clients: JoinSet<_> = (0..20)
        .map(|client| {
            let (store, key, owner) = (store.clone(), key.clone(), owner.clone());
            async move {
                let limit = Some(OwnerLimit::evict_oldest(3.try_into().unwrap()));
                let limited = NewRecord { limit, ..record("data", Some(&owner)) };
                for call in 0..20 {
                    let given_up = Duration::from_micros(200 * (call % 10));
                    let new = random_key();
                    let _ = match client % 4 {
                        0 => timeout(given_up, store.insert(&new, &limited)).await.is_ok(),
                        1 => {
                            let write = Write::data("new");
                            timeout(given_up, store.replace(&key, &write)).await.is_ok()
                        }
                        2 => {
                            let owned = store.owned(&owner, None, 10, false);
                            timeout(given_up, owned).await.is_ok()
                        }
                        _ => timeout(given_up, store.load(&key, &Load::new())).await.is_ok(),
                    };
                }
            }
        })
        .collect();
    clients.join_all().await;
    assert!(loaded(&store, &key).await.is_some());
    assert!(store.owned(&owner, None, 10, false).await.unwrap().records.len() <= 3);
    let made = made.load(Ordering::SeqCst);
    assert!(made <= MOST as usize, "{made} connections were made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_is_dropped_after_its_start_is_completed() {
    let (store, _) = counted().await;
    let key = put(&store, None).await;
    let write = Write::data("new data");
    {
        // The first poll sends the command, or asks for a connection to send it on.
        let mut replace = std::pin::pin!(store.replace(&key, &write));
        let first = std::future::poll_fn(|context| {
            std::task::Poll::Ready(replace.as_mut().poll(context).is_pending())
        });
        assert!(first.await, "MongoDB has answered at once");
    }
    let is_done = async {
        while loaded(&store, &key).await.unwrap().data != "new data" {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), is_done).await.expect("the write is done");
}
