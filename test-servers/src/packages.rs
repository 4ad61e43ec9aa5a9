//! The Debian packages that the tests need: the only list of them.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::program::{self, find};
use crate::system;

/// Packages that are needed together, and the programs in them that the tests call, or that one of
/// those calls. If one program is missing, all packages are installed.
#[derive(Debug)]
pub struct Packages {
    names: &'static [&'static str],
    programs: &'static [&'static str],
}

/// Runs the servers of the tests as another user, and lets none outlive its test.
pub const UTIL_LINUX: Packages =
    Packages { names: &["util-linux"], programs: &["setpriv", "ipcrm", "unshare"] };

/// Redis, its Cluster and its Sentinel.
pub const REDIS: Packages =
    Packages { names: &["redis-server", "redis-tools"], programs: &["redis-server", "redis-cli"] };

/// Makes the certificates of a server with TLS.
pub const OPENSSL: Packages = Packages { names: &["openssl"], programs: &["openssl"] };

/// PostgreSQL.
pub const POSTGRESQL: Packages =
    Packages { names: &["postgresql"], programs: &["postgres", "initdb"] };

/// The pooler in front of PostgreSQL.
pub const PGBOUNCER: Packages = Packages { names: &["pgbouncer"], programs: &["pgbouncer"] };

/// MariaDB, without the services and accounts of `mariadb-server`. `mariadb-install-db` calls
/// `my_print_defaults`, which is in the package of the clients.
pub const MARIADB: Packages = Packages {
    names: &["mariadb-server-core", "mariadb-client-core"],
    programs: &["mariadbd", "mariadb-install-db", "my_print_defaults"],
};

/// Python, with the part that puts `pip` into a virtual environment.
pub const PYTHON: Packages =
    Packages { names: &["python3", "python3-venv"], programs: &["python3"] };

/// Node, and what installs its packages.
pub const NODE: Packages = Packages { names: &["nodejs", "npm"], programs: &["node", "npm"] };

/// Chromium, and the program that drives it.
pub const CHROMIUM: Packages =
    Packages { names: &["chromium", "chromium-driver"], programs: &["chromium", "chromedriver"] };

/// Runs a program with another clock.
pub const FAKETIME: Packages = Packages { names: &["faketime"], programs: &["faketime"] };

/// Makes a folder with another Debian, for the newest servers. No ordinary test needs it.
pub const DEBOOTSTRAP: Packages = Packages { names: &["debootstrap"], programs: &["debootstrap"] };

/// What `cargo xtask test` needs.
const ALL: &[&Packages] = &[
    &UTIL_LINUX,
    &REDIS,
    &OPENSSL,
    &POSTGRESQL,
    &PGBOUNCER,
    &MARIADB,
    &PYTHON,
    &NODE,
    &CHROMIUM,
    &FAKETIME,
];

impl Packages {
    /// The path of one of the programs. Installs the packages first if any program is missing.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        install_missing(&[self])?;
        find(name)
    }

    /// The path of a server's program: the other system's, if the environment names one.
    pub(crate) fn server(&self, name: &str) -> Result<PathBuf> {
        system::program(name).unwrap_or_else(|| self.program(name))
    }

    /// Installs the packages, whatever is there.
    pub(crate) fn install(&self) -> Result<()> {
        program::install(|| self.names.to_vec())
    }

    fn missing(&self) -> Option<&'static str> {
        self.programs.iter().copied().find(|program| find(program).is_err())
    }
}

/// Installs whatever `cargo xtask test` needs and this machine lacks, in one run of `apt-get`.
pub fn install_all() -> Result<()> {
    install_missing(ALL)
}

fn install_missing(wanted: &[&Packages]) -> Result<()> {
    if wanted.iter().all(|packages| packages.missing().is_none()) {
        return Ok(());
    }
    // Asked again under the lock: another process may have installed them meanwhile.
    program::install(|| {
        let missing = wanted.iter().filter(|packages| packages.missing().is_some());
        missing.flat_map(|packages| packages.names).copied().collect()
    })?;
    match wanted.iter().find_map(|packages| Some((packages, packages.missing()?))) {
        None => Ok(()),
        Some((packages, program)) => Err(Error::new(format!(
            "the program {program} is not on the PATH, though apt-get has installed {}",
            packages.names.join(" and ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_and_one_that_is_there_is_not() {
        let packages = |programs| Packages { names: &["coreutils"], programs };
        assert_eq!(packages(&["ls", "no-such-program"]).missing(), Some("no-such-program"));
        assert_eq!(packages(&["ls", "cat"]).missing(), None);
    }
}
