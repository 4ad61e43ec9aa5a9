//! What clients get from the HTTP edge, over real connections. Each case is written once and holds
//! on every server.

mod carriers;
mod endings;
mod handlers;
mod logs;
#[cfg(feature = "actix")]
mod on_actix;
mod on_axum;
mod on_tower;
mod scenarios;
mod table;

use std::net::SocketAddr;
use std::sync::Arc;

use token_session::http::{SessionLayer, SessionLayerBuilder};
use token_session::store::{ManualClock, Memory};
use token_session::{Issued, Token, TokenSession};
use tokio::sync::Barrier;

use crate::client::{Answer, send};
use crate::spy::Spy;

type Data = Vec<String>;
type Spied = Arc<Spy<Memory>>;
type Manager = TokenSession<Data>;
type Layer = SessionLayerBuilder<Data>;

#[derive(Clone, Copy, Debug)]
enum Server {
    Axum,
    #[cfg(feature = "actix")]
    Actix,
}

impl Server {
    /// Serves the [`handlers`] on a free loopback port until the test's runtime ends.
    async fn serve(self, setup: Setup) -> SocketAddr {
        match self {
            Self::Axum => on_axum::serve(setup).await,
            #[cfg(feature = "actix")]
            Self::Actix => on_actix::serve(setup),
        }
    }

    async fn start(self) -> Service {
        self.start_with(|layer| layer).await
    }

    async fn start_with(self, options: fn(Layer) -> Layer) -> Service {
        let clock = ManualClock::default();
        let store = Arc::new(Spy::new(Memory::builder().clock(clock.clone()).build()));
        let sessions = TokenSession::builder().store(store.clone()).max_size(1_000);
        let sessions = sessions.build().unwrap();
        let setup = Setup::new(sessions.clone(), options);
        let both = setup.both.clone();
        Service { address: self.serve(setup).await, store, clock, sessions, both }
    }
}

/// What a server needs for its routes.
#[derive(Clone)]
struct Setup {
    layer: SessionLayer<Data>,
    /// Whether the layer is around the routes.
    layered: bool,
    /// A layer further in, for another type of data.
    inner: Option<Arc<SessionLayer<u32>>>,
    sessions: Manager,
    both: Arc<Barrier>,
}

impl Setup {
    fn new(sessions: Manager, options: fn(Layer) -> Layer) -> Self {
        logs::capture();
        let layer = options(SessionLayer::builder(sessions.clone())).build().unwrap();
        Self { layer, layered: true, inner: None, sessions, both: Arc::new(Barrier::new(2)) }
    }
}

/// A server and what is behind it.
struct Service {
    address: SocketAddr,
    store: Spied,
    clock: ManualClock,
    sessions: Manager,
    /// Opens when two wait at it.
    both: Arc<Barrier>,
}

impl Service {
    async fn login(&self) -> Issued {
        let issued = self.sessions.create(&vec![]).await.unwrap();
        self.store.calls();
        issued
    }

    async fn ask(&self, line: &str, token: &str) -> Answer {
        send(self.address, line, token, "").await
    }

    async fn data(&self, token: &Token) -> Data {
        self.sessions.get_untouched(token).await.unwrap().unwrap().data
    }
}

/// Each case as a test on every server.
macro_rules! on_every_server {
    ($($module:ident: $($case:ident),+;)+) => {
        mod axum {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$module::$case(super::Server::Axum).await;
                }
            )+)+
        }

        #[cfg(feature = "actix")]
        mod actix {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$module::$case(super::Server::Actix).await;
                }
            )+)+
        }
    };
}

on_every_server! {
    table:
        each_case_of_the_table_holds,
        each_case_without_a_carrier_holds,
        each_case_of_cookies_and_queries_holds;
    carriers:
        a_token_in_the_query_is_in_no_uri_that_a_handler_sees,
        a_request_without_a_path_does_no_harm,
        two_cookies_with_live_sessions_are_refused,
        an_inner_layer_reads_the_parameter_that_an_outer_one_took;
    endings:
        a_token_that_died_before_the_answer_is_not_sent,
        an_answer_that_replaces_another_keeps_the_headers_of_layers_further_in,
        an_answer_that_depended_on_the_session_is_not_for_shared_caches;
    logs: each_answer_of_500_or_503_has_one_event_with_the_reason_and_the_key;
    scenarios:
        an_expired_or_destroyed_token_is_401_invalid_token,
        a_token_of_a_megabyte_or_with_control_characters_does_no_harm,
        a_token_is_good_again_once_the_store_is,
        a_store_that_fails_at_the_commit_is_503_instead_of_the_answer,
        a_damaged_record_is_500_and_stays,
        of_two_requests_that_change_one_session_at_once_one_gets_409,
        a_hundred_requests_that_update_one_session_at_once_all_count,
        a_new_token_goes_out_in_the_header_and_is_not_to_be_stored,
        a_new_token_goes_out_in_the_header_whatever_is_read,
        changes_around_a_regeneration_are_kept_under_the_new_token,
        a_token_that_was_not_made_here_is_never_adopted,
        what_needs_fresh_proof_answers_with_a_step_up_challenge,
        every_carrier_that_is_on_is_read,
        a_signed_cookie_is_believed_by_its_signature_alone,
        a_handler_without_the_layer_says_what_is_missing,
        the_generator_sees_the_request,
        a_dump_of_the_store_logs_nobody_in;
}
