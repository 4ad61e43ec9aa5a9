//! Where cargo has put the running program, and what it built beside it.

use std::env::current_exe;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The directory that cargo builds into. Cargo does not always mark it: a directory that it finds, such
/// as a mounted volume, gets no `CACHEDIR.TAG`.
pub(crate) fn directory() -> Result<PathBuf> {
    let profile = profile_of(&running()?).to_owned();
    Ok(profile.parent().unwrap_or(&profile).to_owned())
}

/// The program of an example, built in the profile of the running test.
pub fn example(name: &str) -> Result<PathBuf> {
    let program = profile_of(&running()?).join("examples").join(name);
    if program.exists() {
        return Ok(program);
    }
    Err(Error::new(format!(
        "{} does not exist: cargo builds no example for a single test; \
         run cargo build --all-features --example {name}",
        program.display()
    )))
}

fn running() -> Result<PathBuf> {
    current_exe().map_err(|error| Error::doing("looking for the running program's file", error))
}

/// The folder of the profile, by where cargo puts a program: directly there, or in `deps` or
/// `examples`.
fn profile_of(program: &Path) -> &Path {
    let folder = program.parent().unwrap_or(program);
    let is_inner = ["deps", "examples"].iter().any(|name| folder.ends_with(name));
    if is_inner { folder.parent().unwrap_or(folder) } else { folder }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_of_a_program_is_found_by_its_path_alone() {
        for (program, profile) in [
            ("/target/debug/xtask", "/target/debug"),
            ("/target/debug/deps/store_mongodb-0123", "/target/debug"),
            ("/mounted/release/deps/smtp-0123", "/mounted/release"),
            ("/target/debug/examples/accounts", "/target/debug"),
            ("/mounted/triple/debug/deps/migrate-0", "/mounted/triple/debug"),
        ] {
            assert_eq!(profile_of(Path::new(program)), Path::new(profile), "{program}");
        }
    }
}
