use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::account::is_root;
use crate::directory;
use crate::error::{Error, Result};
use crate::system;

/// Every package that starts a service asks the policy file first, and 101 forbids it. A policy
/// that the machine has is left as it is.
const INSTALL: &str = "
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    printf '#!/bin/sh\\nexit 101\\n' > $policy
    chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -q update || echo 'the lists of packages are not the newest' >&2
apt-get -q install -y --no-install-recommends -o DPkg::Lock::Timeout=300 \"$@\"
";

/// Finds a program on the `PATH` and where Debian keeps servers.
pub(crate) fn find(name: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    folders.extend(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.extend(system::newest_postgres(Path::new("/")));
    folders
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
        .ok_or_else(|| Error::new(format!("the program {name} is not on the PATH; install it")))
}

/// Installs the Debian packages that `missing` names, as root or through `sudo`, and lets none of
/// them start a service. One process installs at a time, because the policy against services must
/// last as long as each needs it; `missing` is called when this process's turn has come.
pub(crate) fn install(missing: impl FnOnce() -> Vec<&'static str>) -> Result<()> {
    let _turn = directory::lock(&directory::base()?.join("install.lock"))?;
    match missing()[..] {
        [] => Ok(()),
        ref packages => apt(packages),
    }
}

fn apt(packages: &[&str]) -> Result<()> {
    let mut command = if is_root() {
        Command::new("sh")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["--non-interactive", "sh"]);
        sudo
    };
    command.args(["-ec", INSTALL, "sh"]).args(packages).stdin(Stdio::null());
    let cause = match command.output() {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    Err(Error::new(format!(
        "apt-get could not install {0}; install {0} yourself and try again: {cause}",
        packages.join(" ")
    )))
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
