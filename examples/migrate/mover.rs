//! The sessions' way, and how far it is done.

use std::error::Error;
use std::fmt::Display;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use token_session::Key;
use token_session::store::StoreError;
use token_session::store::compat::Successor;

use super::PAGE;

/// So many of the sessions that stay are named.
const NAMED: usize = 100;

/// How long it waits for stores that take nothing, at first and at most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

pub struct Mover {
    pub progress: Progress,
    patience: Duration,
    /// How much time was lost since something was moved last, and how long to wait before the next try.
    hindered: Option<(Duration, Duration)>,
    pub moved: usize,
    /// How many have turned out in this pass to stay, and the first of them.
    pub stay: usize,
    pub named: Vec<(Key, StoreError)>,
    /// Whether this pass has met what another one may move.
    has_more: bool,
    /// How many of the sessions that were there at the beginning may still be. `None`: not known.
    owed: Option<u64>,
    /// How many have moved that began since, and how much time went into them.
    newcomers: u64,
    late: Duration,
}

impl Mover {
    /// `number`: how many sessions there are, where that is known.
    pub fn new(number: Option<u64>, patience: Duration) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            progress: Progress::new(number)?,
            patience,
            hindered: None,
            moved: 0,
            stay: 0,
            named: Vec::new(),
            has_more: false,
            owed: number,
            newcomers: 0,
            late: Duration::ZERO,
        })
    }

    /// What gets another place in the old store's order during one pass is found by the next.
    pub async fn move_all(&mut self, store: &Successor) -> Result<(), String> {
        loop {
            let before = self.moved;
            self.pass(store).await?;
            if self.moved == before && !self.has_more {
                return Ok(());
            }
        }
    }

    /// Goes through the old store once.
    async fn pass(&mut self, store: &Successor) -> Result<(), String> {
        (self.stay, self.has_more) = (0, false);
        self.named.clear();
        let (mut after, mut late_since, mut hindered) = (None, None, 0);
        loop {
            let begun = Instant::now();
            let page = match store.move_page(after.as_ref(), PAGE).await {
                Err(error) if error.is_retryable() => {
                    self.wait(begun.elapsed(), &error).await?;
                    continue;
                }
                page => page.map_err(|error| error.to_string())?,
            };
            self.moved += page.moved;
            self.progress.advance(page.moved + page.gone);
            if self.are_newcomers(page.moved, page.gone) {
                let since = *late_since.get_or_insert(begun);
                self.check_patience(since)?;
            }
            let mut hindrance = None;
            for (key, error) in page.failed {
                if error.is_retryable() {
                    hindrance = Some(error);
                    hindered += 1;
                    continue;
                }
                self.stay += 1;
                if self.named.len() < NAMED {
                    self.named.push((key, error));
                }
            }
            self.has_more |= hindrance.is_some();
            if page.moved > 0 {
                self.hindered = None;
            } else if let Some(hindrance) = hindrance {
                self.wait(begun.elapsed(), &hindrance).await?;
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        // What was there is here now, or was hindered.
        self.owed = Some(self.owed.unwrap_or(hindered).min(hindered));
        if let Some(since) = late_since {
            self.late += since.elapsed();
        }
        Ok(())
    }

    /// Whether some of those that a page has moved began after all of this did.
    fn are_newcomers(&mut self, moved: usize, gone: usize) -> bool {
        let Some(owed) = &mut self.owed else {
            return false;
        };
        let newcomers = (moved as u64).saturating_sub(*owed);
        *owed = owed.saturating_sub((moved + gone) as u64);
        self.newcomers += newcomers;
        newcomers > 0
    }

    /// Fails when sessions have begun in the old store for too long: else a Node service that goes on
    /// would keep this up for ever.
    fn check_patience(&self, since: Instant) -> Result<(), String> {
        if self.late + since.elapsed() <= self.patience {
            return Ok(());
        }
        Err(format!(
            "what was there has moved, and {} sessions that began since, but they still begin there: a \
             Node service writes them, or a service without Successor. What has moved stays moved: end \
             that service, and run the same command again",
            self.newcomers
        ))
    }

    /// Waits before the next try, unless there were enough. `tried`: for how long the last one took.
    ///
    /// Pages that go well but have nothing to move neither cost patience nor give it back: else it would
    /// never end where one of them comes with each pass.
    async fn wait(&mut self, tried: Duration, hindrance: &StoreError) -> Result<(), String> {
        let hindered = self.hindered.map(|(lost, pause)| (lost + tried, pause));
        let (lost, pause) = hindered.unwrap_or((Duration::ZERO, PAUSE));
        if lost + pause > self.patience {
            return Err(format!(
                "for {:?} nothing could be moved: {hindrance}. What has moved stays moved: run the \
                 same command again, and it goes on with the rest",
                self.patience
            ));
        }
        self.progress.say(format_args!("trying again in {pause:?}: {hindrance}"));
        tokio::time::sleep(pause).await;
        self.hindered = Some((lost + pause, (2 * pause).min(LONGEST_PAUSE)));
        Ok(())
    }
}

/// A bar on a terminal, and lines elsewhere.
pub struct Progress {
    bar: ProgressBar,
    /// After how many sessions there is a line.
    step: u64,
}

impl Progress {
    fn new(number: Option<u64>) -> Result<Self, Box<dyn Error>> {
        let bar = number.map_or_else(ProgressBar::no_length, ProgressBar::new);
        bar.set_style(ProgressStyle::with_template(
            "{elapsed_precise} {wide_bar} {human_pos}/{human_len} sessions, {eta} to go",
        )?);
        Ok(Self { bar, step: number.map_or(10_000, |number| number.div_ceil(10).max(1)) })
    }

    fn advance(&self, sessions: usize) {
        let lines = self.bar.position() / self.step;
        self.bar.inc(sessions as u64);
        let position = self.bar.position();
        if self.bar.is_hidden() && position / self.step > lines {
            let of = self.bar.length().map_or(String::new(), |length| format!(" of {length}"));
            self.say(format_args!("{position}{of} sessions"));
        }
    }

    /// Leaves the bar as far as it is.
    pub fn end(&self) {
        self.bar.abandon();
        if !self.bar.is_hidden() {
            eprintln!();
        }
    }

    /// A line above the bar.
    pub fn say(&self, line: impl Display) {
        self.bar.suspend(|| eprintln!("{line}"));
    }
}
