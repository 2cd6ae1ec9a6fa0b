//! Accounts: whoever manages projects over REST.

use super::{Db, DbError};
use crate::model::id::ProjectId;
use crate::model::project::Account;

/// The table of accounts.
#[derive(Debug, Clone, Copy)]
pub struct Accounts<'a> {
    pub(super) db: &'a Db,
}

impl Accounts<'_> {
    /// Adds an account; `Conflict` if its key is taken.
    pub async fn insert(&self, account: &Account) -> Result<(), DbError> {
        sqlx::query("INSERT INTO accounts (id, secret, created_at) VALUES ($1, $2, $3)")
            .bind(account.id.get())
            .bind(account.secret.reveal())
            .bind(account.created_at_ms)
            .execute(&self.db.writer)
            .await?;
        Ok(())
    }

    /// The account with this key.
    pub async fn find(&self, id: ProjectId) -> Result<Option<Account>, DbError> {
        let row: Option<Row> =
            sqlx::query_as("SELECT id, secret, created_at FROM accounts WHERE id = $1")
                .bind(id.get())
                .fetch_optional(&self.db.reader)
                .await?;
        row.map(Account::try_from).transpose()
    }

    /// All accounts, oldest first.
    pub async fn list(&self) -> Result<Vec<Account>, DbError> {
        let rows: Vec<Row> =
            sqlx::query_as("SELECT id, secret, created_at FROM accounts ORDER BY created_at, id")
                .fetch_all(&self.db.reader)
                .await?;
        rows.into_iter().map(Account::try_from).collect()
    }
}

row! {
    struct Row {
        id: i32,
        secret: String,
        created_at: i64,
    }
}

impl TryFrom<Row> for Account {
    type Error = DbError;

    fn try_from(row: Row) -> Result<Self, DbError> {
        let secret = row.secret.parse();
        Ok(Self {
            id: ProjectId::new(row.id).ok_or(DbError::Corrupt("account key"))?,
            secret: secret.map_err(|_| DbError::Corrupt("account secret"))?,
            created_at_ms: row.created_at,
        })
    }
}
