use std::fs;
use std::path::{Path, PathBuf};

use crate::directory;
use crate::error::{Error, Result};
use crate::packages::PYTHON;
use crate::server::run;
use crate::target;

/// The interpreter of a virtual environment with this package, such as `package==1.0`. Each target
/// directory gets an environment of its own, made by the first caller.
pub(crate) fn with_package(package: &str) -> Result<PathBuf> {
    let home = target::directory()?.join(package.replace("==", "-"));
    let python = home.join("bin/python3");
    let _turn = directory::lock(&home.with_extension("lock"))?;
    if is_whole(&home, &python) {
        return Ok(python);
    }
    make(&home)?;
    let options = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", package];
    run(&python, &options, None)?;
    let seal = seal_path(&home);
    fs::write(&seal, seal_of(&home, &python))
        .map_err(|error| Error::doing(format!("writing {}", seal.display()), error))?;
    Ok(python)
}

fn make(home: &Path) -> Result<()> {
    let arguments = ["-m", "venv", "--clear", &home.display().to_string()];
    run(&PYTHON.program("python3")?, &arguments, None).map(drop).or_else(|_| {
        // Debian's Python comes without the part that puts pip into the environment.
        PYTHON.install()?;
        run(Path::new("/usr/bin/python3"), &arguments, None).map(drop)
    })
}

/// Whether an environment is complete, and still belongs to its place and to its interpreter: a copy
/// of a target directory, or a newer Python, leaves one that does not work.
fn is_whole(home: &Path, python: &Path) -> bool {
    fs::read_to_string(seal_path(home)).is_ok_and(|seal| seal == seal_of(home, python))
}

fn seal_path(home: &Path) -> PathBuf {
    home.join("installed")
}

fn seal_of(home: &Path, python: &Path) -> String {
    let interpreter = fs::canonicalize(python).unwrap_or_default();
    format!("{} {}", home.display(), interpreter.display())
}
