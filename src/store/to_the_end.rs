//! Operations that a dropped future must not leave half done.

// Each store needs a part of it.
#![cfg_attr(
    not(all(
        any(feature = "mongodb", feature = "mysql", feature = "postgres", feature = "redis"),
        any(feature = "mysql", feature = "postgres", feature = "sqlite"),
    )),
    allow(dead_code)
)]

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task_local;
use tokio::time::timeout;

/// An operation that is done as a whole or not begun, though its caller may drop it half-way. Those
/// within it are not told that the caller has gone, or they would leave out what has not begun.
pub(super) fn to_the_end<T: Send + 'static>(
    limit: Duration,
    operation: impl Future<Output = T> + Send + 'static,
) -> RunsOn<impl Future<Output = T> + Send + 'static> {
    RunsOn::new(limit, CALLER_IS_GONE.scope(false, operation))
}

/// A future that runs on when its caller drops it: in a task, which ends after `limit` at the latest.
///
/// As long as the caller waits, the future runs where it is awaited, and no task is spawned. It costs
/// one allocation: a future that was polled cannot move from its caller to a task, but its box can. A
/// future that is dropped before its first poll has not begun, and does not run on.
pub(super) struct RunsOn<F: Future<Output: Send> + Send + 'static> {
    work: Option<Pin<Box<F>>>,
    limit: Duration,
    runtime: Option<Handle>,
}

impl<F: Future<Output: Send> + Send + 'static> RunsOn<F> {
    pub fn new(limit: Duration, work: F) -> Self {
        Self { work: Some(Box::pin(work)), limit, runtime: None }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for RunsOn<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if self.runtime.is_none() {
            self.runtime = Handle::try_current().ok();
        }
        // Out of its place meanwhile: work that panics is not run on.
        let mut work = self.work.take().expect("a future is not polled after its end");
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for RunsOn<F> {
    fn drop(&mut self) {
        if let (Some(work), Some(runtime)) = (self.work.take(), self.runtime.take()) {
            run_on(&runtime, self.limit, work);
        }
    }
}

/// Spawns what is left of a dropped call.
///
/// The thread may be outside of any runtime, and the runtime may be shutting down. It then drops the
/// work at once, in this function, and what the work drops may ask for its runtime.
pub(super) fn run_on(
    runtime: &Handle,
    limit: Duration,
    work: impl Future<Output: Send> + Send + 'static,
) {
    let _inside = runtime.enter();
    runtime.spawn(async move { timeout(limit, CALLER_IS_GONE.scope(true, work)).await.is_ok() });
}

task_local! {
    static CALLER_IS_GONE: bool;
}

/// Whether the current future runs on after its caller has dropped it.
pub(super) fn caller_is_gone() -> bool {
    CALLER_IS_GONE.try_with(|gone| *gone).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::runtime::Builder;
    use tokio::sync::oneshot;
    use tokio::task::yield_now;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn runtime() -> tokio::runtime::Runtime {
        Builder::new_current_thread().enable_time().build().unwrap()
    }

    /// Polls a future once, which leaves it half-way.
    async fn poll_once(future: &mut (impl Future + Unpin)) {
        let polled = std::future::poll_fn(|context| {
            Poll::Ready(Pin::new(&mut *future).poll(context).is_pending())
        });
        assert!(polled.await, "it is not half-way");
    }

    /// How many allocations a future costs, and how many tasks are there in its midst.
    fn costs<F: Future>(work: impl FnOnce(Handle) -> F) -> (u64, F::Output) {
        let runtime = runtime();
        let mut output = None;
        let spent = allocation_counter::measure(|| {
            output = Some(runtime.block_on(work(runtime.handle().clone())));
        });
        (spent.count_total, output.unwrap())
    }

    async fn tasks_half_way(runtime: Handle) -> usize {
        yield_now().await;
        runtime.metrics().num_alive_tasks()
    }

    #[test]
    fn a_future_that_is_not_dropped_costs_one_allocation_and_no_task() {
        let (bare, tasks) = costs(tasks_half_way);
        assert_eq!(tasks, 0);
        let runs_on = |runtime| RunsOn::new(LIMIT, tasks_half_way(runtime));
        assert_eq!(costs(runs_on), (bare + 1, 0));
        let done_as_a_whole = |runtime| to_the_end(LIMIT, tasks_half_way(runtime));
        assert_eq!(costs(done_as_a_whole), (bare + 1, 0));
    }

    #[test]
    fn a_dropped_future_runs_on_and_knows_it() {
        runtime().block_on(async {
            let (said, hears) = oneshot::channel();
            let mut work = RunsOn::new(LIMIT, async {
                let before = caller_is_gone();
                yield_now().await;
                said.send((before, caller_is_gone())).unwrap();
            });
            poll_once(&mut work).await;
            drop(work);
            assert_eq!(hears.await, Ok((false, true)));
        });
    }

    #[test]
    fn a_future_that_is_not_dropped_spawns_no_task() {
        runtime().block_on(async {
            let tasks = || Handle::current().metrics().num_alive_tasks();
            let mut work = Box::pin(to_the_end(LIMIT, async { yield_now().await }));
            poll_once(&mut work).await;
            assert_eq!(tasks(), 0);
            work.as_mut().await;
            drop(work);
            assert_eq!(tasks(), 0);
        });
    }

    #[test]
    fn what_is_done_as_a_whole_goes_on_as_if_its_caller_were_there() {
        runtime().block_on(async {
            let (said, hears) = oneshot::channel();
            let mut work = Box::pin(to_the_end(LIMIT, async {
                yield_now().await;
                said.send(caller_is_gone()).unwrap();
            }));
            poll_once(&mut work).await;
            drop(work);
            assert_eq!(hears.await, Ok(false));
        });
    }

    #[test]
    fn a_future_that_was_never_polled_does_not_begin() {
        runtime().block_on(async {
            let (said, hears) = oneshot::channel();
            drop(RunsOn::new(LIMIT, async { said.send(()).unwrap() }));
            assert!(hears.await.is_err());
        });
    }

    #[test]
    fn what_does_not_end_is_dropped_after_the_limit() {
        runtime().block_on(async {
            let (said, hears) = oneshot::channel::<()>();
            let mut work = RunsOn::new(Duration::from_millis(1), async {
                std::future::pending::<()>().await;
                drop(said);
            });
            poll_once(&mut work).await;
            drop(work);
            assert!(hears.await.is_err());
        });
    }

    #[test]
    fn a_future_dropped_outside_of_a_runtime_runs_on_in_its_own() {
        let runtime = runtime();
        let (said, hears) = oneshot::channel();
        let mut work = RunsOn::new(LIMIT, async {
            yield_now().await;
            said.send(()).unwrap();
        });
        runtime.block_on(poll_once(&mut work));
        drop(work);
        assert_eq!(runtime.block_on(hears), Ok(()));
    }

    #[test]
    fn a_future_dropped_after_its_runtime_is_dropped_too() {
        /// What a connection does: it asks for the runtime when it is dropped.
        struct Asks(Arc<AtomicUsize>);
        impl Drop for Asks {
            fn drop(&mut self) {
                Handle::current().spawn(async {});
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let (runtime, dropped) = (runtime(), Arc::new(AtomicUsize::new(0)));
        let asks = Asks(Arc::clone(&dropped));
        let mut work = RunsOn::new(LIMIT, async move {
            yield_now().await;
            drop(asks);
        });
        runtime.block_on(poll_once(&mut work));
        drop(runtime);
        drop(work);
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
    }
}
