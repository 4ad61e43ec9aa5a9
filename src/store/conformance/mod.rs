//! A test for each sentence of the [store contract](super), for any store.
//!
//! A [`Harness`] says how to get an empty store and how to let time pass. Then
//! [`conformance_suite!`](crate::conformance_suite) makes a test of each function here. The tests
//! need `tokio` with `macros` and `rt-multi-thread` among your development dependencies.
//!
//! ```
//! use std::time::Duration;
//! use token_session::store::conformance::Harness;
//! use token_session::store::{ManualClock, Memory};
//!
//! #[derive(Default)]
//! struct InMemory(ManualClock);
//!
//! impl Harness for InMemory {
//!     type Store = Memory;
//!
//!     async fn store(&self) -> Memory {
//!         Memory::builder().clock(self.0.clone()).build()
//!     }
//!
//!     async fn pass(&self, time: Duration) {
//!         self.0.advance(time);
//!     }
//! }
//!
//! token_session::conformance_suite!(InMemory::default());
//! ```
//!
//! # Is the suite stable?
//! The trait [`Harness`] and the forms of the macro follow SemVer. The list of cases, their names and
//! what they check do not: any release may add, rename or sharpen a case. A store that passed may then
//! fail, because it never kept the contract. Pin the version of this crate in a store's tests if such a
//! failure must not come with an update.
//!
//! # What does it not test?
//! Four sentences are a store's own to test, because no other program can bring them about: that an
//! operation is one round trip, that an error says whether to retry, that a full store says so, and
//! that a damaged record hides no other. A store's [`watch`](Store::watch) is its own to test too.
//!
//! No verdict depends on how fast the machine is: a record that has to be alive lives an hour, and
//! where a touch must have kept one alive, the store's own timestamps are compared.

use std::future::Future;
use std::time::Duration;

#[cfg(doc)]
use super::Owners;
use super::Store;

mod cases;
mod fixture;
#[macro_use]
mod list;

/// What the suite has to know of a store.
///
/// The [module](self) has an example.
pub trait Harness: Send + Sync + 'static {
    /// The store to test.
    type Store: Store;

    /// An empty store. Each call makes one that shares no record with those before, though it may
    /// share their server: tests run at the same time, and some ask for two stores.
    fn store(&self) -> impl Future<Output = Self::Store> + Send;

    /// Lets this much time pass on the store's clock: moves a clock that can be moved, or sleeps.
    fn pass(&self, time: Duration) -> impl Future<Output = ()> + Send;

    /// How many callers race for one record, and how many rounds the randomised tests take.
    fn races(&self) -> usize {
        1_000
    }

    /// The step of the store's clock. A record may end this much late or early.
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    /// Whether a scan may list a record twice while others come and go.
    fn scan_repeats(&self) -> bool {
        false
    }
}

/// Makes a `#[tokio::test]` of each case of the [suite](crate::store::conformance), for the harness
/// that the expression gives.
///
/// | form | for a store |
/// |---|---|
/// | `conformance_suite!(harness)` | that knows owners and lists its records, as an [`AtomicStore`] does |
/// | `conformance_suite!(without owners: harness)` | whose [`owners()`](Store::owners) is `None` |
/// | `conformance_suite!(without owners, listing: harness)` | whose [`listing()`](Store::listing) is `None` too |
/// | `conformance_suite! { harness; load { a_missing_record_is_not_found } }` | that cannot keep every sentence: it names the cases that it passes, and its docs say what does not hold |
///
/// The cases of the module [`moves`](crate::store::conformance::moves) are for stores whose
/// [`moves()`](Store::moves) is not `None`. Such a store keeps another program's format and names its
/// cases.
///
/// Each test evaluates the expression anew, within an `async` function. The tests stand in a module for
/// each part of the contract, so a store's tests go into a module or a file of their own.
///
/// [`AtomicStore`]: crate::store::AtomicStore
/// [`Store`]: crate::store::Store
/// [`Store::owners`]: crate::store::Store::owners
/// [`Store::listing`]: crate::store::Store::listing
/// [`Store::moves`]: crate::store::Store::moves
#[macro_export]
macro_rules! conformance_suite {
    (without owners, listing: $harness:expr) => {
        $crate::__conformance_cases! { $crate::conformance_suite { @without_both $harness; } }
    };
    (without owners: $harness:expr) => {
        $crate::__conformance_cases! { $crate::conformance_suite { @without_owners $harness; } }
    };
    ($harness:expr) => {
        $crate::__conformance_cases! { $crate::conformance_suite { @all $harness; } }
    };
    ($harness:expr; $($part:ident $cases:tt)*) => {
        $($crate::conformance_suite! { @part $harness; $part $cases })*
    };
    (
        @all $harness:expr;
        always { $($always:tt)* } owners { $($owners:tt)* } listing { $($listing:tt)* }
        moves $moves:tt
    ) => {
        $crate::conformance_suite! { $harness; $($always)* $($owners)* $($listing)* }
    };
    (
        @without_owners $harness:expr;
        always { $($always:tt)* } owners $owners:tt listing { $($listing:tt)* } moves $moves:tt
    ) => {
        $crate::conformance_suite! { $harness; $($always)* $($listing)* }
    };
    (
        @without_both $harness:expr;
        always { $($always:tt)* } owners $owners:tt listing $listing:tt moves $moves:tt
    ) => {
        $crate::conformance_suite! { $harness; $($always)* }
    };
    (@part $harness:expr; $part:ident { $($case:ident)* }) => {
        mod $part {
            #[allow(unused_imports)]
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $case() {
                    $crate::store::conformance::$part::$case(&$harness).await;
                }
            )*
        }
    };
}

/// Makes a public module of each part, with its cases.
macro_rules! modules {
    (
        always { $($always:tt)* } owners { $($owners:tt)* } listing { $($listing:tt)* }
        moves { $($moves:tt)* }
    ) => {
        modules! { $($always)* $($owners)* $($listing)* $($moves)* }
    };
    ($($part:ident { $($case:ident)* })*) => {$(
        #[doc = concat!("The cases of the part `", stringify!($part), "`.")]
        pub mod $part {
            pub use super::cases::$part::{$($case),*};
        }
    )*};
}

__conformance_cases! { modules {} }
