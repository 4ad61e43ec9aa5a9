use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

type Job = (Command, Sender<io::Result<Child>>);

/// Spawns from a thread that lives as long as the process.
///
/// Linux sends the parent-death signal when the *thread* that spawned the child ends. libtest runs
/// each test on a thread of its own, and a server shared by several tests would die with the first.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Sender<Job>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, jobs) = channel::<Job>();
        thread::spawn(move || {
            for (mut command, reply) in jobs {
                // Nobody waits for the reply any more only when the asking thread panicked.
                let _ = reply.send(command.spawn());
            }
        });
        sender
    });
    let (reply, child) = channel();
    spawner.send((command, reply)).map_err(io::Error::other)?;
    child.recv().map_err(io::Error::other)?
}
