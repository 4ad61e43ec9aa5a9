//! The sentences of the store contract that a format of Node's can keep: those that need no owner, no
//! proof, no version that counts, and no moment in which a session moves from one id to another.

use crate::event::Events;
use crate::key::Key;
use crate::record::Record;
use crate::store::{
    Condition, Cursor, Found, Inserted, Listing, Load, Moves, NewRecord, Owners, Page, Removed,
    Replaced, Result, Store, Watch, Write,
};
use bytes::Bytes;

/// A store of this module whose data may be any bytes, as that of the suite is: kept as a JSON array of
/// numbers. For [`shared_format_suite!`](crate::shared_format_suite).
#[derive(Clone, Debug)]
pub struct AnyBytes<S>(pub S);

fn to_json(bytes: &[u8]) -> Bytes {
    serde_json::to_vec(bytes).expect("numbers have a JSON form").into()
}

fn from_json(record: Record) -> Record {
    if record.data.is_empty() {
        // It was not asked for.
        return record;
    }
    let bytes: Vec<u8> =
        serde_json::from_slice(&record.data).expect("the suite's data is kept as numbers");
    Record { data: bytes.into(), ..record }
}

#[async_trait::async_trait]
impl<S: Store + Listing + Moves> Store for AnyBytes<S> {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        let record = NewRecord { data: to_json(&record.data), ..record.clone() };
        self.0.insert(key, &record).await
    }
    async fn load(&self, key: &Key, load: &Load<'_>) -> Result<Found> {
        Ok(match self.0.load(key, load).await? {
            Found::Current(record) => Found::Current(from_json(record)),
            found => found,
        })
    }
    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let data = write.data.as_ref().map(|data| to_json(data));
        self.0.replace(key, &Write { data, ..write.clone() }).await
    }
    async fn remove(&self, key: &Key, condition: Condition<'_>, hand_out: bool) -> Result<Removed> {
        Ok(match self.0.remove(key, condition, hand_out).await? {
            Removed::Done(record) => Removed::Done(record.map(from_json)),
            removed => removed,
        })
    }
    async fn alive(&self, keys: &[Key]) -> Result<Vec<bool>> {
        self.0.alive(keys).await
    }
    fn owners(&self) -> Option<&dyn Owners> {
        self.0.owners()
    }
    fn listing(&self) -> Option<&dyn Listing> {
        Some(self)
    }
    fn watch(&self) -> Option<&dyn Watch> {
        self.0.watch()
    }
    fn moves(&self) -> Option<&dyn Moves> {
        Some(&self.0)
    }
    fn partitions(&self) -> u16 {
        self.0.partitions()
    }
    fn keeps_plain_ids(&self) -> bool {
        self.0.keeps_plain_ids()
    }
    fn attach(&self, events: &Events) {
        self.0.attach(events);
    }
}

#[async_trait::async_trait]
impl<S: Listing> Listing for AnyBytes<S> {
    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        let page = self.0.scan(after, limit).await?;
        let records = page.records.into_iter().map(|(key, record)| (key, from_json(record)));
        Ok(Page { records: records.collect(), damaged: page.damaged, next: page.next })
    }
    async fn count(&self) -> Result<u64> {
        self.0.count().await
    }
    async fn clear(&self) -> Result<()> {
        self.0.clear().await
    }
    async fn sweep(&self, limit: usize) -> Result<usize> {
        self.0.sweep(limit).await
    }
}

/// Makes a `#[tokio::test]` of each case of the [suite](crate::store::conformance) that a format of a Node
/// package can keep, for the harness that the expression gives. Its store is an
/// [`AnyBytes`](crate::store::compat::AnyBytes) around a [`Shared`](crate::store::compat::Shared), because
/// the suite's data is no JSON.
///
/// ```
/// use std::time::Duration;
/// use token_session::store::compat::{AnyBytes, Backend, Shape, Shared};
/// use token_session::store::conformance::Harness;
///
/// /// Opens a place that no other test uses.
/// struct Format<B>(fn() -> B);
///
/// impl<B: Backend> Harness for Format<B> {
///     type Store = AnyBytes<Shared<B>>;
///
///     async fn store(&self) -> Self::Store {
///         AnyBytes(Shared::new((self.0)(), Shape::token_session()))
///     }
///
///     async fn pass(&self, time: Duration) {
///         tokio::time::sleep(time).await;
///     }
/// }
/// ```
#[macro_export]
macro_rules! shared_format_suite {
    ($harness:expr) => {
        $crate::conformance_suite! { $harness;
            throughout {
                there_are_1_to_1024_partitions
            }
            insert {
                data_of_every_size_and_byte_is_kept
                timeouts_from_a_millisecond_to_the_longest_are_kept
            }
            load {
                a_missing_record_is_not_found
                a_touch_after_the_interval_is_written
                a_touch_after_a_tenth_of_the_idle_timeout_is_written
                nothing_slides_without_an_idle_timeout
            }
            replace {
                data_of_every_size_and_byte_is_written
                a_missing_record_is_not_written
                a_write_that_races_a_removal_does_not_undo_it
            }
            remove {
                one_of_racing_takes_gets_the_record
                either_a_racing_take_or_a_removal_wins
            }
            alive {
                each_key_is_answered_in_its_place
                no_key_has_no_answer
                hundreds_of_keys_are_one_batch
            }
            listing {
                a_scan_of_nothing_ends
                a_record_that_stays_is_scanned_while_others_come_and_go
            }
            moves {
                both_keys_are_never_alive
                a_missing_record_is_not_renamed
                one_of_racing_renames_to_a_key_is_done
                a_rename_that_races_a_removal_does_not_undo_it
            }
        }
    };
}
