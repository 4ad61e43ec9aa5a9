//! An [`Arc`] of a store is a store.

use std::pin::Pin;
use std::sync::Arc;

use super::{
    AtomicStore, Condition, Cursor, Inserted, NewRecord, Page, Removed, Renamed, Renewal, Replaced,
    Result, Store, Touch, Write,
};
use crate::event::Events;
use crate::record::{Meta, Owner, Record};
use crate::token::Key;

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
        fn load<'a>(key: &'a Key, touch: Touch) -> Option<Record>;
        fn touch<'a>(key: &'a Key, touch: Touch) -> Option<Meta>;
        fn replace<'a, 'b, 'c>(key: &'a Key, write: &'b Write<'c>) -> Replaced;
        fn rename<'a, 'b>(from: &'a Key, to: &'b Key, renewal: Renewal) -> Renamed;
        fn take<'a>(key: &'a Key) -> Option<Record>;
        fn remove<'a, 'b>(key: &'a Key, condition: Condition<'b>) -> Removed;
        fn owned<'a>(owner: &'a Owner, limit: usize) -> Vec<(Key, Meta)>;
        fn remove_owned<'a, 'b>(owner: &'a Owner, keep: Option<&'b Key>) -> ();
        fn scan<'a>(after: Option<&'a Cursor>, limit: usize) -> Page;
        fn count<>() -> u64;
        fn clear<>() -> ();
        fn sweep<>(limit: usize) -> usize;
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

impl<S: AtomicStore + ?Sized> AtomicStore for Arc<S> {}
