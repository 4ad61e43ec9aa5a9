//! The list of all cases. [`conformance_suite!`](crate::conformance_suite) and the modules that the
//! documentation shows are made of it. A case that is missing here is an error of the compiler, which
//! finds it unused.

/// Hands the list to another macro, after the arguments for that one.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_cases {
    ($macro:path { $($arguments:tt)* }) => {
        $macro! {
            $($arguments)*
            always {
                throughout {
                    an_expired_record_does_not_exist
                    a_sweep_changes_no_verdict
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
                    one_of_racing_inserts_of_a_key_is_done
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
                    racing_touches_move_forward_only
                    racing_touches_and_writes_lose_neither
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
                    a_write_that_races_a_removal_does_not_undo_it
                    another_version_is_a_conflict_and_nothing_is_written
                    one_of_racing_writes_that_expect_a_version_is_done
                    racing_increments_are_all_counted
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
                    one_of_racing_regenerations_with_a_secret_is_done
                }
                handover {
                    a_handover_keeps_the_version_and_both_secrets
                    a_sealed_secret_of_every_size_is_kept
                    the_previous_secret_is_told_the_same_sealed_secret
                    every_operation_with_the_previous_secret_acts_on_the_session
                    the_previous_secret_works_for_the_grace_after_the_confirmation
                    only_the_current_secret_hands_over
                    a_handover_of_another_version_is_a_conflict
                    one_of_racing_handovers_is_done
                }
                confirmation {
                    the_first_load_with_the_current_secret_confirms
                    a_confirmation_takes_place_once
                    only_a_claim_of_the_current_secret_confirms
                    a_load_without_a_handover_confirms_nothing
                    one_of_racing_confirmations_sets_the_time
                }
                reuse {
                    the_previous_secret_is_reused_after_the_grace
                    a_reused_secret_changes_nothing
                    an_older_secret_is_missing
                    a_secret_from_before_a_regeneration_is_missing
                }
                remove {
                    a_take_hands_out_the_record_and_removes_it
                    one_of_racing_takes_gets_the_record
                    a_removed_record_is_gone
                    a_missing_record_is_not_removed
                    another_version_is_a_conflict_and_nothing_is_removed
                    another_claim_is_a_conflict_and_nothing_is_removed
                    one_of_racing_removals_is_done
                    either_a_racing_take_or_a_removal_wins
                }
                alive {
                    each_key_is_answered_in_its_place
                    no_key_has_no_answer
                    a_question_touches_nothing
                    hundreds_of_keys_are_one_batch
                }
            }
            owners {
                limits {
                    the_oldest_ends_at_the_limit_and_its_key_is_returned
                    a_lower_limit_ends_as_many_as_it_has_to
                    an_insert_at_the_limit_is_refused_and_changes_nothing
                    a_taken_key_ends_none_of_the_owners_sessions
                    only_live_sessions_of_the_owner_count_for_the_limit
                    racing_inserts_that_are_refused_leave_no_more_than_the_limit
                    racing_inserts_that_evict_leave_no_more_than_the_limit
                }
                owners {
                    live_sessions_are_listed_the_youngest_first
                    a_list_holds_no_more_than_its_limit
                    each_session_is_on_one_page
                    a_session_that_stays_is_on_a_page_while_others_come_and_go
                    a_list_shows_what_a_load_shows
                    what_has_ended_is_not_listed
                    owners_are_told_apart_by_every_byte
                    another_owner_is_a_conflict_and_nothing_is_removed
                }
                ends {
                    all_sessions_of_an_owner_end
                    others_sessions_stay
                    the_kept_session_stays_and_works_on
                    a_stranger_is_not_kept
                    an_owner_without_sessions_is_no_error
                    an_owner_whose_sessions_ended_begins_anew
                    what_the_owner_had_ends_in_every_race
                    an_insert_that_races_is_listed_or_dead
                    two_ends_that_keep_different_sessions_keep_none
                    a_repeat_ends_what_a_dropped_end_has_left
                    an_end_returns_while_sessions_keep_coming
                }
            }
            listing {
                listing {
                    a_scan_lists_every_live_record_once
                    a_scan_of_nothing_ends
                    a_record_that_stays_is_scanned_while_others_come_and_go
                    the_count_is_of_live_records
                    a_clear_removes_every_record
                    a_cleared_store_begins_anew
                    stores_do_not_see_each_other
                    a_sweep_frees_no_more_than_its_limit_and_nothing_live
                }
            }
            moves {
                moves {
                    a_rename_changes_the_key_and_the_version_and_is_seen_now
                    an_authentication_renews_the_deadline_too
                    both_keys_are_never_alive
                    a_missing_record_is_not_renamed
                    a_taken_key_is_refused_and_nothing_changes
                    an_expired_record_does_not_block_its_key
                    one_of_racing_renames_of_a_key_is_done
                    one_of_racing_renames_to_a_key_is_done
                    a_rename_that_races_a_removal_does_not_undo_it
                    a_dropped_rename_is_done_or_not_done
                }
            }
        }
    };
}
