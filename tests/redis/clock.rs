//! Clocks: the server's decides, whatever those of the application servers show.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use token_session::store::{NewRecord, Store};
use token_session::{Key, Lifetime};

use crate::{Short, ask, fresh_key, hour, patient};

const URL: &str = "CLOCK_TEST_URL";
const KEYS: &str = "CLOCK_TEST_KEYS";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

fn time_of(url: &str) -> u64 {
    let (seconds, micros): (u64, u64) = ask(url, &["TIME"]);
    seconds * 1000 + micros / 1000
}

/// The test runs itself twice more, as application servers whose clocks are an hour fast and slow.
#[tokio::test]
async fn application_servers_whose_clocks_are_an_hour_apart_agree_on_every_expiry() {
    if let (Ok(url), Ok(keys)) = (std::env::var(URL), std::env::var(KEYS)) {
        return application_server(&url, &keys).await;
    }
    let server = test_servers::Redis::start().unwrap();
    let store = patient(server.url()).await;
    let faketime = test_servers::packages::FAKETIME.program("faketime").unwrap();
    for offset in ["+60m", "-60m"] {
        let [live, dead, theirs] = [fresh_key(), fresh_key(), fresh_key()];
        let ten_minutes = Lifetime::idle(Duration::from_secs(600)).unwrap();
        store.insert(&live, &NewRecord::new("data", ten_minutes)).await.unwrap();
        let millisecond = Lifetime::idle(Duration::from_millis(1)).unwrap();
        store.insert(&dead, &NewRecord::new("data", millisecond)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
        let before = time_of(server.url());
        let output = Command::new(&faketime)
            .args(["-f", offset])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("clock::application_servers_whose_clocks_are_an_hour_apart_agree_on_every_expiry")
            .env(URL, server.url())
            .env(KEYS, format!("{live} {dead} {theirs}"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let clock = said.lines().find_map(|line| line.strip_prefix("clock ")).unwrap();
        let skew = clock.parse::<u64>().unwrap().abs_diff(now());
        assert!(skew > 50 * 60 * 1000, "its clock was {skew} ms off");

        let after = time_of(server.url());
        let touched = store.get(&live).await.unwrap().expect("it was touched").meta;
        assert!((before..=after).contains(&touched.last_seen.as_millis()));
        let made = store.get(&theirs).await.unwrap().expect("it lives an hour").meta;
        assert!((before..=after).contains(&made.created_at.as_millis()));
        assert_eq!(made.expires_at().since(made.created_at), Duration::from_secs(3600));
    }
}

async fn application_server(url: &str, keys: &str) {
    let keys: Vec<Key> = keys.split(' ').map(|key| key.parse().unwrap()).collect();
    let store = patient(url).await;
    println!("clock {}", now());
    let live = store.touch(&keys[0]).await.unwrap();
    assert!(live.expect("it lives ten minutes").meta.expires_in() <= Duration::from_secs(600));
    assert_eq!(store.get(&keys[1]).await.unwrap(), None);
    store.insert(&keys[2], &hour("data")).await.unwrap();
}
