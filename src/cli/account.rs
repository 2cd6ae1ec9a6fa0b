//! `parlor account`: who may manage projects over REST.

use clap::Subcommand;

use super::print;
use crate::app;
use crate::clock::Clock;
use crate::config::Config;
use crate::entropy::Entropy;

#[derive(Debug, Subcommand)]
pub(super) enum AccountCommand {
    /// Create an account and print its key and secret.
    Create,
    /// List all accounts.
    List,
}

impl AccountCommand {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let db = app::open_database(config).await?;
        match self {
            Self::Create => {
                let mut entropy = Entropy::from_system();
                let account = app::create_account(&db, &mut entropy, Clock::system()).await?;
                print(&format!("Account key     {}", account.id));
                print(&format!("Account secret  {}", account.secret.reveal()));
            }
            Self::List => {
                for account in db.accounts().list().await? {
                    print(&account.id.to_string());
                }
            }
        }
        db.close().await;
        Ok(())
    }
}
