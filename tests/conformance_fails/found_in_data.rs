//! What the cases of inserts, loads, writes and removals find.

found! {
    in_suite!
    a_record_that_outlives_its_end_is_found: ClockStandsStill =>
        throughout::an_expired_record_does_not_exist,
        throughout::a_sweep_changes_no_verdict,
        insert::an_expired_record_does_not_block_its_key,
        insert::timeouts_from_a_millisecond_to_the_longest_are_kept,
        load::a_touch_never_passes_the_deadline,
        replace::a_new_lifetime_may_be_shorter;
    a_change_that_is_lost_is_found: ChangesAreLost =>
        replace::a_write_changes_the_data_and_the_version_alone,
        remove::a_removed_record_is_gone;
    an_insert_that_is_two_writes_is_found: InsertWritesTwice =>
        insert::a_new_record_is_of_its_version_created_and_seen_now;
    an_insert_over_another_is_found: InsertOverwrites =>
        insert::a_taken_key_is_refused_and_nothing_changes,
        insert::one_of_racing_inserts_of_a_key_is_done;
    an_insert_in_two_steps_is_found: InsertListsLater =>
        throughout::a_dropped_insert_is_done_or_not_done;
    an_insert_that_looks_then_writes_is_found: InsertLooksThenWrites =>
        insert::one_of_racing_inserts_of_a_key_is_done;
    a_lost_detail_is_found: InsertForgetsTheDetails =>
        insert::a_new_record_is_as_it_was_given;
    a_lost_owner_is_found: InsertForgetsTheOwner =>
        insert::a_new_record_is_as_it_was_given,
        remove::a_removed_record_is_gone;
    data_that_is_kept_as_text_is_found: InsertKeepsText =>
        insert::data_of_every_size_and_byte_is_kept;
    a_lifetime_that_is_cut_is_found: InsertCapsTheLifetime =>
        insert::timeouts_from_a_millisecond_to_the_longest_are_kept;
    a_load_that_makes_a_record_is_found: LoadMakesRecords =>
        load::a_missing_record_is_not_found;
    a_load_that_touches_unasked_is_found: LoadAlwaysTouches =>
        load::a_load_without_a_touch_leaves_the_record;
    a_load_that_does_not_touch_is_found: LoadNeverTouches =>
        load::a_touch_makes_the_record_seen_now,
        load::a_touch_answers_as_a_load_does,
        load::a_touch_after_the_interval_is_written,
        load::a_touch_after_a_tenth_of_the_idle_timeout_is_written;
    a_load_that_shows_what_was_is_found: LoadShowsTheRecordBeforeTheTouch =>
        load::a_touch_makes_the_record_seen_now,
        load::a_touch_answers_as_a_load_does;
    a_load_from_a_stale_replica_is_found: LoadIsStale =>
        load::racing_touches_move_forward_only,
        replace::a_write_changes_the_data_and_the_version_alone,
        remove::a_take_hands_out_the_record_and_removes_it;
    a_touch_that_ignores_the_interval_is_found: TouchIgnoresTheInterval =>
        load::a_touch_within_the_interval_is_not_written;
    a_touch_that_ignores_the_tenth_is_found: TouchIgnoresTheTenth =>
        load::a_touch_after_a_tenth_of_the_idle_timeout_is_written;
    a_touch_past_the_deadline_is_found: TouchForgetsTheDeadline =>
        load::a_touch_never_passes_the_deadline,
        load::nothing_slides_without_an_idle_timeout;
    a_touch_that_undoes_a_write_is_found: TouchUndoesWrites =>
        load::racing_touches_and_writes_lose_neither,
        replace::a_write_that_races_a_removal_does_not_undo_it;
    a_write_that_looks_then_writes_is_found: ReplaceLooksThenWrites =>
        replace::one_of_racing_writes_that_expect_a_version_is_done,
        replace::racing_increments_are_all_counted,
        replace::a_write_that_races_a_removal_does_not_undo_it;
    a_write_that_revives_is_found: ReplaceInserts =>
        throughout::an_expired_record_does_not_exist,
        replace::a_missing_record_is_not_written,
        replace::no_write_brings_a_removed_record_back,
        replace::a_write_that_races_a_removal_does_not_undo_it;
    a_write_that_touches_unasked_is_found: ReplaceTouches =>
        replace::a_write_changes_the_data_and_the_version_alone;
    a_write_that_does_not_touch_is_found: ReplaceNeverTouches =>
        replace::a_write_may_touch;
    a_write_that_keeps_the_lifetime_is_found: ReplaceKeepsTheLifetime =>
        replace::a_write_may_begin_a_new_lifetime,
        replace::a_new_lifetime_may_be_shorter;
    a_write_over_any_version_is_found: ReplaceIgnoresTheVersion =>
        replace::another_version_is_a_conflict_and_nothing_is_written,
        replace::one_of_racing_writes_that_expect_a_version_is_done;
    a_write_that_is_denied_is_found: ReplaceDeniesWhatItWrote =>
        replace::one_of_racing_writes_that_expect_a_version_is_done;
    a_write_in_two_steps_is_found: ReplaceWritesDataLast =>
        throughout::nobody_sees_half_of_a_write,
        throughout::a_dropped_write_is_done_or_not_done;
    a_write_that_is_kept_as_text_is_found: ReplaceKeepsText =>
        replace::data_of_every_size_and_byte_is_written;
    a_take_that_leaves_the_record_is_found: TakeLeavesTheRecord =>
        remove::a_take_hands_out_the_record_and_removes_it;
    a_take_that_looks_then_removes_is_found: TakeLooksThenRemoves =>
        remove::one_of_racing_takes_gets_the_record,
        remove::either_a_racing_take_or_a_removal_wins;
    a_removal_that_looks_then_removes_is_found: RemoveLooksThenRemoves =>
        remove::one_of_racing_removals_is_done,
        remove::either_a_racing_take_or_a_removal_wins;
    a_removal_without_a_condition_is_found: RemoveIgnoresTheCondition =>
        remove::another_version_is_a_conflict_and_nothing_is_removed;
    a_removal_of_nothing_is_found: RemoveIsAlwaysDone =>
        remove::a_missing_record_is_not_removed,
        remove::a_removed_record_is_gone;
    a_sweep_of_the_living_is_found: SweepEndsTheLiving =>
        throughout::a_sweep_changes_no_verdict;
    no_partitions_are_found: NoPartitions =>
        throughout::there_are_1_to_1024_partitions;

    details_that_are_cut_are_found: InsertCutsTheDetails =>
        insert::a_new_record_is_as_it_was_given;
    a_lost_proof_is_found: InsertForgetsTheProof =>
        insert::a_new_record_is_as_it_was_given,
        proof::the_claim_of_the_current_secret_opens_the_record;
    a_proof_that_an_expired_record_left_is_found: InsertKeepsTheOldProof =>
        insert::an_expired_record_does_not_block_its_key;
    data_that_nobody_asked_for_are_found: LoadAlwaysHasData =>
        load::a_load_without_data_has_none,
        reuse::a_reused_secret_changes_nothing,
        reference::every_operation_does_what_the_reference_does;
    an_authentication_that_keeps_the_deadline_is_found: ReplaceKeepsTheDeadline =>
        replace::an_authentication_restarts_both_timeouts,
        reference::every_operation_does_what_the_reference_does;
    an_authentication_that_is_lost_is_found: ReplaceForgetsTheAuthentication =>
        replace::an_authentication_restarts_both_timeouts,
        handover::every_operation_with_the_previous_secret_acts_on_the_session;
    details_that_are_not_written_are_found: ReplaceForgetsTheDetails =>
        replace::a_write_of_details_leaves_the_data,
        proof::a_regeneration_ends_the_secret_before_at_once;
    details_that_a_write_clears_are_found: ReplaceClearsTheDetails =>
        replace::a_write_changes_the_data_and_the_version_alone,
        replace::a_write_of_details_leaves_the_data;
    data_that_a_write_clears_are_found: ReplaceClearsTheData =>
        replace::a_write_without_data_leaves_the_data,
        handover::a_sealed_secret_of_every_size_is_kept;
    a_write_that_tells_the_end_before_it_is_found: ReplaceTellsTheEndBefore =>
        replace::a_write_may_touch,
        replace::an_authentication_restarts_both_timeouts,
        reference::every_operation_does_what_the_reference_does;
    a_removal_that_hands_out_unasked_is_found: RemoveHandsOutUnasked =>
        remove::a_removed_record_is_gone,
        remove::one_of_racing_removals_is_done;
    an_answer_of_the_past_is_found: AliveIsOfThePast =>
        alive::each_key_is_answered_in_its_place,
        throughout::an_expired_record_does_not_exist;
    a_question_that_touches_is_found: AliveTouches =>
        alive::a_question_touches_nothing;
    answers_in_another_order_are_found: AliveIsSorted =>
        alive::each_key_is_answered_in_its_place,
        alive::hundreds_of_keys_are_one_batch;
    one_answer_for_a_key_that_is_asked_twice_is_found: AliveAnswersEachKeyOnce =>
        alive::each_key_is_answered_in_its_place;
    answers_that_stop_at_a_hundred_are_found: AliveStopsAtAHundred =>
        alive::hundreds_of_keys_are_one_batch;
    a_write_that_the_reference_does_not_make_is_found: ReplaceTouches =>
        reference::every_operation_does_what_the_reference_does;
    a_touch_that_the_reference_does_not_make_is_found: LoadAlwaysTouches =>
        reference::every_operation_does_what_the_reference_does;
    a_change_that_the_reference_makes_and_the_store_does_not_is_found: ChangesAreLost =>
        reference::every_operation_does_what_the_reference_does;
}
