use std::path::PathBuf;
use std::process::Command;

use crate::Result;
use crate::cargo::{cargo, metadata, root, succeeds, target_directory};

/// The newest release, by its exact number: a later one may judge differently.
const CARGO_DENY: &str = "0.20.2";

/// Runs every check, also after one has failed, and names those that did.
pub fn run() -> Result<()> {
    let mut failed = Vec::new();
    for (name, mut command) in steps()? {
        println!("xtask: {name}");
        if !succeeds(&mut command)? {
            failed.push(name);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}

fn steps() -> Result<Vec<(String, Command)>> {
    let mut steps = vec![
        ("format".to_owned(), cargo(&["fmt", "--all", "--check"])),
        ("lints".to_owned(), clippy(&["--workspace", "--all-targets", "--all-features"])),
        ("lints without features".to_owned(), clippy(&["--lib", "--no-default-features"])),
    ];
    for feature in features()? {
        let lints = clippy(&["--lib", "--no-default-features", "--features", &feature]);
        steps.push((format!("lints of feature {feature}"), lints));
    }
    steps.push(("docs".to_owned(), docs(&["--workspace", "--all-features"])));
    steps.push(("docs without features".to_owned(), docs(&["--lib", "--no-default-features"])));

    let mut deny = Command::new(cargo_deny()?);
    deny.args(["check", "licenses", "bans", "sources"]).current_dir(root());
    steps.push(("licences, bans and sources".to_owned(), deny));
    Ok(steps)
}

fn clippy(selection: &[&str]) -> Command {
    let mut command = cargo(&["clippy", "--quiet"]);
    command.args(selection).args(["--", "-D", "warnings"]);
    command
}

fn docs(selection: &[&str]) -> Command {
    let mut command = cargo(&["doc", "--no-deps"]);
    command.args(selection).env("RUSTDOCFLAGS", "-D warnings");
    command
}

/// The features of the library: each must build without the others.
fn features() -> Result<Vec<String>> {
    let metadata = metadata()?;
    let library = metadata["packages"]
        .as_array()
        .and_then(|packages| packages.iter().find(|package| package["name"] == "token-session"))
        .ok_or("cargo metadata does not list the package token-session")?;
    let features = library["features"].as_object().into_iter().flatten();
    Ok(features.map(|(name, _)| name.clone()).filter(|name| name != "default").collect())
}

/// The program of the contributor's own, or one that is built once into the target directory.
fn cargo_deny() -> Result<PathBuf> {
    let found = Command::new("cargo-deny").arg("--version").output();
    if found.is_ok_and(|output| output.status.success()) {
        return Ok("cargo-deny".into());
    }
    let tools = target_directory()?.join("tools");
    let program = tools.join("bin/cargo-deny");
    if !program.exists() {
        println!("xtask: building cargo-deny {CARGO_DENY}");
        let mut install = cargo(&["install", "cargo-deny", "--version", CARGO_DENY, "--locked"]);
        // Built for one short run: the time that optimizing takes never comes back.
        install.args(["--debug", "--quiet", "--root"]).arg(&tools);
        install.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_PROFILE_DEV_STRIP", "symbols");
        // Without it cargo builds in a temporary directory and leaves nothing but the program.
        install.env_remove("CARGO_TARGET_DIR");
        if !succeeds(&mut install)? {
            return Err("cargo-deny could not be built; install it and try again".into());
        }
    }
    Ok(program)
}
