//! What a contributor can do here: `cargo xtask` lists it.

mod bench;
mod binaries;
mod cargo;
mod check;
mod jobs;
mod newest;
mod outcome;
mod servers;
mod stores;
mod test;

use std::process::ExitCode;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

struct Task {
    name: &'static str,
    about: &'static str,
    run: fn() -> Result<()>,
}

const TASKS: &[Task] = &[
    Task {
        name: "servers",
        about: "installs what the tests need, and starts each kind of server once",
        run: servers::run,
    },
    Task {
        name: "test",
        about: "every test, with the servers that the stores need",
        run: test::run,
    },
    Task {
        name: "check",
        about: "format, lints of every feature, docs, licences and sources",
        run: check::run,
    },
    Task {
        name: "test --newest",
        about: "the stores on Debian's newest servers, which it keeps in /var/cache; needs root",
        run: newest::run,
    },
    Task {
        name: "all",
        about: "test and check, with the counts of the tests at the end",
        run: test::run_and_check,
    },
    Task {
        name: "bench",
        about: "every benchmark, with the servers that the stores need",
        run: bench::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match wanted[..] {
        [] | ["help" | "--help"] => {
            print!("{}", list());
            ExitCode::SUCCESS
        }
        _ => {
            let name = wanted.join(" ");
            match TASKS.iter().find(|task| task.name == name) {
                Some(task) => finish((task.run)()),
                None => fail(&format!("there is no task {name}. There are:\n{}", list())),
            }
        }
    }
}

fn list() -> String {
    TASKS.iter().map(|task| format!("cargo xtask {:<14} {}\n", task.name, task.about)).collect()
}

fn finish(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(sentence: &str) -> ExitCode {
    eprintln!("xtask: {sentence}");
    ExitCode::FAILURE
}
