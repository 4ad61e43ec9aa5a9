//! What the tests of codes and links find.

found! {
    on_store!
    a_write_that_is_denied_is_found: ReplaceDeniesWhatItWrote =>
        codes::a_right_code_amid_wrong_guesses_is_redeemed;
    a_code_that_never_ends_is_found: ClockStandsStill =>
        codes::a_code_ends_with_its_lifetime,
        abuse::an_expired_code_stays_dead,
        abuse::a_link_ends_with_its_lifetime;
    a_first_guess_budget_that_is_looked_for_then_written_is_found: InsertLooksThenWrites =>
        codes::racing_challenges_reserve_no_more_than_a_day;
    a_code_that_is_looked_at_then_used_is_found: ReplaceLooksThenWrites =>
        codes::one_of_racing_right_codes_is_redeemed,
        codes::only_the_allowed_racing_guesses_are_compared,
        codes::racing_challenges_reserve_no_more_than_a_day,
        codes::a_racing_double_submit_gets_one_answer_twice,
        codes::one_of_racing_leases_is_taken,
        codes::one_of_racing_recovery_codes_is_used,
        codes::a_link_is_used_as_often_as_it_has_uses,
        codes::one_of_racing_right_codes_of_a_subject_is_redeemed,
        codes::five_of_racing_guesses_at_a_subject_are_compared;
    a_last_use_that_is_looked_for_then_removed_is_found: RemoveLooksThenRemoves =>
        codes::a_link_is_used_as_often_as_it_has_uses;
    a_revocation_of_others_is_found: RemoveOwnedEndsOthers =>
        codes::all_codes_of_a_subject_are_revoked;
    a_dead_code_that_comes_back_is_found: LoadMakesRecords =>
        abuse::an_expired_code_stays_dead;
    a_code_or_a_link_whose_use_is_lost_is_found: ChangesAreLost =>
        abuse::a_replayed_code_is_refused,
        abuse::a_code_of_another_challenge_is_refused_and_charged,
        abuse::a_double_click_gets_the_first_answer_again,
        abuse::a_replayed_link_is_refused,
        attacks::thirty_days_of_guesses_stay_within_the_budget;
    a_code_or_a_link_under_a_wrong_key_is_found: LoadFindsAnother =>
        abuse::a_code_of_another_purpose_is_refused_and_stays_good,
        abuse::a_link_of_another_purpose_is_refused_and_stays_good,
        abuse::a_cut_or_padded_link_is_refused_and_stays_good,
        attacks::nothing_in_a_dump_redeems;
    a_day_that_is_forgotten_too_soon_is_found: ReplaceKeepsTheLifetime =>
        attacks::thirty_days_of_guesses_stay_within_the_budget;
    a_dump_of_a_part_is_found: ScanEndsEarly =>
        attacks::a_dump_tells_no_secret,
        attacks::nothing_in_a_dump_redeems;
}
