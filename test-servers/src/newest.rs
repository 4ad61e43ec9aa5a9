use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::account::is_root;
use crate::directory::lock;
use crate::error::{Error, Result};
use crate::packages::{DEBOOTSTRAP, UTIL_LINUX};
use crate::server::run;
use crate::{Shared, system};

const PACKAGES: &[&str] = &["mysql-server-core", "postgresql", "redis-server", "valkey-server"];

/// Brings the packages in the folder `$1` up to date, none of which may start a service. Some look
/// into `/proc` while they are configured: this process and its children alone see it there.
const REFRESH: &str = "
printf '#!/bin/sh\\nexit 101\\n' > \"$1/usr/sbin/policy-rc.d\"
chmod 755 \"$1/usr/sbin/policy-rc.d\"
cp /etc/resolv.conf \"$1/etc/resolv.conf\"
mount -t proc proc \"$1/proc\"
root=$1
shift
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
chroot \"$root\" dpkg --configure -a >/dev/null
# A mirror may lag behind.
chroot \"$root\" apt-get -qq update -o Acquire::Check-Valid-Until=false
chroot \"$root\" apt-get -qq install -y --no-install-recommends \"$@\"
chroot \"$root\" apt-get -qq clean
";

/// The newest servers that Debian has, of its suite `sid`, in a folder from which `chroot` runs them.
/// Only root can do that.
pub struct Newest {
    root: PathBuf,
    /// Two at once would disturb each other.
    _turn: File,
}

impl Newest {
    /// Makes the folder, or brings the servers in it up to date. It takes some 800 MB. Waits while
    /// another process uses the folder.
    ///
    /// Without a network, the servers of a folder that is whole are used as they are.
    pub fn prepare(folder: &Path) -> Result<Self> {
        if !is_root() {
            return Err(Error::new(
                "only root can run servers of another system: run the command again as root, or \
                 with sudo",
            ));
        }
        let root = folder.join("sid");
        create(folder)?;
        let turn = lock(&folder.join("turn"))?;
        let made = folder.join("made");
        if !made.exists() {
            bootstrap(&root)?;
            fs::write(&made, "")
                .map_err(|error| Error::doing(format!("writing {}", made.display()), error))?;
        }
        refresh(&root).map_err(|error| {
            let folder = folder.display();
            Error::new(format!("{error}\nIf this does not pass, delete {folder} and try again."))
        })?;
        create(&system::home_in(&root))?;
        system::mirror_paths(&root).map_err(|error| {
            Error::doing(format!("linking {} into itself", root.display()), error)
        })?;
        Ok(Self { root, _turn: turn })
    }

    /// What one of its programs says about its version.
    pub fn version(&self, program: &str) -> Result<String> {
        let path = system::find(&self.root, OsStr::new(program))?;
        let inside = Path::new("/").join(path.strip_prefix(&self.root).unwrap_or(&path));
        let (root, inside) = (self.root.display().to_string(), inside.display().to_string());
        let output = run(&crate::program::find("chroot")?, &[&root, &inside, "--version"], None)?;
        Ok(output.lines().next().unwrap_or_default().to_owned())
    }

    /// Makes the tests that a command runs start its servers, with this program as Redis, and use none
    /// that run already.
    pub fn give(&self, command: &mut Command, redis: &str) {
        for variable in Shared::ALL.iter().flat_map(|shared| shared.variables()) {
            command.env_remove(variable);
        }
        command.env(system::ROOT, &self.root).env(system::REDIS, redis);
    }
}

/// Makes a system with nothing in it but what a Debian cannot do without.
fn bootstrap(root: &Path) -> Result<()> {
    let debootstrap = DEBOOTSTRAP.program("debootstrap")?.display().to_string();
    // Half a system is no beginning for another try.
    match fs::remove_dir_all(root) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::doing(format!("removing {}", root.display()), error));
        }
        _ => create(root)?,
    }
    let mirror = mirror();
    let root = root.display().to_string();
    unshared(&[&debootstrap, "--variant=minbase", "sid", &root, &mirror]).map_err(|error| {
        Error::new(format!("{error}\nThe command needs a network, and {mirror} within reach."))
    })
}

/// Brings the packages of the servers up to date.
fn refresh(root: &Path) -> Result<()> {
    let root = root.display().to_string();
    let mut arguments = vec!["sh", "-ec", REFRESH, "sh", &root];
    arguments.extend(PACKAGES);
    unshared(&arguments)
}

/// Runs a command whose mounts nobody else sees. They are gone with it, however it ends. It ends with
/// this process.
fn unshared(command: &[&str]) -> Result<()> {
    let unshare = UTIL_LINUX.program("unshare")?;
    let mut arguments = vec!["--mount", "--propagation", "private", "--"];
    arguments.extend(["setpriv", "--pdeathsig", "KILL", "--"]);
    arguments.extend(command);
    run(&unshare, &arguments, None).map(drop)
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)
        .map_err(|error| Error::doing(format!("creating {}", folder.display()), error))
}

/// The mirror that this machine's own packages come from, if it is a Debian.
fn mirror() -> String {
    let asked = Command::new("apt-get").args(["indextargets", "--format", "$(SITE)"]).output();
    let sites = asked.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let sites = sites.unwrap_or_default();
    let debian = sites.lines().find(|site| site.trim_end_matches('/').ends_with("/debian"));
    debian.unwrap_or("http://deb.debian.org/debian").to_owned()
}
