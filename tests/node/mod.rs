//! What the tests of the stores that Node shares have in common: a [`Place`] where both keep their
//! sessions, and the [`cases`] that each package's place passes.

pub mod at_once;
pub mod cases;
pub mod ends;
pub mod express;
pub mod peer;

use std::time::Duration;

use serde_json::Value;
pub use test_servers::fresh_name;
use token_session::store::compat::{NodeStore, Shape};
use token_session::{Codec, Token, TokenSession};

use self::peer::Peer;

/// A place in a database that no other test uses, and a version of the package that keeps its
/// sessions there.
pub trait Place: Sync {
    type Store: NodeStore + Clone;

    /// The store of this crate.
    async fn store(&self, shape: Shape) -> Self::Store;

    /// The package's name and version, as `stores.js` knows it, and its options for this place.
    async fn package(&self) -> (&'static str, Value);

    /// How its option for the time to live is called, and the unit.
    fn ttl_option(&self) -> (&'static str, Duration) {
        ("ttl", Duration::from_secs(1))
    }

    /// How long its sessions live if nothing is said.
    fn default_ttl(&self) -> Duration {
        Duration::from_secs(86_400)
    }

    /// The record under an id, as it stands there.
    async fn text(&self, id: &str) -> Option<String>;

    /// When the record under an id ends by what the database holds, since the epoch.
    async fn end(&self, id: &str) -> Duration;

    /// Moves the end of the record under an id to so many seconds from now, as the time would that has
    /// passed since it was written.
    async fn leave(&self, id: &str, seconds: u32);

    /// Puts a record there that lives an hour.
    async fn put(&self, id: &str, text: &str);

    /// `token-session` 1.1 on it.
    async fn node(&self) -> Peer {
        let (package, options) = self.package().await;
        Peer::open(package, options).await
    }

    /// `token-session` 1.1 on it, whose sessions live so many seconds.
    async fn node_with_ttl(&self, seconds: u32) -> Peer {
        let (package, mut options) = self.package().await;
        let (name, unit) = self.ttl_option();
        options[name] = (u64::from(seconds) * 1000 / unit.as_millis() as u64).into();
        Peer::open(package, options).await
    }

    /// An Express service on it.
    async fn express(&self, cookie: Value) -> Peer {
        let (package, options) = self.package().await;
        Peer::express(package, options, cookie).await
    }

    /// A manager that begins sessions as the package does by default.
    async fn sessions<T>(&self, shape: Shape) -> TokenSession<T>
    where
        T: Send + 'static,
        token_session::Json: Codec<T>,
    {
        let lifetime = token_session::Lifetime::idle(self.default_ttl()).unwrap();
        let builder = TokenSession::builder().store(self.store(shape).await).lifetime(lifetime);
        builder.build().unwrap()
    }
}

pub fn token(id: &str) -> Token {
    Token::parse(id).unwrap()
}

/// Makes a test of each case, for the place that the expression gives.
macro_rules! share_with_node {
    ($place:expr) => {
        share_with_node! { @tests $place;
            cases {
                what_node_writes_is_read
                what_is_written_here_is_read_by_node
                a_record_is_written_as_node_writes_it
                what_was_written_yesterday_is_written_and_read_today
                what_one_changes_the_other_sees
                what_one_destroys_is_gone_for_the_other
                a_session_that_node_destroyed_is_not_brought_back
                a_regenerated_session_has_one_id_for_node
                a_listing_has_what_node_wrote
                a_write_over_another_version_is_a_conflict
                a_damaged_record_can_be_ended
                a_token_that_anybody_could_guess_opens_no_session
                a_request_that_is_dropped_ends_no_session
                the_bugs_of_node_are_tolerated
                a_session_of_an_owner_is_refused
                sessions_move_to_another_store_while_the_service_runs
            }
            ends {
                both_agree_when_a_session_ends
                both_agree_when_a_session_of_express_ends
                a_touch_here_moves_the_end_of_a_session_of_node
                a_touch_here_moves_the_end_of_a_session_of_express
                a_touch_by_node_gives_the_life_of_its_store
                a_touch_by_express_gives_the_life_of_the_session
                a_lifetime_of_its_own_survives_a_touch_by_node
                an_absolute_timeout_that_node_cut_short_is_mended
            }
            at_once {
                changes_here_are_all_counted_and_nodes_are_never_lost
                what_one_destroys_while_both_are_at_it_stays_dead
                a_session_that_gets_new_ids_while_both_are_at_it_has_one
                a_new_id_has_what_node_wrote_unless_node_brings_the_old_one_back
            }
            express {
                a_session_of_express_is_read_with_its_fields_and_its_lifetime
                a_session_begun_here_is_one_of_express
                a_browser_keeps_the_cookie_of_a_session_begun_here
                what_a_struct_does_not_know_survives
                a_change_here_renews_the_cookie_as_express_does
                what_express_destroys_is_gone_and_the_reverse
                a_session_of_token_session_1_0_is_flat
                a_wrapped_session_that_express_saved_is_read
            }
        }
    };
    (@tests $place:expr; $($module:ident { $($test:ident)* })*) => {
        $(mod $module {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    crate::node::$module::$test(&$place.await).await;
                }
            )*
        })*
    };
}
pub(crate) use share_with_node;
