//! What the server's memory is taken by: looked at before anybody comes, when each publication has
//! its first subscription, and when all subscribers receive.
//!
//! The first subscription belongs to the publication: a server keeps packets only for whom somebody
//! watches, and keeps them once for all who do.

use serde::Serialize;

/// Resident memory of the server in bytes as a run goes on, as far as it can be seen.
#[derive(Debug)]
pub(super) struct Memory {
    /// Before anybody came.
    idle: Option<u64>,
    /// When it was last looked at.
    last: Option<u64>,
    /// By how much it grew while publishers came, and while subscribers did.
    publications: i64,
    subscriptions: i64,
    /// The latter in this step alone, and how many came in it.
    further: Option<(i64, usize)>,
    /// How many subscriptions there are beside the first ones.
    count: usize,
}

/// What a report says of it, in bytes; nothing where the server is on another machine.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Taken {
    /// The whole server, before anybody came.
    pub(super) memory_idle: Option<u64>,
    /// By how much the whole server has grown since: what a first call takes once and for all, and
    /// everything below.
    pub(super) memory_growth: Option<u64>,
    /// By how much a publication made it grow: its publisher, its first subscription, the packets
    /// that are kept to be sent again, and its share of what a first call takes.
    pub(super) memory_per_publication: Option<u64>,
    /// By how much a subscription did beyond the first ones: from when each publication had one,
    /// until all subscribers have received for a while. Nothing where there are no others.
    pub(super) memory_per_subscription: Option<u64>,
    /// The same for those alone that came in this step of a ramp: without what the first ones take
    /// once and for all.
    pub(super) memory_per_further_subscription: Option<u64>,
}

impl Memory {
    /// Nobody is there yet.
    pub(super) fn new(idle: Option<u64>) -> Self {
        Self {
            idle,
            last: idle,
            publications: 0,
            subscriptions: 0,
            further: None,
            count: 0,
        }
    }

    /// All publications of this step have their first subscriptions, and no others.
    pub(super) fn published(&mut self, now: Option<u64>) {
        self.publications += self.grow(now);
    }

    /// All subscribers are there: `count` subscriptions beside the first ones.
    pub(super) fn subscribed(&mut self, now: Option<u64>, count: usize) {
        let grown = self.grow(now);
        self.subscriptions += grown;
        let came = count.saturating_sub(self.count);
        self.further = (self.count > 0).then_some((grown, came));
        self.count = count;
    }

    fn grow(&mut self, now: Option<u64>) -> i64 {
        let grown = now.zip(self.last);
        self.last = now;
        grown.map_or(0, |(now, last)| now.cast_signed() - last.cast_signed())
    }

    /// What it comes to with so many publications.
    pub(super) fn taken(&self, publications: usize) -> Taken {
        let each = |grown: i64, count: usize| grown.max(0).cast_unsigned() / count.max(1) as u64;
        let seen = |bytes: u64| self.last.map(|_| bytes);
        Taken {
            memory_idle: self.idle,
            memory_growth: self
                .last
                .zip(self.idle)
                .map(|(last, idle)| last.saturating_sub(idle)),
            memory_per_publication: seen(each(self.publications, publications)),
            memory_per_subscription: match self.count {
                0 => None,
                count => seen(each(self.subscriptions, count)),
            },
            memory_per_further_subscription: self
                .further
                .and_then(|(grown, came)| seen(each(grown, came))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_of_a_ramp_counts_for_those_who_came_in_it() {
        let mut memory = Memory::new(Some(1_000));
        memory.published(Some(1_700));
        memory.subscribed(Some(2_000), 10);
        let first = memory.taken(1);
        assert_eq!(first.memory_growth, Some(1_000));
        assert_eq!(first.memory_per_publication, Some(700));
        assert_eq!(first.memory_per_subscription, Some(30));
        assert_eq!(first.memory_per_further_subscription, None);

        memory.published(Some(2_300));
        memory.subscribed(Some(2_500), 30);
        let second = memory.taken(2);
        assert_eq!(second.memory_idle, Some(1_000));
        assert_eq!(second.memory_growth, Some(1_500));
        assert_eq!(second.memory_per_publication, Some(500));
        assert_eq!(second.memory_per_subscription, Some(16));
        assert_eq!(second.memory_per_further_subscription, Some(10));
    }

    #[test]
    fn of_a_server_elsewhere_nothing_is_said() {
        let mut memory = Memory::new(None);
        memory.published(None);
        memory.subscribed(None, 10);
        let taken = serde_json::to_value(memory.taken(1)).unwrap();
        assert!(taken.as_object().unwrap().values().all(|v| v.is_null()));
    }
}
