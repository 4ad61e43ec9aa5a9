use crate::Result;
use crate::cargo::{cargo, root, succeeds};
use crate::stores::{start_servers, stores};

/// Runs the benchmarks of the library, and those against other libraries, which are a workspace of
/// their own.
pub fn run() -> Result<()> {
    let servers = start_servers(&stores()?)?;
    let variables = servers.iter().flat_map(|server| server.variables.iter().cloned());
    let variables: Vec<(&str, String)> = variables.collect();

    let mut runs = Vec::new();
    if root().join("benches").exists() {
        runs.push(cargo(&["bench", "--bench", "*"]));
    }
    if root().join("bench/Cargo.toml").exists() {
        runs.push(cargo(&["run", "--release", "--manifest-path", "bench/Cargo.toml"]));
    }
    for mut run in runs {
        if !succeeds(run.envs(variables.iter().cloned()))? {
            return Err("the benchmarks have failed".into());
        }
    }
    Ok(())
}
