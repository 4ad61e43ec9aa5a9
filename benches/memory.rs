//! What an operation of the memory store, and of the manager on it, costs with a thousand, a hundred
//! thousand and a million sessions; and as the floor, what a get of the same data costs from the bare
//! maps.

use std::hint::black_box;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};
use token_session::store::{Clock, Condition, Load, Memory, NewRecord, Store, Touch, Write};
use token_session::{Key, Lifetime, Timestamp, Token, TokenSession};

const SIZES: [usize; 3] = [1_000, 100_000, 1_000_000];
const DATA: &[u8] = br#"{"user":"0123456789","visits":17,"device":"Anna's phone"}"#;

/// A clock that goes on with each look, so that each touch is one that is written.
struct GoesOn(AtomicU64);

impl Clock for GoesOn {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the memory store does not wait"),
    }
}

fn keys(count: usize) -> Vec<Key> {
    std::iter::repeat_with(|| {
        let mut bytes = [0; Key::LEN];
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        Key::from_bytes(bytes)
    })
    .take(count)
    .collect()
}

fn record() -> NewRecord<'static> {
    let lifetime = Lifetime::idle(Lifetime::MAX).expect("the longest timeout is one");
    NewRecord::new(Bytes::from_static(DATA), lifetime)
}

/// A store with a session under each key, on a clock that makes every touch due; and with the
/// system's, as a service has it.
fn stores(keys: &[Key]) -> [Memory; 2] {
    let moving = Memory::builder().clock(GoesOn(AtomicU64::new(0))).build();
    let stores = [moving, Memory::new()];
    for store in &stores {
        for key in keys {
            now(store.insert(key, &record())).expect("there is no cap");
        }
    }
    stores
}

fn operations(criterion: &mut Criterion) {
    for size in SIZES {
        let keys = keys(size);
        let mut group = criterion.benchmark_group("memory");
        group.sample_size(20).measurement_time(Duration::from_secs(2));
        group.warm_up_time(Duration::from_millis(500));
        let mut bench = |name: &str, operation: &mut dyn FnMut(&Key)| {
            let mut keys = keys.iter().cycle();
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| operation(keys.next().expect("a cycle has no end")));
            });
        };

        let papaya = papaya::HashMap::new();
        let dashmap = dashmap::DashMap::new();
        for key in &keys {
            papaya.pin().insert(key.clone(), Bytes::copy_from_slice(DATA));
            dashmap.insert(key.clone(), Bytes::copy_from_slice(DATA));
        }
        bench("papaya get", &mut |key| {
            black_box(papaya.pin().get(key).cloned());
        });
        bench("dashmap get", &mut |key| {
            black_box(dashmap.get(key).map(|data| data.value().clone()));
        });
        drop((papaya, dashmap));

        let [moving, store] = stores(&keys);
        bench("load", &mut |key| {
            black_box(now(store.load(key, &Load { touch: Touch::No, ..Load::new() }))).ok();
        });
        bench("load, touch not due", &mut |key| {
            black_box(now(store
                .load(key, &Load { touch: Touch::After(Duration::from_secs(60)), ..Load::new() })))
            .ok();
        });
        bench("load, touch written", &mut |key| {
            black_box(now(
                moving.load(key, &Load { touch: Touch::After(Duration::ZERO), ..Load::new() })
            ))
            .ok();
        });
        bench("replace", &mut |key| {
            let write = Write { touch: true, ..Write::data(Bytes::from_static(DATA)) };
            black_box(now(store.replace(key, &write))).ok();
        });
        group.bench_function(BenchmarkId::new("create", size), |bencher| {
            bencher.iter_custom(|count| {
                let new = self::keys(count as usize);
                let record = record();
                let began = Instant::now();
                for key in &new {
                    black_box(now(store.insert(key, &record))).ok();
                }
                let took = began.elapsed();
                for key in &new {
                    now(store.remove(key, Condition::Always, true)).ok();
                }
                took
            });
        });
        group.bench_function(BenchmarkId::new("create and take", size), |bencher| {
            let record = record();
            let mut new = self::keys(10_000).into_iter().cycle();
            bencher.iter(|| {
                let key = new.next().expect("a cycle has no end");
                now(store.insert(&key, &record)).ok();
                black_box(now(store.remove(&key, Condition::Always, true))).ok();
            });
        });
        group.finish();
    }
}

/// The same through the manager: a token to a key, JSON to data and back.
fn sessions(criterion: &mut Criterion) {
    let data = || Data { user: "0123456789".to_owned(), visits: 17, device: "phone".to_owned() };
    for size in SIZES {
        let sessions = TokenSession::<Data>::in_memory();
        let create = || now(sessions.create(&data())).expect("there is no cap").token;
        let tokens: Vec<Token> = std::iter::repeat_with(create).take(size).collect();
        let mut group = criterion.benchmark_group("sessions");
        group.sample_size(20).measurement_time(Duration::from_secs(2));
        group.warm_up_time(Duration::from_millis(500));
        let mut bench = |name: &str, operation: &mut dyn FnMut(&Token)| {
            let mut tokens = tokens.iter().cycle();
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| operation(tokens.next().expect("a cycle has no end")));
            });
        };
        bench("get", &mut |token| {
            black_box(now(sessions.get_untouched(token))).ok();
        });
        bench("get and touch", &mut |token| {
            black_box(now(sessions.get_and_touch(token))).ok();
        });
        bench("set", &mut |token| {
            black_box(now(sessions.set(token, &data()))).ok();
        });
        bench("update", &mut |token| {
            black_box(now(sessions.update(token, |data| data.visits += 1))).ok();
        });
        bench("create and destroy", &mut |_| {
            now(sessions.destroy(&create())).ok();
        });
        group.finish();
    }
}

#[derive(Serialize, Deserialize)]
struct Data {
    user: String,
    visits: u32,
    device: String,
}

criterion_group!(benches, operations, sessions);
criterion_main!(benches);
