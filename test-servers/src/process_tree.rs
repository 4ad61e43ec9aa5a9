use std::fs;
use std::time::{Duration, Instant};
use std::{io, thread};

use rustix::process::{Pid, Signal, kill_process};

/// Sends a signal; a process that is gone already is no error.
pub(crate) fn send(pid: u32, signal: Signal) -> io::Result<()> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Ok(());
    };
    match kill_process(pid, signal) {
        Err(error) if error != rustix::io::Errno::SRCH => Err(error.into()),
        _ => Ok(()),
    }
}

/// Stops a process and all its descendants and returns them, the process itself first. Each is
/// stopped before its children are looked for, so none can fork away.
pub(crate) fn freeze(pid: u32) -> io::Result<Vec<u32>> {
    let mut tree = vec![pid];
    let mut done = 0;
    while let Some(&parent) = tree.get(done) {
        send(parent, Signal::STOP)?;
        wait_until(|| !matches!(state(parent), Some(Stat { state: 'R' | 'S' | 'D', .. })));
        tree.extend(children(parent)?);
        done += 1;
    }
    Ok(tree)
}

/// Waits until none of the processes runs any more; a zombie that its parent has not reaped holds
/// neither ports nor files.
pub(crate) fn wait_until_gone(pids: &[u32]) {
    wait_until(|| pids.iter().all(|&pid| state(pid).is_none_or(|stat| stat.state == 'Z')));
}

fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(2));
    }
}

fn children(parent: u32) -> io::Result<Vec<u32>> {
    let processes = fs::read_dir("/proc")?.flatten();
    Ok(processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| state(pid).is_some_and(|stat| stat.parent == parent))
        .collect())
}

struct Stat {
    state: char,
    parent: u32,
}

fn state(pid: u32) -> Option<Stat> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name stands in parentheses and may itself hold spaces and parentheses.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some(Stat { state: fields.next()?.chars().next()?, parent: fields.next()?.parse().ok()? })
}
