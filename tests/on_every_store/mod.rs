//! What the docs of one-time codes and links promise, on a store that keeps the contract: they are built
//! on the contract alone. A test target of a store includes this module by its path, and calls
//! `codes_on_store!` with the harness of the conformance suite.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use token_session::codes::{CodeError, Codes};
use token_session::links::{BaseUrl, LinkError, Links};
use token_session::store::AtomicStore;
use token_session::store::conformance::Harness;
use tokio::sync::Barrier;
use tokio::task::{JoinSet, yield_now};

pub mod abuse;
pub mod attacks;
pub mod codes;
mod later;

/// Makes a test of each function of these modules. A case that is missing in this list is a warning of the
/// compiler, which finds it unused.
///
/// `rounds`: see [`On::rounds`].
macro_rules! codes_on_store {
    ($harness:expr) => {
        $crate::on_every_store::codes_on_store! { $harness, rounds: 100 }
    };
    ($harness:expr, rounds: $rounds:expr) => {
        $crate::on_every_store::codes_on_store! { @parts $harness, $rounds;
            codes {
                one_of_racing_right_codes_is_redeemed
                only_the_allowed_racing_guesses_are_compared
                a_right_code_amid_wrong_guesses_is_redeemed
                racing_challenges_reserve_no_more_than_a_day
                a_racing_double_submit_gets_one_answer_twice
                one_of_racing_leases_is_taken
                a_code_ends_with_its_lifetime
                all_codes_of_a_subject_are_revoked
                one_of_racing_recovery_codes_is_used
                a_link_is_used_as_often_as_it_has_uses
                one_of_racing_right_codes_of_a_subject_is_redeemed
                five_of_racing_guesses_at_a_subject_are_compared
                a_subjects_revoked_code_stays_dead_in_every_race
                a_revoked_set_stays_dead_in_every_race
            }
            abuse {
                a_replayed_code_is_refused
                a_code_of_another_purpose_is_refused_and_stays_good
                a_code_of_another_subject_is_refused_and_stays_good
                a_code_of_another_challenge_is_refused_and_charged
                a_double_click_gets_the_first_answer_again
                an_expired_code_stays_dead
                a_megabyte_is_no_code
                a_replayed_link_is_refused
                a_link_of_another_purpose_is_refused_and_stays_good
                a_cut_or_padded_link_is_refused_and_stays_good
                a_megabyte_is_no_link
                a_link_ends_with_its_lifetime
            }
            attacks {
                a_dump_tells_no_secret
                nothing_in_a_dump_redeems
                thirty_days_of_guesses_stay_within_the_budget
            }
        }
    };
    (@parts $harness:expr, $rounds:expr; $($part:ident $cases:tt)*) => {
        $($crate::on_every_store::codes_on_store! { @part $harness, $rounds; $part $cases })*
    };
    (@part $harness:expr, $rounds:expr; $part:ident { $($case:ident)* }) => {
        mod $part {
            #[allow(unused_imports)]
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $case() {
                    let on = $crate::on_every_store::On { harness: $harness, rounds: $rounds };
                    $crate::on_every_store::$part::$case(&on).await;
                }
            )*
        }
    };
}
pub(crate) use codes_on_store;

/// What the codes and links are for.
const PURPOSE: &str = "on every store";

const HOUR: Duration = Duration::from_secs(3_600);

/// The attempt key of a form.
const FORM: &str = "a random text of form 17";

/// A store, by its harness.
pub struct On<H> {
    pub harness: H,
    /// How many rounds the race for one code takes. A round is about 4,000 calls at 1,000 races. Races of
    /// a few callers take at most 20 rounds, and the attack of 30 days takes at most this number of days.
    /// A second suite of one store may take fewer.
    pub rounds: usize,
}

impl<H: Harness<Store: AtomicStore>> On<H> {
    /// An empty store.
    async fn store(&self) -> Arc<dyn AtomicStore> {
        Arc::new(self.harness.store().await)
    }

    fn races(&self) -> usize {
        self.harness.races()
    }

    /// How many rounds a race of a few callers takes: what it shows, it shows in these.
    fn rounds_of_few(&self) -> usize {
        self.rounds.min(20)
    }

    /// For what has to die.
    fn moment(&self) -> Duration {
        Duration::from_millis(300).max(2 * self.harness.resolution())
    }

    /// Lets enough time pass that what lives for a moment is dead.
    async fn outlive_moment(&self) {
        let more = 2 * self.harness.resolution() + Duration::from_millis(50);
        self.harness.pass(self.moment() + more).await;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Redeemed,
    Refused,
    Exhausted,
    TooSoon,
    Failed,
}

fn outcome<T>(answer: Result<T, CodeError>) -> Outcome {
    match answer {
        Ok(_) => Outcome::Redeemed,
        Err(CodeError::Refused) => Outcome::Refused,
        Err(CodeError::Exhausted) => Outcome::Exhausted,
        Err(CodeError::TooSoon { .. }) => Outcome::TooSoon,
        Err(_) => Outcome::Failed,
    }
}

fn link_outcome<T>(answer: Result<T, LinkError>) -> Outcome {
    match answer {
        Ok(_) => Outcome::Redeemed,
        Err(LinkError::Refused) => Outcome::Refused,
        Err(_) => Outcome::Failed,
    }
}

fn codes_in(store: Arc<dyn AtomicStore>) -> Codes<String> {
    Codes::builder(PURPOSE).store(store).build().unwrap()
}

fn links_in(store: Arc<dyn AtomicStore>) -> Links<String> {
    Links::builder(PURPOSE, base()).store(store).build().unwrap()
}

fn base() -> BaseUrl {
    BaseUrl::path("https://example.org/downloads/").unwrap()
}

fn subject(number: usize) -> String {
    format!("user-{number}@example.org")
}

/// A code for a subject of this number, and its handle.
async fn issue(codes: &Codes<String>, number: usize) -> (String, String) {
    let issued = codes.issue(&subject(number), &format!("payload {number}")).await.unwrap();
    let handle = issued.challenge.handle.reveal().to_owned();
    (handle, issued.code.reveal().to_owned())
}

/// A code that this one is not.
fn another_than(code: &str) -> String {
    let (first, rest) = code.split_at(1);
    format!("{}{rest}", if first == "0" { '1' } else { '0' })
}

/// Runs this many tasks at once, and returns what they answered. They start when all are there, and wait
/// for a few turns of the scheduler then, so that its order does not decide which comes first.
async fn race<T, F>(tasks: usize, task: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(tasks));
    let with_a_handicap = async |start: Arc<Barrier>, future: F| {
        start.wait().await;
        for _ in 0..getrandom::u32().unwrap() % 4 {
            yield_now().await;
        }
        future.await
    };
    (0..tasks)
        .map(|number| with_a_handicap(start.clone(), task(number)))
        .collect::<JoinSet<T>>()
        .join_all()
        .await
}

/// How many of the answers are this one.
fn how_many<T: PartialEq>(answers: &[T], this: &T) -> usize {
    answers.iter().filter(|answer| *answer == this).count()
}
