//! The races of the conformance suite, on a store that is some milliseconds away, now more and now less:
//! whatever can come between two calls does.

use std::time::Duration;

use token_session::store::conformance::{self, Harness};
use token_session::store::{ManualClock, Memory};

use super::MILLISECOND;
use super::watched::Watched;

#[derive(Default)]
struct Distant(ManualClock);

impl Harness for Distant {
    type Store = Watched;

    async fn store(&self) -> Watched {
        Watched::distant(Memory::builder().clock(self.0.clone()).build(), 5 * MILLISECOND)
    }

    async fn pass(&self, time: Duration) {
        self.0.advance(time);
    }

    fn races(&self) -> usize {
        100
    }

    fn rounds(&self) -> usize {
        20
    }
}

macro_rules! on_a_distant_store {
    ($($test:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $test() {
            conformance::codes::$test(&Distant::default()).await;
        }
    )*};
}

on_a_distant_store! {
    of_racing_right_codes_one_is_redeemed
    no_more_racing_guesses_are_compared_than_there_are
    a_right_code_amid_wrong_guesses_is_redeemed
    racing_challenges_keep_no_more_than_a_day
    a_racing_double_submit_gets_one_answer_twice
    of_racing_leases_one_is_taken
    of_racing_recovery_codes_one_is_used
    a_link_is_used_as_often_as_it_has_uses
    of_racing_right_codes_of_a_subject_one_is_redeemed
    of_racing_guesses_at_a_subject_five_are_compared
    a_subjects_revoked_code_stays_dead_whatever_races
    a_revoked_set_stays_dead_whatever_races
}
