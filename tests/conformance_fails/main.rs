//! The conformance suite fails where a store is wrong: each store here has one fault, and the cases of
//! that sentence of the contract have to find it.

mod fault;
mod faulty;
mod kept;
mod lists;
#[path = "../on_every_store/mod.rs"]
mod on_every_store;
mod secrets;
mod writes;

/// A test for each fault: that the functions after the arrow find it. `$run` calls one of them.
macro_rules! found {
    ($run:ident! $($name:ident: $fault:ident => $($part:ident::$case:ident),+;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $name() {
            $(
                let mut found = false;
                // On a busy machine a race may not show in one run.
                for _ in 0..3 {
                    let run = tokio::spawn(async {
                        let harness = crate::faulty::Faulty::new(crate::fault::Fault::$fault);
                        $run!($part::$case, harness);
                    });
                    found |= run.await.is_err_and(|error| error.is_panic());
                    if found {
                        break;
                    }
                }
                assert!(found, "{} does not find {}", stringify!($case), stringify!($fault));
            )+
        }
    )*};
}

macro_rules! in_suite {
    ($part:ident::$case:ident, $harness:ident) => {
        token_session::store::conformance::$part::$case(&$harness).await
    };
}

macro_rules! on_store {
    ($part:ident::$case:ident, $harness:ident) => {{
        let on = crate::on_every_store::On { harness: $harness, rounds: 100 };
        crate::on_every_store::$part::$case(&on).await
    }};
}

mod found_in_codes;
mod found_in_data;
mod found_in_lists;
mod found_in_secrets;

/// What the faults are put into has none.
mod without_a_fault {
    use crate::fault::Fault::Nothing;
    use crate::faulty::Faulty;

    token_session::conformance_suite!(Faulty::new(Nothing));

    mod moving {
        use super::{Faulty, Nothing};

        token_session::conformance_suite! {
            Faulty::new(Nothing);
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

    mod with_codes {
        use super::{Faulty, Nothing};

        crate::on_every_store::codes_on_store!(Faulty::new(Nothing), rounds: 10);
    }
}
