//! A service under measurement, on a thread of its own whose CPU time can be read.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use axum::Router;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use crate::load;

/// A service that listens, and the request to send to it.
pub struct Running {
    pub name: &'static str,
    address: SocketAddr,
    request: String,
    cpu: Cpu,
}

/// Asks the service's thread for the CPU time that it has used.
struct Cpu(tokio::sync::mpsc::UnboundedSender<mpsc::Sender<i64>>);

impl Running {
    /// Serves `app` on one worker; `header` makes its client known.
    pub fn start<F>(name: &'static str, app: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = (Router, String)>,
    {
        let (ready, started) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime starts").block_on(async move {
                let (app, header) = app().await;
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
                let listener = listener.expect("a loopback port is free");
                let address = listener.local_addr().expect("it is bound");
                let (cpu, mut asked) = tokio::sync::mpsc::unbounded_channel();
                tokio::spawn(async move {
                    while let Some(answer) = asked.recv().await {
                        let _ = mpsc::Sender::send(&answer, thread_cpu_micros());
                    }
                });
                ready.send((address, header, Cpu(cpu))).expect("the main thread waits");
                axum::serve(listener, app).await.expect("the service runs");
            });
        });
        let (address, header, cpu) = started.recv().expect("the service starts");
        let request = format!("GET /me HTTP/1.1\r\nhost: localhost\r\n{header}\r\n");
        Self { name, address, request, cpu }
    }

    /// Sends so many requests, and says what each of them cost.
    pub fn measure(&self, requests: usize) -> Cost {
        let (before, started) = (self.cpu.read(), Instant::now());
        load::run(self.address, &self.request, requests);
        let cpu = (self.cpu.read() - before) as f64 / requests as f64;
        Cost { cpu, per_second: requests as f64 / started.elapsed().as_secs_f64() }
    }
}

/// What a request cost.
pub struct Cost {
    /// CPU microseconds of the service's thread.
    pub cpu: f64,
    pub per_second: f64,
}

impl Cpu {
    fn read(&self) -> i64 {
        let (answer, answered) = mpsc::channel();
        self.0.send(answer).expect("the service runs");
        answered.recv().expect("the service answers")
    }
}

fn thread_cpu_micros() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("a thread may ask of itself");
    (usage.user_time() + usage.system_time()).num_microseconds()
}
