//! An [`Arc`] of a store is a store.

use std::pin::Pin;
use std::sync::Arc;

use super::{
    AtomicStore, Condition, Cursor, Found, Inserted, Listing, Load, Moves, NewRecord, Owners, Page,
    Removed, Replaced, Result, Store, Watch, Write,
};
use crate::event::Events;
use crate::key::Key;
use crate::record::Owner;

/// Methods that hand on the future of the store within, as `async_trait` writes them. An `async fn`
/// would box it a second time.
macro_rules! forward {
    ($(fn $method:ident<$($life:lifetime),*>($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {$(
        fn $method<'store, $($life,)* 'future>(
            &'store self,
            $($arg: $type),*
        ) -> Pin<Box<dyn Future<Output = Result<$answer>> + Send + 'future>>
        where
            'store: 'future,
            $($life: 'future,)*
            Self: 'future,
        {
            (**self).$method($($arg),*)
        }
    )*};
}

impl<S: Store + ?Sized> Store for Arc<S> {
    forward! {
        fn insert<'a, 'b, 'c>(key: &'a Key, record: &'b NewRecord<'c>) -> Inserted;
        fn load<'a, 'b, 'c>(key: &'a Key, load: &'b Load<'c>) -> Found;
        fn replace<'a, 'b, 'c>(key: &'a Key, write: &'b Write<'c>) -> Replaced;
        fn remove<'a, 'b>(key: &'a Key, condition: Condition<'b>, hand_out: bool) -> Removed;
        fn alive<'a>(keys: &'a [Key]) -> Vec<bool>;
    }

    fn owners(&self) -> Option<&dyn Owners> {
        (**self).owners()
    }

    fn listing(&self) -> Option<&dyn Listing> {
        (**self).listing()
    }

    fn watch(&self) -> Option<&dyn Watch> {
        (**self).watch()
    }

    fn moves(&self) -> Option<&dyn Moves> {
        (**self).moves()
    }

    fn partitions(&self) -> u16 {
        (**self).partitions()
    }

    fn keeps_plain_ids(&self) -> bool {
        (**self).keeps_plain_ids()
    }

    fn attach(&self, events: &Events) {
        (**self).attach(events);
    }
}

impl<S: Owners + ?Sized> Owners for Arc<S> {
    forward! {
        fn owned<'a, 'b>(
            owner: &'a Owner,
            after: Option<&'b Cursor>,
            limit: usize,
            with_data: bool
        ) -> Page;
        fn remove_owned<'a, 'b>(owner: &'a Owner, keep: Option<&'b Key>) -> ();
    }
}

impl<S: Listing + ?Sized> Listing for Arc<S> {
    forward! {
        fn scan<'a>(after: Option<&'a Cursor>, limit: usize) -> Page;
        fn count<>() -> u64;
        fn clear<>() -> ();
        fn sweep<>(limit: usize) -> usize;
    }
}

impl<S: AtomicStore + ?Sized> AtomicStore for Arc<S> {}
