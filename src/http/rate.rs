//! How often each project may call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::hub::bucket::Bucket;
use crate::model::id::ProjectId;

/// A token bucket for each project that has called: a second's worth at once, and so many a second
/// in the long run. Whoever is not known as a project has none, so there are at most as many as
/// projects.
#[derive(Debug, Clone)]
pub struct Rates {
    per_second: u32,
    buckets: Arc<Mutex<HashMap<ProjectId, Bucket>>>,
}

impl Rates {
    /// So many calls a second of each project.
    pub fn new(per_second: u32) -> Self {
        Self {
            per_second,
            buckets: Arc::default(),
        }
    }

    /// Counts a call; false if it is one too many.
    pub fn take(&self, project: ProjectId, now: Instant) -> bool {
        // A bucket is as good after a panic as before.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = || Bucket::new(self.per_second, self.per_second, now);
        buckets.entry(project).or_insert_with(full).take(now)
    }
}

impl Default for Rates {
    /// As often as they like.
    fn default() -> Self {
        Self::new(u32::MAX)
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "any moment will do as the start of invented time"
)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_project_has_its_own_second() {
        let start = Instant::now();
        let [one, other] = [1, 2].map(|key| ProjectId::new(key).unwrap());
        let rates = Rates::new(3);
        let taken = |project, ms| {
            let now = start + Duration::from_millis(ms);
            (0..10).filter(|_| rates.take(project, now)).count()
        };
        assert_eq!(taken(one, 0), 3);
        assert_eq!(taken(one, 100), 0);
        assert_eq!(taken(other, 100), 3);
        assert_eq!(taken(one, 1100), 3);
    }

    #[test]
    fn without_a_limit_everybody_passes() {
        let (rates, now) = (Rates::default(), Instant::now());
        let project = ProjectId::new(1).unwrap();
        assert!((0..1000).all(|_| rates.take(project, now)));
    }
}
