use std::io::{self, BufRead as _, BufReader, Write as _, pipe};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// The directory of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where cargo builds into.
pub fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The cargo that runs this command, at the root of the workspace.
pub fn cargo(arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(root());
    command
}

/// Runs a command to its end; whether it succeeded.
pub fn succeeds(command: &mut Command) -> Result<bool> {
    Ok(command.status()?.success())
}

/// Runs a command, shows each line as it comes and hands it to `read`; whether it succeeded.
///
/// Cargo names a test binary on one stream and the binary reports on the other. One pipe for both
/// keeps them in the order in which they were written.
pub fn watch(mut command: Command, mut read: impl FnMut(&str)) -> Result<bool> {
    let (output, input) = pipe()?;
    command.stdout(input.try_clone()?).stderr(input);
    let mut child = command.spawn()?;
    // Holds the ends of the pipe that this process writes into: reading ends when all are closed.
    drop(command);

    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line)? > 0 {
        io::stdout().write_all(&line)?;
        read(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(child.wait()?.success())
}
