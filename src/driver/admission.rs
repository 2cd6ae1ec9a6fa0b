//! Who may join: looks the session and its project up and verifies the client's token.

use tracing::{debug, warn};

use crate::clock::Clock;
use crate::db::Db;
use crate::hub::effect::{Admission, Denial};
use crate::model::id::SessionId;
use crate::model::token;
