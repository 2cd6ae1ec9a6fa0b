//! When which webhook is sent.
//!
//! The events of one session go to one URL one after the other: a *lane*. What is in a lane is in
//! the database; here is only when its first event is due. A lane that fails waits, longer each
//! time, and no other lane waits for it. All times are milliseconds since the Unix epoch.

use std::collections::{BTreeMap, BTreeSet};

use crate::entropy::Entropy;
use crate::model::id::{ProjectId, SessionId};

use super::target::TargetUrl;

/// Requests under way at a time, in all.
const MAX_RUNNING: usize = 64;

/// Those of one project, so that one whose receivers stall leaves room for the others.
const MAX_RUNNING_OF_PROJECT: usize = 16;

/// Those to one URL, and to one whose last answer was no success: it is tried, not flooded.
const MAX_RUNNING_OF_RECEIVER: usize = 4;
const MAX_RUNNING_WHILE_FAILING: usize = 1;

/// The first pause after a failure, doubled with each further one, and the longest.
const FIRST_PAUSE_MS: i64 = 1000;
const LONGEST_PAUSE_MS: i64 = 10 * 60 * 1000;

/// How long an event is tried (our choice; the original does not say).
pub const LIFETIME_MS: i64 = 24 * 60 * 60 * 1000;

/// How long a lane waits when the store could not be asked.
const STORE_PAUSE_MS: i64 = 2000;

/// The events of one session for one URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane {
    /// Whose.
    pub project: ProjectId,
    /// Where they go.
    pub url: TargetUrl,
    /// What they are about.
    pub session: SessionId,
}

/// One lane's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Whose first event is to be sent.
    pub lane: Lane,
    /// A random number for [`next_attempt`].
    pub dice: u32,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The event has arrived; the next one may follow.
    Delivered,
    /// There was nothing to send.
    Empty,
    /// There is nothing to send before this time.
    NotBefore(i64),
    /// It has not; try again at this time.
    Failed(i64),
    /// It has not, and will not be tried again; the next one may follow.
    GivenUp,
    /// The store could not be asked.
    Postponed,
}

/// Decides which lane is next.
#[derive(Debug)]
pub struct Schedule {
    receivers: BTreeMap<(ProjectId, TargetUrl), Receiver>,
    running: usize,
    entropy: Entropy,
}

/// One project's URL.
#[derive(Debug, Default)]
struct Receiver {
    waiting: BTreeMap<SessionId, i64>,
    due: BTreeSet<(i64, SessionId)>,
    /// Whether something has been added since the attempt began.
    running: BTreeMap<SessionId, bool>,
    failing: bool,
}

impl Schedule {
    /// With nothing to do.
    pub fn new(entropy: Entropy) -> Self {
        Self {
            receivers: BTreeMap::new(),
            running: 0,
            entropy,
        }
    }

    /// An event was stored for this lane; if it is the first, it is due at this time.
    pub fn handle_queued(&mut self, lane: Lane, due_ms: i64) {
        let receiver = self.receivers.entry((lane.project, lane.url)).or_default();
        if let Some(more) = receiver.running.get_mut(&lane.session) {
            *more = true;
        } else if !receiver.waiting.contains_key(&lane.session) {
            receiver.wait(lane.session, due_ms);
        }
    }

    /// The store says that the first event of this lane is due since then, whoever put it there.
    pub fn handle_found(&mut self, lane: Lane, due_ms: i64) {
        let key = (lane.project, lane.url.clone());
        if let Some(receiver) = self.receivers.get_mut(&key)
            && let Some(known) = receiver.waiting.get(&lane.session)
            && due_ms < *known
        {
            receiver.due.remove(&(*known, lane.session.clone()));
            receiver.wait(lane.session, due_ms);
            return;
        }
        self.handle_queued(lane, due_ms);
    }

    /// The next attempt to make now, if any; its outcome must be told.
    pub fn poll_attempt(&mut self, now_ms: i64) -> Option<Attempt> {
        let (project, url) = {
            let due = |receiver: &Receiver| receiver.first_due().is_some_and(|at| at <= now_ms);
            let ready = self.with_room().filter(|(_, receiver)| due(receiver));
            let best = ready.min_by_key(|(_, r)| (r.running.len(), r.first_due()))?;
            best.0.clone()
        };
        let receiver = self.receivers.get_mut(&(project, url.clone()))?;
        let (_, session) = receiver.due.pop_first()?;
        receiver.waiting.remove(&session);
        receiver.running.insert(session.clone(), false);
        self.running += 1;
        let lane = Lane {
            project,
            url,
            session,
        };
        Some(Attempt {
            lane,
            dice: self.entropy.u32(),
        })
    }

