//! Servers of another system, which is in a folder.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::{env, io};

use crate::error::{Error, Result};

/// The folder of the other system, if Redis, PostgreSQL and MySQL come from there.
pub(crate) const ROOT: &str = "TEST_SERVERS_ROOT";

/// The program that is started as Redis, such as `valkey-server`.
pub(crate) const REDIS: &str = "TEST_SERVERS_REDIS";

/// Where a system keeps programs.
const FOLDERS: [&str; 3] = ["usr/bin", "usr/sbin", "bin"];

/// The folder of the other system, if the environment names one.
pub(crate) fn root() -> Option<PathBuf> {
    given(ROOT).map(PathBuf::from)
}

/// The path of the other system's program, if there is another system.
pub(crate) fn program(name: &str) -> Option<Result<PathBuf>> {
    let root = root()?;
    let asked = given(REDIS).filter(|_| name == "redis-server");
    Some(find(&root, &asked.unwrap_or_else(|| name.into())))
}

/// The program's path as the other system has it, and that system's folder.
pub(crate) fn inside(program: &Path) -> Option<(PathBuf, PathBuf)> {
    let root = root()?;
    let inside = Path::new("/").join(program.strip_prefix(&root).ok()?);
    Some((root, inside))
}

/// Where the servers of the other system have their directories.
pub(crate) fn home() -> Option<PathBuf> {
    root().map(|root| home_in(&root))
}

pub(crate) fn home_in(root: &Path) -> PathBuf {
    root.join("srv/tests")
}

pub(crate) fn find(root: &Path, name: &OsStr) -> Result<PathBuf> {
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| root.join(folder)).collect();
    folders.extend(newest_postgres(root));
    let mut files = folders.into_iter().map(|folder| folder.join(name));
    files
        .find(|file| fs::symlink_metadata(file).is_ok())
        .ok_or_else(|| Error::new(format!("{} has no program {}", root.display(), name.display())))
}

/// The programs of the newest PostgreSQL of a system.
pub(crate) fn newest_postgres(root: &Path) -> Option<PathBuf> {
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let versions = fs::read_dir(root.join("usr/lib/postgresql")).ok()?.flatten();
    let newest = versions
        .map(|entry| entry.path())
        .filter(|path| path.join("bin/postgres").exists())
        .max_by_key(|path| version(path))?;
    Some(newest.join("bin"))
}

/// Lets the paths that this system has for what is in the folder lead there in the other one too.
pub(crate) fn mirror_paths(root: &Path) -> io::Result<()> {
    let link = root.join(root.strip_prefix("/").unwrap_or(root));
    if let Some(parent) = link.parent() {
        fs::create_dir_all(parent)?;
    }
    match std::os::unix::fs::symlink("/", &link) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn given(variable: &str) -> Option<OsString> {
    env::var_os(variable).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Directory;

    /// A system with these files.
    fn with(files: &[&str]) -> Directory {
        let root = Directory::create("system", None).unwrap();
        for file in files {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        root
    }

    #[test]
    fn the_programs_of_the_newest_postgresql_are_found() {
        let names = ["9", "18", "17"].map(|name| format!("usr/lib/postgresql/{name}/bin/postgres"));
        let system = with(&names.each_ref().map(String::as_str));
        let found = find(system.path(), OsStr::new("postgres")).unwrap();
        assert_eq!(found, system.path().join(&names[1]));
    }

    #[test]
    fn a_program_that_only_this_system_has_is_not_taken_for_the_other_ones() {
        let system = with(&["usr/bin/valkey-server"]);
        assert!(find(system.path(), OsStr::new("valkey-server")).is_ok());
        let error = find(system.path(), OsStr::new("ls")).unwrap_err();
        assert!(error.to_string().ends_with("has no program ls"), "{error}");
    }

    #[test]
    fn a_path_of_this_system_leads_to_the_same_file_in_the_other_one() {
        let system = with(&["srv/file"]);
        // Again, as in a later run.
        mirror_paths(system.path()).unwrap();
        mirror_paths(system.path()).unwrap();
        let link = system.path().join(system.path().strip_prefix("/").unwrap());
        assert_eq!(fs::read_link(link).unwrap(), Path::new("/"));
    }
}
