use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::account::is_root;
use crate::directory;
use crate::error::{Error, Result};

/// Asked by every package that starts a service; 101 forbids it.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Finds a program on the `PATH` and where Debian keeps servers.
pub(crate) fn find(name: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    folders.extend(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.extend(newest_postgres());
    folders
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
        .ok_or_else(|| Error::new(format!("the program {name} is not on the PATH; install it")))
}

/// Finds a program, and installs the Debian package that has it when it is missing.
pub(crate) fn find_or_install(name: &str, package: &str) -> Result<PathBuf> {
    find(name).or_else(|_| {
        // Whoever waited for the lock finds the program that the other one has installed.
        let _turn = directory::lock(&directory::base()?.join("install.lock"))?;
        find(name).or_else(|_| {
            install(&[package])?;
            find(name)
        })
    })
}

/// Installs Debian packages, as root or through `sudo`, and lets none of them start a service.
pub fn install(packages: &[&str]) -> Result<()> {
    let _no_services = if is_root() {
        NoServices::declare()
    } else {
        None
    };
    apt(&["update"], packages)?;
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(["-o", "DPkg::Lock::Timeout=300"]);
    arguments.extend(packages);
    apt(&arguments, packages)
}

fn apt(arguments: &[&str], packages: &[&str]) -> Result<()> {
    let mut command = if is_root() {
        Command::new("env")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["--non-interactive", "env"]);
        sudo
    };
    // Run level 1 is where no service starts, for a user who may not write the policy file.
    command.args([
        "DEBIAN_FRONTEND=noninteractive",
        "RUNLEVEL=1",
        "apt-get",
        "-q",
    ]);
    let output = command.args(arguments).stdin(Stdio::null()).output();
    let cause = match output {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    Err(Error::new(format!(
        "apt-get {} failed; install {} yourself and run the tests again: {cause}",
        arguments[0],
        packages.join(" and ")
    )))
}

/// A policy that forbids services, for as long as it lives. A policy of the machine's own is left
/// as it is.
struct NoServices;

impl NoServices {
    fn declare() -> Option<Self> {
        let options = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(POLICY);
        options
            .and_then(|mut file| file.write_all(b"#!/bin/sh\nexit 101\n"))
            .ok()
            .map(|()| Self)
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(POLICY) {
            eprintln!("{POLICY}, which forbids services, could not be removed: {error}");
        }
    }
}

fn newest_postgres() -> Option<PathBuf> {
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let versions = fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .flatten()
        .map(|entry| entry.path());
    let newest = versions
        .filter(|path| path.join("bin/postgres").exists())
        .max_by_key(|path| version(path))?;
    Some(newest.join("bin"))
}

fn is_executable(file: &Path) -> bool {
    let metadata: io::Result<fs::Metadata> = fs::metadata(file);
    metadata.is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
