//! Which database the tests run on: SQLite, or the PostgreSQL that the environment names.

use parlor::entropy::Entropy;
use sqlx::any::{AnyConnectOptions, install_default_drivers};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

/// URL of a PostgreSQL database in which tests may create schemas: see `tests/with-postgres`.
const URL: &str = "PARLOR_TEST_POSTGRES";

/// The URL of an empty place in PostgreSQL for one test, or `None` if tests run on SQLite.
pub(crate) async fn postgres() -> Option<String> {
    let (url, schema) = create("SCHEMA").await?;
    let separator = if url.contains('?') { '&' } else { '?' };
    Some(format!("{url}{separator}options[search_path]={schema}"))
}

/// The same, but a whole database, at a URL that PostgreSQL's own tools understand.
#[allow(dead_code, reason = "not every test needs those tools")]
pub(crate) async fn postgres_database() -> Option<String> {
    let (url, database) = create("DATABASE").await?;
    let mut url: url::Url = url.parse().unwrap();
    url.set_path(&database);
    Some(url.into())
}

/// Makes something with a new name; where it was made, and the name.
async fn create(what: &str) -> Option<(String, String)> {
    let url = std::env::var(URL).ok().filter(|url| !url.is_empty())?;
    let name = format!("test_{}", Entropy::from_system().uuid().simple());
    install_default_drivers();
    let options: AnyConnectOptions = url.parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    let create = AssertSqlSafe(format!("CREATE {what} {name}"));
    connection.execute(create).await.unwrap();
    connection.close().await.unwrap();
    Some((url, name))
}
