use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::account::Account;
use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::packages::UTIL_LINUX;
use crate::port::Port;
use crate::process_tree::{freeze, send, wait_until_gone};
use crate::program::find;
use crate::spawn::spawn;
use crate::system;

/// How long a server may take until it answers, on a machine that is busy with other tests.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(120);

/// A server that runs until this value is dropped, until [`kill`](Server::kill), or until the test
/// process ends, however it ends.
///
/// The methods take `&self`: a test can kill and restart the server under the load that other
/// threads make.
pub struct Server {
    name: &'static str,
    url: String,
    port: Port,
    launch: Launch,
    answers: Probe,
    state: Mutex<State>,
    directory: Directory,
}

/// How a server is started, again after every `kill`.
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) account: Option<Account>,
    /// What ends it on drop, and `KILL` when that took too long.
    pub(crate) end: Signal,
}

/// Asks the server for its name and version, once; an error says what came instead of the answer.
pub(crate) type Probe = Box<dyn Fn() -> io::Result<String> + Send + Sync>;

#[derive(Default)]
struct State {
    child: Option<Child>,
    pause: Option<Pause>,
}

struct Pause {
    frozen: Vec<u32>,
    /// Wakes the frozen ones when this process dies: a stopped process sees nothing else than
    /// `KILL`, and the children of the server do not get that one.
    watch: Child,
}

impl Server {
    pub(crate) fn start(
        name: &'static str,
        url: String,
        port: Port,
        launch: Launch,
        directory: Directory,
        answers: Probe,
    ) -> Result<Self> {
        let state = Mutex::default();
        let server = Self { name, url, port, launch, answers, state, directory };
        server.restart()?;
        Ok(server)
    }

    /// Takes effect at the next restart.
    pub(crate) fn add_argument(&mut self, argument: &str) {
        self.launch.arguments.push(argument.to_owned());
    }

    /// What a client connects to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The loopback port, the same one after every restart.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The name and version that the server gives itself.
    pub fn version(&self) -> Result<String> {
        (self.answers)().map_err(|error| self.error("asking for its version", &error))
    }

    /// The process id of the server, or none after [`kill`](Server::kill).
    pub fn pid(&self) -> Option<u32> {
        self.state().child.as_ref().map(Child::id)
    }

    /// The directory that holds the server's data and its log, `server.log`.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Kills the server with all its children at once (`SIGKILL`), as a crash would, and returns
    /// when none of them is left.
    pub fn kill(&self) -> Result<()> {
        self.kill_child(&mut self.state())
    }