    /// What became of an attempt.
    pub fn handle_outcome(&mut self, lane: &Lane, outcome: Outcome, now_ms: i64) {
        let key = (lane.project, lane.url.clone());
        let Some(receiver) = self.receivers.get_mut(&key) else {
            return;
        };
        let Some(more) = receiver.running.remove(&lane.session) else {
            return;
        };
        self.running -= 1;
        match outcome {
            Outcome::Delivered => receiver.failing = false,
            Outcome::Failed(_) | Outcome::GivenUp => receiver.failing = true,
            Outcome::Empty | Outcome::NotBefore(_) | Outcome::Postponed => {}
        }
        let due = match outcome {
            Outcome::Delivered | Outcome::GivenUp => Some(now_ms),
            Outcome::Empty => more.then_some(now_ms),
            Outcome::Failed(at) | Outcome::NotBefore(at) => Some(at),
            Outcome::Postponed => Some(now_ms + STORE_PAUSE_MS),
        };
        if let Some(due) = due {
            receiver.wait(lane.session.clone(), due);
        }
        if receiver.waiting.is_empty() && receiver.running.is_empty() {
            self.receivers.remove(&key);
        }
    }

    /// When there is next something to do without an outcome, if ever.
    pub fn poll_timeout(&self) -> Option<i64> {
        let due = self.with_room().filter_map(|(_, r)| r.first_due());
        due.min()
    }

    /// The receivers that one more request may go to.
    fn with_room(&self) -> impl Iterator<Item = (&(ProjectId, TargetUrl), &Receiver)> {
        let mut of_project = BTreeMap::new();
        for ((project, _), receiver) in &self.receivers {
            *of_project.entry(*project).or_insert(0) += receiver.running.len();
        }
        let full = self.running >= MAX_RUNNING;
        self.receivers
            .iter()
            .filter(move |((project, _), receiver)| {
                let busy = of_project.get(project).copied().unwrap_or_default();
                !full && busy < MAX_RUNNING_OF_PROJECT && receiver.has_room()
            })
    }
}

impl Receiver {
    fn wait(&mut self, session: SessionId, due_ms: i64) {
        self.due.insert((due_ms, session.clone()));
        self.waiting.insert(session, due_ms);
    }

    fn first_due(&self) -> Option<i64> {
        self.due.first().map(|(at, _)| *at)
    }

    fn has_room(&self) -> bool {
        let most = match self.failing {
            true => MAX_RUNNING_WHILE_FAILING,
            false => MAX_RUNNING_OF_RECEIVER,
        };
        self.running.len() < most
    }
}

