use std::io::{self, Read as _, Write as _, pipe};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;

/// A program with tests.
pub struct Job {
    /// What people call it.
    pub name: String,
    /// The kind of server that it keeps busy.
    pub engine: Option<&'static str>,
    /// What stands above its output.
    pub heading: String,
    pub command: Command,
}

/// What a job has said.
pub struct Report {
    pub name: String,
    pub output: String,
    pub success: bool,
    pub took: Duration,
}

/// Runs all jobs, so many at once, and calls `read` with each that has ended. A job waits while
/// another one of its engine runs, if there is something else to do.
pub fn run(
    jobs: Vec<Job>,
    at_once: usize,
    read: impl Fn(Report) -> Result<()> + Sync,
) -> Result<()> {
    let queue = Mutex::new(Queue { waiting: jobs, running: Vec::new() });
    // A function of its own: in the head of a loop the lock would be held through the loop's body.
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).take();
    thread::scope(|scope| {
        let worker = || {
            while let Some(job) = next() {
                let engine = job.engine;
                let report = job.run().map_err(|error| error.to_string())?;
                queue.lock().unwrap_or_else(PoisonError::into_inner).ended(engine);
                read(report).map_err(|error| error.to_string())?;
            }
            Ok::<_, String>(())
        };
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            worker.join().map_err(|_| "a thread that runs tests panicked")??;
        }
        Ok(())
    })
}

struct Queue {
    waiting: Vec<Job>,
    running: Vec<&'static str>,
}

impl Queue {
    fn take(&mut self) -> Option<Job> {
        let is_free = |job: &Job| job.engine.is_none_or(|engine| !self.running.contains(&engine));
        let next = self.waiting.iter().position(is_free).unwrap_or(0);
        if self.waiting.is_empty() {
            return None;
        }
        let job = self.waiting.remove(next);
        self.running.extend(job.engine);
        Some(job)
    }

    fn ended(&mut self, engine: Option<&'static str>) {
        if let Some(place) = self.running.iter().position(|running| Some(*running) == engine) {
            self.running.remove(place);
        }
    }
}

impl Job {
    fn run(mut self) -> io::Result<Report> {
        let began = Instant::now();
        let (mut output, input) = pipe()?;
        // One pipe for both keeps them in the order in which they were written.
        self.command.stdout(input.try_clone()?).stderr(input);
        let mut child = self.command.spawn()?;
        // Holds the ends of the pipe that this process writes into: reading ends when all are closed.
        drop(self.command);
        let mut said = Vec::new();
        output.read_to_end(&mut said)?;
        let success = child.wait()?.success();
        let output = format!("{}{}", self.heading, String::from_utf8_lossy(&said));
        Ok(Report { name: self.name, output, success, took: began.elapsed() })
    }
}

/// Shows a report whole, so that reports of jobs that ran at once do not mix.
pub fn show(report: &Report) -> io::Result<()> {
    let Report { name, output, took, .. } = report;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{output}xtask: {name} took {} s", took.as_secs())?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str, engine: Option<&'static str>) -> Job {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("echo {name}; echo error >&2; [ {name} = good ]")]);
        Job { name: name.to_owned(), engine, heading: "heading\n".to_owned(), command }
    }

    #[test]
    fn every_job_is_reported_whole_with_its_success() {
        let reports = Mutex::new(Vec::new());
        let jobs = vec![job("good", None), job("bad", None), job("good", None)];
        run(jobs, 2, |report| {
            reports.lock().unwrap().push((report.name, report.output, report.success));
            Ok(())
        })
        .unwrap();
        let mut reports = reports.into_inner().unwrap();
        reports.sort();
        let expected =
            |name: &str| (name.to_owned(), format!("heading\n{name}\nerror\n"), name == "good");
        assert_eq!(reports, [expected("bad"), expected("good"), expected("good")]);
    }

    #[test]
    fn a_job_waits_while_its_engine_is_busy_unless_nothing_else_is_left() {
        let jobs = vec![job("a", Some("redis")), job("b", Some("redis")), job("c", None)];
        let mut queue = Queue { waiting: jobs, running: Vec::new() };
        let mut next = || queue.take().map(|job| job.name);
        assert_eq!(
            [next(), next(), next(), next()].map(|name| name.unwrap_or_default()),
            ["a", "c", "b", ""]
        );
    }

    #[test]
    fn an_engine_is_free_when_its_job_has_ended() {
        let jobs = vec![job("a", Some("redis")), job("b", None), job("c", Some("redis"))];
        let mut queue = Queue { waiting: jobs, running: Vec::new() };
        let engine = queue.take().unwrap().engine;
        queue.ended(engine);
        queue.take();
        assert_eq!(queue.running, Vec::<&str>::new());
        assert_eq!(queue.take().unwrap().name, "c");
    }
}
