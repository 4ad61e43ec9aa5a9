//! What the cases of owners, of lists and of moves find.

found! {
    in_suite!
    a_record_that_outlives_its_end_is_found: ClockStandsStill =>
        limits::only_live_sessions_of_the_owner_count_for_the_limit,
        moves::an_expired_record_does_not_block_its_key,
        owners::what_has_ended_is_not_listed,
        owners::a_list_holds_no_more_than_its_limit,
        listing::the_count_is_of_live_records,
        listing::a_scan_lists_every_live_record_once;
    a_namespace_that_is_shared_is_found: OneStoreForAll =>
        listing::stores_do_not_see_each_other;
    a_limit_that_is_counted_then_written_is_found: InsertCountsThenWrites =>
        limits::racing_inserts_that_are_refused_leave_no_more_than_the_limit,
        limits::racing_inserts_that_evict_leave_no_more_than_the_limit,
        limits::the_oldest_ends_at_the_limit_and_its_key_is_returned;
    an_eviction_of_the_youngest_is_found: InsertEvictsTheYoungest =>
        limits::the_oldest_ends_at_the_limit_and_its_key_is_returned;
    an_eviction_of_too_few_is_found: InsertEvictsOneAtMost =>
        limits::a_lower_limit_ends_as_many_as_it_has_to;
    an_eviction_for_nothing_is_found: InsertEvictsBeforeItLooks =>
        limits::a_taken_key_ends_none_of_the_owners_sessions;
    an_eviction_against_the_policy_is_found: InsertEvictsDespitePolicy =>
        limits::an_insert_at_the_limit_is_refused_and_changes_nothing;
    a_lost_owner_is_found: InsertForgetsTheOwner =>
        owners::live_sessions_are_listed_the_youngest_first,
        ends::all_sessions_of_an_owner_end;
    a_write_that_revives_is_found: ReplaceInserts =>
        ends::all_sessions_of_an_owner_end,
        ends::what_the_owner_had_ends_in_every_race;
    a_rename_that_copies_first_is_found: RenameCopiesFirst =>
        moves::both_keys_are_never_alive,
        moves::one_of_racing_renames_of_a_key_is_done,
        moves::a_rename_that_races_a_removal_does_not_undo_it;
    a_rename_in_two_steps_is_found: RenameRemovesFirst =>
        moves::a_dropped_rename_is_done_or_not_done;
    a_rename_over_another_is_found: RenameOverwrites =>
        moves::a_taken_key_is_refused_and_nothing_changes,
        moves::one_of_racing_renames_to_a_key_is_done;
    a_rename_that_keeps_the_deadline_is_found: RenameKeepsTheDeadline =>
        moves::an_authentication_renews_the_deadline_too;
    a_rename_that_renews_the_deadline_is_found: RenameRenewsTheDeadline =>
        moves::a_rename_changes_the_key_and_the_version_and_is_seen_now;
    a_rename_of_nothing_is_found: RenameInserts =>
        moves::a_missing_record_is_not_renamed;
    a_rename_that_begins_anew_is_found: RenameBeginsAnew =>
        moves::a_rename_changes_the_key_and_the_version_and_is_seen_now;
    a_removal_without_a_condition_is_found: RemoveIgnoresTheCondition =>
        owners::another_owner_is_a_conflict_and_nothing_is_removed;
    a_list_from_the_oldest_is_found: OwnedIsOldestFirst =>
        owners::live_sessions_are_listed_the_youngest_first,
        owners::what_has_ended_is_not_listed;
    a_list_without_a_limit_is_found: OwnedIgnoresTheLimit =>
        owners::a_list_holds_no_more_than_its_limit;
    a_list_without_details_is_found: OwnedHidesTheDetails =>
        owners::a_list_shows_what_a_load_shows;
    a_collation_of_owners_is_found: OwnersAreCaseInsensitive =>
        owners::owners_are_told_apart_by_every_byte;
    an_end_of_one_page_is_found: RemoveOwnedEndsOnePage =>
        ends::all_sessions_of_an_owner_end;
    a_write_that_puts_back_what_it_saw_is_found: ReplaceLooksThenWrites =>
        ends::what_the_owner_had_ends_in_every_race;
    an_end_that_keeps_nothing_is_found: RemoveOwnedKeepsNothing =>
        ends::the_kept_session_stays_and_works_on,
        ends::an_insert_that_races_is_listed_or_dead;
    an_end_that_keeps_for_a_stranger_is_found: RemoveOwnedKeepsStrangers =>
        ends::a_stranger_is_not_kept,
        ends::two_ends_that_keep_different_sessions_keep_none;
    an_end_that_leaves_one_is_found: RemoveOwnedLeavesTheOldest =>
        ends::all_sessions_of_an_owner_end,
        ends::an_owner_whose_sessions_ended_begins_anew,
        ends::a_repeat_ends_what_a_dropped_end_has_left;
    an_end_that_waits_until_no_sessions_come_is_found: RemoveOwnedWaitsForNone =>
        ends::an_end_returns_while_sessions_keep_coming;
    an_end_of_others_is_found: RemoveOwnedEndsOthers =>
        ends::others_sessions_stay;
    an_error_for_no_sessions_is_found: RemoveOwnedWithoutSessionsFails =>
        ends::an_owner_without_sessions_is_no_error;
    a_scan_that_ends_early_is_found: ScanEndsEarly =>
        listing::a_scan_lists_every_live_record_once,
        listing::a_record_that_stays_is_scanned_while_others_come_and_go;
    a_scan_that_lists_twice_is_found: ScanListsTwice =>
        listing::a_scan_lists_every_live_record_once,
        listing::a_record_that_stays_is_scanned_while_others_come_and_go;
    a_scan_that_never_ends_is_found: ScanNeverEnds =>
        listing::a_scan_of_nothing_ends;
    a_wrong_count_is_found: CountIsOneMore =>
        listing::the_count_is_of_live_records;
    a_clear_that_leaves_one_is_found: ClearLeavesOne =>
        listing::a_clear_removes_every_record,
        listing::a_cleared_store_begins_anew;
    a_sweep_of_the_living_is_found: SweepEndsTheLiving =>
        listing::a_sweep_frees_no_more_than_its_limit_and_nothing_live;
    a_sweep_without_a_limit_is_found: SweepIgnoresTheLimit =>
        listing::a_sweep_frees_no_more_than_its_limit_and_nothing_live;

    a_list_that_begins_anew_is_found: OwnedIgnoresTheCursor =>
        owners::each_session_is_on_one_page;
    a_list_that_counts_from_the_first_is_found: OwnedSkipsByNumber =>
        owners::a_session_that_stays_is_on_a_page_while_others_come_and_go;
    a_page_that_is_thinned_out_after_the_limit_is_found: OwnedLeavesOutAfterTheLimit =>
        owners::a_list_holds_no_more_than_its_limit,
        owners::each_session_is_on_one_page;
    a_list_with_data_that_nobody_asked_for_is_found: OwnedAlwaysHasData =>
        owners::a_list_shows_what_a_load_shows;
}
