use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::account::Account;
use crate::error::{Error, Result};
use crate::{program, system};

/// A server's own directory. It is removed on drop; the one of a process that ended without
/// dropping (a static, an abort) is removed by the next process that makes one: the lock beside
/// it, which ended with its owner, is the sign.
pub(crate) struct Directory {
    path: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Makes a directory that only `account` can enter, or only this user when there is none.
    pub(crate) fn create(name: &str, account: Option<&Account>) -> Result<Self> {
        static SWEPT: Once = Once::new();
        static NUMBER: AtomicU32 = AtomicU32::new(0);

        let base = match system::home() {
            Some(home) => home,
            None => base()?,
        };
        // Held over the sweep and the creation: another process must not take a lock file that is
        // not locked yet for one that has lost its owner.
        let turn = lock(&base.join("turn"))?;
        SWEPT.call_once(|| sweep(&base));

        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("{name}-{}-{number}", std::process::id()));
        let lock_path = path.with_extension("lock");
        let lock = lock(&lock_path)?;
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.and_then(|()| match account {
            Some(account) => chown(&path, Some(account.user), Some(account.group)),
            None => Ok(()),
        })
        .map_err(|error| Error::doing(format!("creating {}", path.display()), error))?;
        drop(turn);
        Ok(Self { path, lock_path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        remove(&self.path, &self.lock_path);
    }
}

/// Where all the servers of this user have their directories.
pub(crate) fn base() -> Result<PathBuf> {
    let user = rustix::process::getuid().as_raw();
    let base = std::env::temp_dir().join(format!("token-session-servers-{user}"));
    // Others may pass through: PostgreSQL runs as another user when the tests run as root.
    fs::create_dir_all(&base)
        .and_then(|()| fs::set_permissions(&base, Permissions::from_mode(0o755)))
        .map_err(|error| Error::doing(format!("creating {}", base.display()), error))?;
    Ok(base)
}

/// Opens a file and waits for its lock, which lasts as long as the returned value.
pub(crate) fn lock(path: &Path) -> Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .and_then(|file| file.lock().map(|()| file))
        .map_err(|error| Error::doing(format!("locking {}", path.display()), error))
}

fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else {
        return;
    };
    for lock_path in entries.flatten().map(|entry| entry.path()) {
        if lock_path.extension().is_none_or(|extension| extension != "lock") {
            continue;
        }
        let Ok(lock) = File::open(&lock_path) else {
            continue;
        };
        if lock.try_lock().is_ok() {
            remove(&lock_path.with_extension(""), &lock_path);
        }
    }
}

/// The lock file goes last and only when the directory is gone, so that what could not be removed
/// (a server that is still dying writes into it) is found again by the next sweep.
fn remove(path: &Path, lock_path: &Path) {
    release_shared_memory(path);
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {}
        _ => drop(fs::remove_file(lock_path)),
    }
}

/// A PostgreSQL that was killed leaves a System V segment, of which a machine has a limited
/// number; the seventh line of its pid file names it.
fn release_shared_memory(path: &Path) {
    let Ok(pid_file) = fs::read_to_string(path.join("data/postmaster.pid")) else {
        return;
    };
    let segment = pid_file.lines().nth(6).and_then(|line| line.split_whitespace().nth(1));
    if let Some(segment) = segment {
        // A machine that lacks it has run no server with a segment.
        if let Ok(ipcrm) = program::find("ipcrm") {
            let _ = std::process::Command::new(ipcrm).args(["-m", segment]).output();
        }
    }
}
