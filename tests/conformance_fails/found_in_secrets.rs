//! What the cases of proofs, handovers, confirmations and reuse find.

found! {
    in_suite!
    a_claim_that_is_ignored_is_found: ClaimIsIgnored =>
        proof::another_claim_finds_touches_writes_and_removes_nothing,
        proof::a_record_without_a_proof_fits_no_claim,
        proof::each_proof_of_a_claim_counts,
        remove::another_claim_is_a_conflict_and_nothing_is_removed,
        reuse::an_older_secret_is_missing,
        handover::only_the_current_secret_hands_over,
        reference::every_operation_does_what_the_reference_does;
    a_claim_of_one_scheme_is_found: ClaimComparesTheFirstProof =>
        proof::each_proof_of_a_claim_counts;
    a_claim_that_is_cut_is_found: ClaimComparesSixteenBytes =>
        proof::another_claim_finds_touches_writes_and_removes_nothing;
    a_claim_without_its_scheme_is_found: ClaimComparesTheDigestAlone =>
        proof::another_claim_finds_touches_writes_and_removes_nothing;
    a_claim_of_a_record_without_a_proof_is_found: ClaimFitsNoProof =>
        proof::a_record_without_a_proof_fits_no_claim,
        remove::another_claim_is_a_conflict_and_nothing_is_removed;
    a_key_that_finds_nothing_alone_is_found: KeyAloneFindsNothing =>
        proof::without_a_claim_every_record_is_found_by_its_key;
    another_claim_that_touches_is_found: AnotherClaimTouches =>
        proof::another_claim_finds_touches_writes_and_removes_nothing;
    another_claim_that_is_told_of_a_record_is_found: AnotherClaimIsAConflict =>
        proof::another_claim_finds_touches_writes_and_removes_nothing,
        reference::every_operation_does_what_the_reference_does;
    a_regeneration_of_the_same_version_is_found: RegenerationKeepsTheVersion =>
        proof::a_regeneration_ends_the_secret_before_at_once;
    a_regeneration_that_hands_over_is_found: RegenerationIsAHandover =>
        proof::a_regeneration_ends_the_secret_before_at_once,
        reuse::a_secret_from_before_a_regeneration_is_missing;
    a_regeneration_that_leaves_a_handover_is_found: RegenerationKeepsTheHandover =>
        proof::a_regeneration_ends_a_handover,
        reuse::a_secret_from_before_a_regeneration_is_missing,
        reference::every_operation_does_what_the_reference_does;
    a_regeneration_that_begins_anew_is_found: RegenerationBeginsAnew =>
        proof::a_regenerated_session_keeps_its_key;
    a_regeneration_that_looks_then_writes_is_found: RegenerationLooksThenWrites =>
        proof::one_of_racing_regenerations_with_a_secret_is_done;

    a_handover_of_another_version_is_found: HandoverRaisesTheVersion =>
        handover::a_handover_keeps_the_version_and_both_secrets,
        reference::every_operation_does_what_the_reference_does;
    a_handover_that_ends_the_secret_before_is_found: HandoverEndsThePrevious =>
        handover::a_handover_keeps_the_version_and_both_secrets,
        handover::every_operation_with_the_previous_secret_acts_on_the_session,
        throughout::a_dropped_handover_is_done_or_not_done;
    a_sealed_secret_that_is_lost_is_found: HandoverForgetsTheSealed =>
        handover::a_handover_keeps_the_version_and_both_secrets,
        handover::a_sealed_secret_of_every_size_is_kept;
    a_sealed_secret_that_is_cut_is_found: HandoverCutsTheSealed =>
        handover::a_sealed_secret_of_every_size_is_kept;
    a_handover_by_the_previous_secret_is_found: HandoverByThePrevious =>
        handover::only_the_current_secret_hands_over,
        handover::one_of_racing_handovers_is_done;
    a_handover_over_any_version_is_found: HandoverIgnoresTheVersion =>
        handover::a_handover_of_another_version_is_a_conflict;
    a_handover_that_looks_then_writes_is_found: HandoverLooksThenWrites =>
        handover::one_of_racing_handovers_is_done;
    a_handover_in_two_steps_is_found: HandoverWritesTheSealedLast =>
        throughout::a_dropped_handover_is_done_or_not_done;
    a_previous_secret_that_only_reads_is_found: PreviousReadsOnly =>
        handover::every_operation_with_the_previous_secret_acts_on_the_session,
        proof::a_regeneration_ends_a_handover;
    a_sealed_secret_that_is_told_once_is_found: PreviousIsToldOnce =>
        handover::the_previous_secret_is_told_the_same_sealed_secret;

    a_handover_that_nobody_confirms_is_found: ConfirmsNever =>
        confirmation::the_first_load_with_the_current_secret_confirms,
        reuse::the_previous_secret_is_reused_after_the_grace;
    a_confirmation_that_waits_for_a_touch_is_found: ConfirmsWithATouchOnly =>
        confirmation::the_first_load_with_the_current_secret_confirms;
    a_confirmation_with_each_load_is_found: ConfirmsAgain =>
        confirmation::a_confirmation_takes_place_once,
        confirmation::one_of_racing_confirmations_sets_the_time;
    a_confirmation_without_a_claim_is_found: ConfirmsWithoutAClaim =>
        confirmation::only_a_claim_of_the_current_secret_confirms,
        handover::a_handover_keeps_the_version_and_both_secrets;
    a_confirmation_by_the_previous_secret_is_found: ConfirmsByThePrevious =>
        confirmation::only_a_claim_of_the_current_secret_confirms,
        handover::the_previous_secret_is_told_the_same_sealed_secret;
    a_confirmation_that_keeps_the_sealed_secret_is_found: ConfirmKeepsTheSealed =>
        confirmation::the_first_load_with_the_current_secret_confirms,
        confirmation::one_of_racing_confirmations_sets_the_time;
    a_confirmation_that_touches_is_found: ConfirmTouches =>
        confirmation::the_first_load_with_the_current_secret_confirms,
        reference::every_operation_does_what_the_reference_does;
    a_confirmation_that_is_not_told_is_found: ConfirmIsNotTold =>
        confirmation::the_first_load_with_the_current_secret_confirms;
    a_write_that_confirms_is_found: WriteConfirms =>
        confirmation::only_a_claim_of_the_current_secret_confirms,
        reference::every_operation_does_what_the_reference_does;

    a_grace_that_is_forgotten_is_found: GraceIsForgotten =>
        handover::the_previous_secret_works_for_the_grace_after_the_confirmation,
        handover::every_operation_with_the_previous_secret_acts_on_the_session;
    a_grace_without_an_end_is_found: GraceHasNoEnd =>
        handover::the_previous_secret_works_for_the_grace_after_the_confirmation,
        reuse::the_previous_secret_is_reused_after_the_grace,
        remove::another_claim_is_a_conflict_and_nothing_is_removed;
    a_grace_that_begins_before_the_confirmation_is_found: GraceBeginsWithTheHandover =>
        handover::the_previous_secret_works_for_the_grace_after_the_confirmation;
    a_reuse_that_touches_is_found: ReuseTouches =>
        reuse::a_reused_secret_changes_nothing;
    a_reuse_that_goes_unseen_is_found: ReuseIsMissing =>
        reuse::the_previous_secret_is_reused_after_the_grace;
    a_reuse_that_removes_is_found: ReuseMayRemove =>
        reuse::a_reused_secret_changes_nothing,
        remove::another_claim_is_a_conflict_and_nothing_is_removed;
    an_older_secret_that_counts_as_reused_is_found: OlderIsReused =>
        reuse::an_older_secret_is_missing;
}