/// When an event that has failed `attempts` times is tried again; `None` to give it up. `dice`
/// spreads what failed together over half of the pause.
pub fn next_attempt(created_at_ms: i64, attempts: i64, now_ms: i64, dice: u32) -> Option<i64> {
    let doublings = u32::try_from(attempts - 1).unwrap_or_default().min(20);
    let pause = (FIRST_PAUSE_MS << doublings).min(LONGEST_PAUSE_MS);
    let at = now_ms + pause / 2 + i64::from(dice) % (pause / 2 + 1);
    (at <= created_at_ms + LIFETIME_MS).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(project: i32, url: &str, session: &str) -> Lane {
        Lane {
            project: ProjectId::new(project).unwrap(),
            url: url.parse().unwrap(),
            session: session.parse().unwrap(),
        }
    }

    fn schedule() -> Schedule {
        Schedule::new(Entropy::from_seed(1))
    }

    fn started(schedule: &mut Schedule, now_ms: i64) -> Vec<Lane> {
        std::iter::from_fn(|| schedule.poll_attempt(now_ms))
            .map(|attempt| attempt.lane)
            .collect()
    }

    #[test]
    fn a_session_has_one_request_under_way_and_the_next_follows_it() {
        let mut schedule = schedule();
        let lane = lane(1, "https://a", "s");
        schedule.handle_queued(lane.clone(), 0);
        schedule.handle_queued(lane.clone(), 0);
        assert_eq!(started(&mut schedule, 0), std::slice::from_ref(&lane));
        assert_eq!(schedule.poll_timeout(), None);
        schedule.handle_outcome(&lane, Outcome::Delivered, 5);
        assert_eq!(started(&mut schedule, 5), std::slice::from_ref(&lane));
        // What comes while the store is found empty is not forgotten.
        schedule.handle_queued(lane.clone(), 6);
        schedule.handle_outcome(&lane, Outcome::Empty, 7);
        assert_eq!(started(&mut schedule, 7), std::slice::from_ref(&lane));
        schedule.handle_outcome(&lane, Outcome::Empty, 8);
        assert_eq!(schedule.poll_timeout(), None);
        assert!(schedule.receivers.is_empty(), "nothing is left behind");
    }

    #[test]
    fn what_the_store_says_brings_a_session_forward() {
        let mut schedule = schedule();
        let lane = lane(1, "https://a", "s");
        schedule.handle_queued(lane.clone(), 0);
        started(&mut schedule, 0);
        // Somebody else has it.
        schedule.handle_outcome(&lane, Outcome::NotBefore(1000), 5);
        assert_eq!(schedule.poll_timeout(), Some(1000));
        schedule.handle_found(lane.clone(), 2000);
        assert_eq!(schedule.poll_timeout(), Some(1000));
        schedule.handle_found(lane.clone(), 10);
        assert_eq!(started(&mut schedule, 10), std::slice::from_ref(&lane));
        schedule.handle_outcome(&lane, Outcome::Empty, 20);
        assert!(schedule.receivers.is_empty(), "nothing is left behind");
    }

    #[test]
    fn a_session_that_fails_waits_and_others_do_not() {
        let mut schedule = schedule();
        let (bad, good) = (lane(1, "https://a", "bad"), lane(1, "https://a", "good"));
        schedule.handle_queued(bad.clone(), 0);
        assert_eq!(started(&mut schedule, 0), std::slice::from_ref(&bad));
        schedule.handle_outcome(&bad, Outcome::Failed(1000), 10);
        schedule.handle_queued(bad.clone(), 20);
        schedule.handle_queued(good.clone(), 20);
        assert_eq!(started(&mut schedule, 20), std::slice::from_ref(&good));
        schedule.handle_outcome(&good, Outcome::Empty, 30);
        assert_eq!(schedule.poll_timeout(), Some(1000));
        assert_eq!(started(&mut schedule, 999), []);
        assert_eq!(started(&mut schedule, 1000), [bad]);
    }

    #[test]
    fn a_receiver_that_fails_is_tried_one_at_a_time_until_it_is_back() {
        let mut schedule = schedule();
        let of = |n: usize| lane(1, "https://a", &format!("s{n}"));
        for n in 0..10 {
            schedule.handle_queued(of(n), 0);
        }
        let first = started(&mut schedule, 0);
        assert_eq!(first.len(), MAX_RUNNING_OF_RECEIVER);
        for lane in &first {
            schedule.handle_outcome(lane, Outcome::Failed(5000), 1);
        }
        let probe = started(&mut schedule, 1);
        assert_eq!(probe.len(), 1);
        schedule.handle_outcome(&probe[0], Outcome::Delivered, 2);
        assert_eq!(started(&mut schedule, 2).len(), MAX_RUNNING_OF_RECEIVER);
    }

    #[test]
    fn a_project_that_stalls_leaves_room_for_others() {
        let mut schedule = schedule();
        for url in 0..30 {
            for session in 0..10 {
                let url = format!("https://stalls{url}");
                schedule.handle_queued(lane(1, &url, &format!("s{session}")), 0);
            }
        }
        assert_eq!(started(&mut schedule, 0).len(), MAX_RUNNING_OF_PROJECT);
        schedule.handle_queued(lane(2, "https://b", "s"), 100);
        assert_eq!(started(&mut schedule, 100), [lane(2, "https://b", "s")]);
        for project in 3..20 {
            for session in 0..20 {
                schedule.handle_queued(lane(project, "https://c", &format!("s{session}")), 100);
            }
        }
        started(&mut schedule, 100);
        assert_eq!(schedule.running, MAX_RUNNING);
        assert_eq!(schedule.poll_timeout(), None, "an outcome comes first");
    }

    #[test]
    fn the_store_is_asked_again_later() {
        let mut schedule = schedule();
        let lane = lane(1, "https://a", "s");
        schedule.handle_queued(lane.clone(), 0);
        started(&mut schedule, 0);
        schedule.handle_outcome(&lane, Outcome::Postponed, 10);
        assert_eq!(schedule.poll_timeout(), Some(10 + STORE_PAUSE_MS));
    }

    #[test]
    fn pauses_double_up_to_ten_minutes_and_are_spread() {
        let check = |attempts, shortest, longest| {
            assert_eq!(next_attempt(0, attempts, 0, 0), Some(shortest));
            let dice = u32::try_from(longest - shortest).unwrap();
            assert_eq!(next_attempt(0, attempts, 0, dice), Some(longest));
        };
        check(1, 500, 1000);
        check(2, 1000, 2000);
        check(10, 256_000, 512_000);
        check(11, 300_000, 600_000);
        check(1_000_000, 300_000, 600_000);
    }

    #[test]
    fn an_event_is_tried_for_a_day() {
        let (mut now, mut attempts) = (0, 0);
        let mut entropy = Entropy::from_seed(2);
        while let Some(at) = next_attempt(0, attempts + 1, now, entropy.u32()) {
            assert!(at > now);
            (now, attempts) = (at, attempts + 1);
        }
        assert!((LIFETIME_MS - LONGEST_PAUSE_MS..=LIFETIME_MS).contains(&now));
        assert!(attempts > 140);
    }
}
