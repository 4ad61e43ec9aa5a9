use std::fs;
use std::path::Path;

use crate::directory;
use crate::error::{Error, Result};
use crate::packages::NODE;
use crate::server::run;

/// Installs the npm packages that the `package-lock.json` of a folder names, unless they are there.
pub fn install_npm_packages(folder: &Path) -> Result<()> {
    let npm = NODE.program("npm")?;
    let _turn = directory::lock(&directory::base()?.join("npm.lock"))?;
    let lock = folder.join("package-lock.json");
    let wanted = fs::read(&lock)
        .map_err(|error| Error::doing(format!("reading {}", lock.display()), error))?;
    let installed = folder.join("node_modules/.installed");
    if fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let place = folder.display().to_string();
    run(&npm, &["--prefix", &place, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], None)?;
    fs::write(&installed, wanted)
        .map_err(|error| Error::doing(format!("writing {}", installed.display()), error))
}
