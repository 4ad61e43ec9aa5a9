//! The sentences of the store contract that a format of Node's can keep: those that need no owner, no
//! version that counts, and no moment in which a session moves from one id to another.

use bytes::Bytes;
use token_session::store::{
    Condition, Cursor, Inserted, NewRecord, Page, Removed, Renamed, Renewal, Replaced, Result,
    Store, Touch, Write,
};
use token_session::{Key, Meta, Owner, Record};

/// A store whose data may be any bytes, as the suite's is: kept as a JSON array of numbers.
#[derive(Clone)]
pub struct AnyBytes<S>(pub S);

fn to_json(bytes: &[u8]) -> Bytes {
    serde_json::to_vec(bytes).unwrap().into()
}

fn from_json(record: Record) -> Record {
    let bytes: Vec<u8> = serde_json::from_slice(&record.data).unwrap();
    Record { data: bytes.into(), ..record }
}

#[async_trait::async_trait]
impl<S: Store> Store for AnyBytes<S> {
    async fn insert(&self, key: &Key, record: &NewRecord<'_>) -> Result<Inserted> {
        let record = NewRecord { data: to_json(&record.data), ..record.clone() };
        self.0.insert(key, &record).await
    }
    async fn load(&self, key: &Key, touch: Touch) -> Result<Option<Record>> {
        Ok(self.0.load(key, touch).await?.map(from_json))
    }
    async fn touch(&self, key: &Key, touch: Touch) -> Result<Option<Meta>> {
        self.0.touch(key, touch).await
    }
    async fn replace(&self, key: &Key, write: &Write<'_>) -> Result<Replaced> {
        let write = Write { data: to_json(&write.data), ..write.clone() };
        self.0.replace(key, &write).await
    }
    async fn rename(&self, from: &Key, to: &Key, renewal: Renewal) -> Result<Renamed> {
        self.0.rename(from, to, renewal).await
    }
    async fn take(&self, key: &Key) -> Result<Option<Record>> {
        Ok(self.0.take(key).await?.map(from_json))
    }
    async fn remove(&self, key: &Key, condition: Condition<'_>) -> Result<Removed> {
        self.0.remove(key, condition).await
    }
    async fn owned(&self, owner: &Owner, limit: usize) -> Result<Vec<(Key, Meta)>> {
        self.0.owned(owner, limit).await
    }
    async fn remove_owned(&self, owner: &Owner, keep: Option<&Key>) -> Result<()> {
        self.0.remove_owned(owner, keep).await
    }
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

/// Makes a test of each function of the conformance suite that every format of Node's passes.
macro_rules! keeps_of_the_contract {
    ($harness:expr) => {
        token_session::conformance_suite! { @modules $harness;
            insert {
                data_of_every_size_and_byte_is_kept
                timeouts_from_a_millisecond_to_the_longest_are_kept
            }
            load {
                a_missing_record_is_none
                a_touch_after_the_interval_is_written
                a_touch_after_a_tenth_of_the_idle_timeout_is_written
                nothing_slides_without_an_idle_timeout
            }
            replace {
                data_of_every_size_and_byte_is_written
                a_missing_record_is_not_written
                a_write_that_races_a_removal_does_not_undo_it
            }
            rename {
                at_no_moment_are_both_keys_alive
                a_missing_record_is_not_renamed
                of_racing_renames_to_one_key_one_is_done
                a_rename_that_races_a_removal_does_not_undo_it
            }
            remove {
                of_racing_takes_one_gets_the_record
                of_a_racing_take_and_removal_one_wins
            }
            administration {
                a_scan_of_nothing_ends
                a_record_that_stays_is_scanned_while_others_come_and_go
                there_are_1_to_1024_partitions
            }
        }
    };
}
pub(crate) use keeps_of_the_contract;
