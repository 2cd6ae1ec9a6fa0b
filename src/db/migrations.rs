//! The schema, step by step, for both engines: the statements are in the dialect that they share.
//!
//! What is written here once, and in `db::row!`, sqlx's macros would make as well; but they bring
//! both engines into the compiler, and double what a build takes of sqlx.

use std::sync::LazyLock;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Every file of `migrations/`: its number, its name in words, its statements.
const STEPS: [(i64, &str, &str); 6] = [
    (
        1,
        "projects",
        include_str!("../../migrations/0001_projects.sql"),
    ),
    (
        2,
        "sessions",
        include_str!("../../migrations/0002_sessions.sql"),
    ),
    (
        3,
        "connection limits",
        include_str!("../../migrations/0003_connection_limits.sql"),
    ),
    (
        4,
        "accounts",
        include_str!("../../migrations/0004_accounts.sql"),
    ),
    (
        5,
        "webhooks",
        include_str!("../../migrations/0005_webhooks.sql"),
    ),
    (
        6,
        "video codecs",
        include_str!("../../migrations/0006_video_codecs.sql"),
    ),
];

/// What brings a store up to date.
pub(super) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let step = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(
            version,
            name.into(),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    };
    Migrator::with_migrations(STEPS.map(step).into())
});

/// The number of the last step.
pub(super) const fn newest() -> i64 {
    STEPS[STEPS.len() - 1].0
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[tokio::test]
    async fn every_file_is_a_step_as_sqlx_would_read_it() {
        let files = Migrator::new(Path::new("migrations")).await.unwrap();
        let told = |migrator: &Migrator| -> Vec<_> {
            let tell = |step: &Migration| {
                (
                    step.version,
                    step.description.clone(),
                    step.checksum.clone(),
                )
            };
            migrator.iter().map(tell).collect()
        };
        assert_eq!(told(&MIGRATIONS), told(&files));
        assert_eq!(newest(), files.iter().last().unwrap().version);
    }
}
