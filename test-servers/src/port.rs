use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::directory;
use crate::error::{Error, Result};

/// Below the range from which Linux picks ports for outgoing connections, so that no client takes
/// the port of a server that is down between `kill` and `restart`. A Redis Cluster node listens on
/// its port plus [`BUS_OFFSET`] too, and that port stays below the range as well.
const FIRST: u16 = 12_000;
const COUNT: u16 = 10_000;
const BUS_OFFSET: u16 = 10_000;

/// A loopback port that belongs to one server for as long as this value lives. The lock on a file
/// named after it keeps other test processes away, and ends with this process however it ends.
pub(crate) struct Port {
    number: u16,
    _reservation: File,
}

impl Port {
    pub(crate) fn reserve() -> Result<Self> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let locks = directory::base()?.join("ports");
        std::fs::create_dir_all(&locks)
            .map_err(|error| Error::doing(format!("creating {}", locks.display()), error))?;
        // Test processes that start together begin their search far from each other.
        let offset = (std::process::id().wrapping_mul(97) % u32::from(COUNT)) as u16;
        for _ in 0..COUNT {
            let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
            let number = FIRST + (offset + step) % COUNT;
            let path = locks.join(number.to_string());
            let reservation = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(|error| Error::doing(format!("opening {}", path.display()), error))?;
            if reservation.try_lock().is_ok() && is_free(number) && is_free(number + BUS_OFFSET) {
                return Ok(Self { number, _reservation: reservation });
            }
        }
        Err(Error::new(format!(
            "no port between {FIRST} and {} is free on 127.0.0.1; stop some servers",
            FIRST + COUNT - 1
        )))
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
