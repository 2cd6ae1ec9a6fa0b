//! Media workers by number, and how an ICE check tells which of them it is for.

/// Most workers: as many as there are letters and digits.
pub const MAX_WORKERS: usize = MARKS.len();

/// First characters of our ufrags, one per worker.
const MARKS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// One media worker, which owns legs and forwards their packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WorkerId(u8);

impl WorkerId {
    /// The worker with this number; `None` from [`MAX_WORKERS`] on.
    pub fn new(number: usize) -> Option<Self> {
        (number < MAX_WORKERS).then_some(Self(number as u8))
    }

    /// The first `count` workers, at most [`MAX_WORKERS`].
    pub fn first(count: usize) -> impl Iterator<Item = Self> {
        (0..count).map_while(Self::new)
    }

    /// Its number, from 0.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// What the local ufrag of each of its legs begins with, so that any worker can tell whom an
    /// ICE check is for.
    pub fn mark(self) -> char {
        char::from(MARKS[self.index()])
    }

    /// The worker whose leg has this local ufrag.
    pub fn of_ufrag(ufrag: &str) -> Option<Self> {
        let first = ufrag.bytes().next()?;
        let number = MARKS.iter().position(|mark| *mark == first)?;
        Self::new(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ufrag_names_its_worker() {
        let all: Vec<_> = WorkerId::first(1_000).collect();
        assert_eq!(all.len(), MAX_WORKERS);
        for worker in all {
            let ufrag = format!("{}random", worker.mark());
            assert_eq!(WorkerId::of_ufrag(&ufrag), Some(worker));
        }
        assert_eq!(WorkerId::of_ufrag(""), None);
        assert_eq!(WorkerId::of_ufrag("+abc"), None);
    }
}
