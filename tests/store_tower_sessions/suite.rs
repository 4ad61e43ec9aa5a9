//! What can hold of the contract on a store of tower-sessions: no races, no owners, no lists.

use std::time::Duration;

use token_session::store::TowerSessions;
use token_session::store::conformance::Harness;

/// A store that is opened by this function.
pub struct Over<Open>(pub Open);

impl<Open, Opened> Harness for Over<Open>
where
    Open: Fn() -> Opened + Send + Sync + 'static,
    Opened: Future<Output = TowerSessions> + Send,
{
    type Store = TowerSessions;

    async fn store(&self) -> TowerSessions {
        (self.0)().await
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn knows_owners(&self) -> bool {
        false
    }

    fn knows_all_records(&self) -> bool {
        false
    }
}

macro_rules! what_can_hold {
    ($harness:expr) => {
        token_session::conformance_suite! {
            $harness;
            throughout {
                an_expired_record_does_not_exist
                nobody_sees_half_of_a_write
                a_dropped_write_is_done_or_not_done
            }
            insert {
                a_new_record_is_of_its_version_created_and_seen_now
                a_new_record_is_as_it_was_given
                data_of_every_size_and_byte_is_kept
                timeouts_from_a_millisecond_to_the_longest_are_kept
                a_taken_key_is_refused_and_nothing_changes
                an_expired_record_is_no_hindrance
            }
            load {
                a_missing_record_is_none
                a_load_without_a_touch_leaves_the_record
                a_touch_makes_the_record_seen_now
                a_touch_answers_as_a_load_does
                a_touch_within_the_interval_is_not_written
                a_touch_after_the_interval_is_written
                a_touch_after_a_tenth_of_the_idle_timeout_is_written
                nothing_slides_without_an_idle_timeout
                a_touch_never_passes_the_deadline
            }
            replace {
                a_write_changes_the_data_and_the_version_alone
                a_write_may_touch
                a_write_may_begin_a_new_lifetime
                a_new_lifetime_may_be_shorter
                data_of_every_size_and_byte_is_written
                a_missing_record_is_not_written
                no_write_brings_a_removed_record_back
                another_version_is_a_conflict_and_nothing_is_written
            }
            rename {
                a_rename_changes_the_key_and_the_version_and_is_seen_now
                an_authentication_renews_the_deadline_too
                at_no_moment_are_both_keys_alive
                a_missing_record_is_not_renamed
                a_taken_key_is_refused_and_nothing_changes
                an_expired_record_is_no_hindrance
            }
            remove {
                a_take_hands_out_the_record_and_removes_it
                a_removed_record_is_gone
                a_missing_record_is_not_removed
                another_version_is_a_conflict_and_nothing_is_removed
            }
            administration {
                there_are_1_to_1024_partitions
            }
        }
    };
}

pub(crate) use what_can_hold;
