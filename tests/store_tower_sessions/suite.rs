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
}

macro_rules! what_can_hold {
    ($harness:expr) => {
        token_session::conformance_suite! {
            $harness;
            throughout {
                an_expired_record_does_not_exist
                nobody_sees_half_of_a_write
                a_dropped_insert_is_done_or_not_done
                a_dropped_write_is_done_or_not_done
                a_dropped_handover_is_done_or_not_done
                there_are_1_to_1024_partitions
            }
            reference {
                every_operation_does_what_the_reference_does
            }
            insert {
                a_new_record_is_of_its_version_created_and_seen_now
                a_new_record_is_as_it_was_given
                data_of_every_size_and_byte_is_kept
                timeouts_from_a_millisecond_to_the_longest_are_kept
                a_taken_key_is_refused_and_nothing_changes
                an_expired_record_does_not_block_its_key
            }
            load {
                a_missing_record_is_not_found
                a_load_without_a_touch_leaves_the_record
                a_load_without_data_has_none
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
                a_write_without_data_leaves_the_data
                a_write_of_details_leaves_the_data
                a_write_may_touch
                a_write_may_begin_a_new_lifetime
                an_authentication_restarts_both_timeouts
                a_new_lifetime_may_be_shorter
                data_of_every_size_and_byte_is_written
                a_missing_record_is_not_written
                no_write_brings_a_removed_record_back
                another_version_is_a_conflict_and_nothing_is_written
            }
            proof {
                the_claim_of_the_current_secret_opens_the_record
                each_proof_of_a_claim_counts
                another_claim_finds_touches_writes_and_removes_nothing
                a_record_without_a_proof_fits_no_claim
                without_a_claim_every_record_is_found_by_its_key
                a_regeneration_ends_the_secret_before_at_once
                a_regeneration_ends_a_handover
                a_regenerated_session_keeps_its_key
            }
            handover {
                a_handover_keeps_the_version_and_both_secrets
                a_sealed_secret_of_every_size_is_kept
                the_previous_secret_is_told_the_same_sealed_secret
                every_operation_with_the_previous_secret_acts_on_the_session
                the_previous_secret_works_for_the_grace_after_the_confirmation
                only_the_current_secret_hands_over
                a_handover_of_another_version_is_a_conflict
            }
            confirmation {
                the_first_load_with_the_current_secret_confirms
                a_confirmation_takes_place_once
                only_a_claim_of_the_current_secret_confirms
                a_load_without_a_handover_confirms_nothing
            }
            reuse {
                the_previous_secret_is_reused_after_the_grace
                a_reused_secret_changes_nothing
                an_older_secret_is_missing
                a_secret_from_before_a_regeneration_is_missing
            }
            remove {
                a_take_hands_out_the_record_and_removes_it
                a_removed_record_is_gone
                a_missing_record_is_not_removed
                another_version_is_a_conflict_and_nothing_is_removed
                another_claim_is_a_conflict_and_nothing_is_removed
            }
            alive {
                each_key_is_answered_in_its_place
                no_key_has_no_answer
                a_question_touches_nothing
                hundreds_of_keys_are_one_batch
            }
        }
    };
}

pub(crate) use what_can_hold;
