//! Server CPU per `GET /me` with a sliding session, side by side in one run.
//!
//! `cargo run --release [ROUNDS [REQUESTS]]`. Each candidate is an axum service with one worker, on
//! its own thread and loopback port. Rounds are interleaved, so that what disturbs the machine
//! disturbs all of them; the figures are medians over the rounds, and the ratio is the median of the
//! rounds' own ratios to the hand-written service.

mod candidate;
mod load;
mod memory;
mod redis;

use candidate::{Cost, Running};

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let mut next = |default| match arguments.next() {
        None => default,
        Some(Ok(number)) if number > 0 => number,
        Some(_) => panic!("usage: bench [ROUNDS [REQUESTS]]"),
    };
    let (rounds, requests) = (next(15), next(20_000));
    report("memory", &memory::candidates(), rounds, requests);
    let server = test_servers::Redis::start().expect("Redis starts");
    report("Redis", &redis::candidates(server.url()), rounds, requests);
}

/// The second candidate is the measure of the others; the first is the floor.
fn report(store: &str, running: &[Running], rounds: usize, requests: usize) {
    for candidate in running {
        candidate.measure(requests / 4);
    }
    let measured: Vec<Vec<Cost>> =
        (0..rounds).map(|_| running.iter().map(|one| one.measure(requests)).collect()).collect();
    println!("{store}: CPU of the service per GET /me, {rounds} rounds of {requests} requests");
    println!("{:<28} {:>9} {:>14} {:>11}", "", "µs", "/ hand-written", "requests/s");
    for (index, candidate) in running.iter().enumerate() {
        let micros = median(measured.iter().map(|round| round[index].cpu));
        let ratio = median(measured.iter().map(|round| round[index].cpu / round[1].cpu));
        let rate = median(measured.iter().map(|round| round[index].per_second));
        println!("{:<28} {micros:>9.2} {ratio:>14.3} {rate:>11.0}", candidate.name);
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
