use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use test_servers::{Redis, Result};

use crate::facts::{is_gone, redis_says, within_30_seconds};

/// Set in the process that the test starts and aborts.
const OWNER: &str = "TEST_SERVERS_OWNER";

#[test]
fn nothing_is_left_of_a_process_that_aborts() -> Result<()> {
    if std::env::var_os(OWNER).is_some() {
        let (running, paused) = (Redis::start()?, Redis::start()?);
        paused.pause()?;
        let place = running.directory().display();
        println!("owns {} {} {place}", running.pid().unwrap(), paused.pid().unwrap());
        std::process::abort();
    }
    let left = an_owner_aborts();
    for pid in &left[..2] {
        within_30_seconds(|| is_gone(pid.parse().unwrap()));
    }
    // The directory is for the next process that starts a server.
    an_owner_aborts();
    assert!(!Path::new(&left[2]).exists());
    Ok(())
}

fn an_owner_aborts() -> Vec<String> {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "owner::nothing_is_left_of_a_process_that_aborts", "--nocapture"])
        .env(OWNER, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(owner.stdout.take().unwrap()).lines();
    let line = output.map_while(std::io::Result::ok).find(|line| line.contains("owns ")).unwrap();
    assert!(!owner.wait().unwrap().success());
    line.split("owns ").nth(1).unwrap().split(' ').map(str::to_owned).collect()
}

#[test]
fn a_server_lives_on_when_the_thread_that_started_it_ends() -> Result<()> {
    let server = thread::spawn(Redis::start).join().unwrap()?;
    assert!(redis_says(server.port(), "PING", "+PONG"));
    Ok(())
}

#[test]
fn a_panic_stops_the_server() -> Result<()> {
    let server = Redis::start()?;
    let pid = server.pid().unwrap();
    let panicked = thread::spawn(move || {
        let _server = server;
        panic!("as a test does that fails");
    });
    assert!(panicked.join().is_err());
    assert!(is_gone(pid));
    Ok(())
}

#[test]
fn tests_of_one_process_share_a_server() {
    let urls = [test_servers::redis_url(), thread::spawn(test_servers::redis_url).join().unwrap()];
    assert_eq!(urls[0], urls[1]);
}