    /// Starts the server again on the same port and the same data, and returns when it answers.
    /// Kills it first when it runs.
    pub fn restart(&self) -> Result<()> {
        let mut state = self.state();
        self.kill_child(&mut state)?;
        let options = ["--pdeathsig", "KILL"];
        let command = command(&self.launch.program, &options, self.launch.account.as_ref())?;
        let child = self.launch_child(command);
        let child = child.map_err(|error| self.error("starting it", &error))?;
        let child = state.child.insert(child);

        let deadline = Instant::now() + START_LIMIT;
        loop {
            match (self.answers)() {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(self.error("waiting for its first answer", &error));
                }
                Err(_) => {}
            }
            if let Ok(Some(status)) = child.try_wait() {
                return Err(self.error("starting it", &io::Error::other(status.to_string())));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops the server in mid-work (`SIGSTOP`, its children too): connections stay open and
    /// nothing answers. Ends with [`resume`](Server::resume).
    pub fn pause(&self) -> Result<()> {
        let mut state = self.state();
        let Some(pid) = state.child.as_ref().map(Child::id).filter(|_| state.pause.is_none())
        else {
            return Err(Error::new(format!("{} is not running, it cannot be paused", self.name)));
        };
        let pause = freeze(pid).and_then(|frozen| {
            let pids = frozen.iter().fold(String::new(), |mut pids, pid| {
                let _ = write!(pids, " {pid}");
                pids
            });
            let mut watch = Command::new("sh");
            watch.arg("-c").arg(format!("read -r end; kill -CONT{pids}"));
            watch.stdin(Stdio::piped()).stderr(Stdio::null());
            Ok(Pause { frozen, watch: watch.spawn()? })
        });
        state.pause = Some(pause.map_err(|error| self.error("pausing it", &error))?);
        Ok(())
    }

    /// Lets a paused server go on; does nothing to one that runs.
    pub fn resume(&self) -> Result<()> {
        Self::end_pause(&mut self.state()).map_err(|error| self.error("resuming it", &error))
    }

    /// The last lines that the server has logged.
    pub fn log_tail(&self) -> String {
        let log = fs::read(self.log_path()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn launch_child(&self, mut command: Command) -> io::Result<Child> {
        let log = OpenOptions::new().create(true).append(true).open(self.log_path())?;
        command.args(&self.launch.arguments);
        command.current_dir(self.directory.path());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        spawn(command)
    }

    fn kill_child(&self, state: &mut State) -> Result<()> {
        let Some(mut child) = state.child.take() else {
            return Ok(());
        };
        let killed = freeze(child.id()).and_then(|tree| {
            for &pid in &tree {
                send(pid, Signal::KILL)?;
            }
            child.wait()?;
            wait_until_gone(&tree);
            Self::end_pause(state)
        });
        killed.map_err(|error| self.error("killing it", &error))
    }

    /// Gives the server two seconds to end by itself, for those that leave something outside of
    /// their directory when they are killed.
    fn end_child(&self, state: &mut State) -> Result<()> {
        let ended = Self::end_pause(state);
        if let Some(child) = state.child.as_mut().filter(|_| self.launch.end != Signal::KILL) {
            let deadline = Instant::now() + Duration::from_secs(2);
            let asked = send(child.id(), self.launch.end).is_ok();
            while asked && matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(5));
            }
        }
        ended.map_err(|error| self.error("resuming it", &error))?;
        self.kill_child(state)
    }

    fn end_pause(state: &mut State) -> io::Result<()> {
        let Some(mut pause) = state.pause.take() else {
            return Ok(());
        };
        pause.watch.kill()?;
        pause.watch.wait()?;
        pause.frozen.iter().try_for_each(|&pid| send(pid, Signal::CONT))
    }

    fn error(&self, what: &str, cause: &io::Error) -> Error {
        let (name, port, log) = (self.name, self.port(), self.log_tail());
        Error::new(format!(
            "{name} on port {port}: {what} failed: {cause}. The end of its log:\n{log}"
        ))
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("server.log")
    }

    /// A test that panicked while it held the lock must not keep the server from being stopped.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nobody is left to tell, and the parent-death signal is behind it.
        let _ = self.end_child(&mut self.state());
    }
}

/// Opens a connection that waits two seconds at most for anything.
pub(crate) fn connect(port: u16) -> io::Result<TcpStream> {
    let limit = Duration::from_secs(2);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    Ok(stream)
}

/// A program with no arguments yet, which `setpriv` runs with these options. A change of the root and
/// of the user forgets the parent-death signal, so `setpriv` runs behind `chroot`.
fn command(program: &Path, options: &[&str], account: Option<&Account>) -> Result<Command> {
    let (mut command, program) = match system::inside(program) {
        Some((root, inside)) => {
            let mut command = Command::new(find("chroot")?);
            command.arg(root).arg("setpriv");
            (command, inside)
        }
        None => (Command::new(UTIL_LINUX.program("setpriv")?), program.to_owned()),
    };
    command.args(options);
    if let Some(account) = account {
        command.args(["--reuid", &account.user.to_string()]);
        command.args(["--regid", &account.group.to_string(), "--clear-groups"]);
    }
    command.arg("--").arg(program);
    Ok(command)
}

/// Runs a program of the server's own to its end, such as the one that makes its data directory.
pub(crate) fn run(program: &Path, arguments: &[&str], account: Option<&Account>) -> Result<String> {
    let mut command = command(program, &[], account)?;
    command.args(arguments).current_dir("/").stdin(Stdio::null());
    let output = command
        .output()
        .map_err(|error| Error::doing(format!("running {}", program.display()), error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::new(format!(
        "{} {} failed ({}):\n{}{}",
        program.display(),
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )))
}
