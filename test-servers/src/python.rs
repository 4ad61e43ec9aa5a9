use std::path::{Path, PathBuf};

use crate::directory;
use crate::error::{Error, Result};
use crate::program::{find_or_install, install};
use crate::server::run;

/// A program of a package of Python's, such as `package==1.0`, in a virtual environment of its own,
/// made once for each target directory.
pub(crate) fn program(package: &str, name: &str) -> Result<PathBuf> {
    let home = target_directory()?.join(package.replace("==", "-"));
    let program = home.join("bin").join(name);
    let _turn = directory::lock(&home.with_extension("lock"))?;
    if program.exists() {
        return Ok(program);
    }
    let python = find_or_install("python3", "python3-venv")?;
    let path = home.display().to_string();
    run(&python, &["-m", "venv", "--clear", &path], None).or_else(|_| {
        // Debian's Python comes without the part that puts pip into the environment.
        install(&["python3-venv"])?;
        run(Path::new("/usr/bin/python3"), &["-m", "venv", "--clear", &path], None)
    })?;
    let options = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", package];
    run(&home.join("bin/python3"), &options, None)?;
    Ok(program)
}

/// The directory that cargo has put the running test into, by the tag that it leaves there.
fn target_directory() -> Result<PathBuf> {
    let test = std::env::current_exe()
        .map_err(|error| Error::doing("looking for the running test's file", error))?;
    let target = test.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    target.map(Path::to_owned).ok_or_else(|| {
        Error::new(format!("{} is not in a target directory of cargo", test.display()))
    })
}
