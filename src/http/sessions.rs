//! Creating sessions (`protocol/rest.md`, section 7).

use std::borrow::Cow;
use std::net::Ipv4Addr;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::json;
use tracing::info;
use uuid::Uuid;

use super::SharedEntropy;
use super::auth::AuthProject;
use super::body::{Asked, Form};
use super::error::{ApiError, Format, XML_HEAD, xml_elements};
use super::openapi::operation::{Gives, Operation};
use super::values::Within;
use crate::clock::Clock;
use crate::db::Db;
use crate::model::codec::VideoCodecs;
use crate::model::id::ProjectId;
use crate::model::resolution::Resolution;
use crate::model::session::{ArchiveMode, MAX_CONNECTIONS, MediaMode, Session, SessionRequest};

/// `ice_credential_expiration` in seconds: a constant of the original.
const ICE_CREDENTIAL_EXPIRATION_S: u32 = 86_100;

/// The time zone of `create_dt`: that of the original, which is on the west coast of the US.
/// A POSIX rule (second Sunday in March to first Sunday in November) needs no database of zones.
const PACIFIC: &str = "PST8PDT,M3.2.0,M11.1.0";

/// The parameters of `POST /session/create`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "SessionCreate", example = json!({"p2p.preference": "disabled", "archiveMode": "manual"}))]
pub struct Create {
    /// How media travels: `disabled` is through the server, `enabled` from browser to browser,
    /// `adaptive` whichever is better.
    #[serde(rename = "p2p.preference")]
    pub p2p_preference: MediaMode,
    /// Whether the session is archived without being asked. `always` needs `p2p.preference`
    /// `disabled`.
    pub archive_mode: ArchiveMode,
    /// What the automatic archive is called, in at most 80 characters.
    #[schemars(length(max = 80))]
    pub archive_name: Option<String>,
    /// How large the pictures of the automatic archive are.
    pub archive_resolution: Option<Resolution>,
    /// IPv4 address near which the session should live.
    #[serde(deserialize_with = "ipv4")]
    pub location: Option<Ipv4Addr>,
    /// Whether clients encrypt media end to end. Needs `p2p.preference` `disabled` and
    /// `archiveMode` `manual`.
    pub e2ee: bool,
    /// Most connections that the session has at a time. Ours.
    pub max_connections: Option<Within<1, MAX_CONNECTIONS>>,
    /// The video codecs that may be used, with commas, the preferred one first. Ours.
    pub video_codecs: Option<VideoCodecs>,
    /// One SDK sends the key along; it must be the caller's.
    #[serde(rename = "api_key")]
    pub api_key: Option<ProjectId>,
}

impl Asked for Create {}

/// `POST /session/create`, and its aliases.
pub async fn create(
    AuthProject(project): AuthProject,
    format: Format,
    State(db): State<Db>,
    State(clock): State<Clock>,
    State(entropy): State<SharedEntropy>,
    Form(asked): Form<Create>,
) -> Result<Created, ApiError> {
    if asked.api_key.is_some_and(|key| key != project.id) {
        return Err(ApiError::Forbidden(
            "Api key does not match the issuer of the token",
        ));
    }
    let options = SessionRequest::from(asked).try_into()?;
    let (session, segment) = {
        let mut dice = entropy.lock();
        let session = Session::create(project.id, options, clock.unix_ms(), &mut dice);
        (session, dice.uuid())
    };
    db.sessions().insert(&session).await?;
    info!(project.id = %project.id, session.id = %session.id, "Session created");
    Ok(Created {
        answer: CreatedSession::of(&session, segment),
        format,
    })
}

impl From<Create> for SessionRequest {
    fn from(asked: Create) -> Self {
        Self {
            media_mode: asked.p2p_preference,
            archive_mode: asked.archive_mode,
            archive_name: asked.archive_name,
            archive_resolution: asked.archive_resolution,
            location: asked.location,
            e2ee: asked.e2ee,
            max_connections: asked.max_connections.map(|Within(most)| most),
            video_codecs: asked.video_codecs,
        }
    }
}

fn ipv4<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Ipv4Addr>, D::Error> {
    let text = Cow::<str>::deserialize(input)?;
    let address = text.parse().map(Some);
    address.map_err(|_| de::Error::custom("must be an IPv4 address"))
}

/// A session that was created, in the format that is wanted.
#[derive(Debug)]
pub struct Created {
    answer: CreatedSession,
    format: Format,
}

impl Gives for Created {
    fn gives(operation: &mut Operation<'_>) {
        let json = operation.schema_of::<[CreatedSession; 1]>();
        let xml = json!({"type": "string"});
        let bodies = [("application/json", json), ("text/xml", xml)];
        operation.answer(200, "Created.", &bodies);
        operation.refuses(&ApiError::Draining);
    }
}

impl IntoResponse for Created {
    fn into_response(self) -> Response {
        match self.format {
            // An array of one: what SDKs take apart.
            Format::Json => axum::Json([self.answer]).into_response(),
            Format::Xml => {
                let xml = HeaderValue::from_static("text/xml");
                ([(header::CONTENT_TYPE, xml)], self.answer.to_xml()).into_response()
            }
        }
    }
}

/// The members of the original, in its order. Those without a type are always null.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct CreatedSession {
    session_id: String,
    project_id: String,
    partner_id: String,
    create_dt: String,
    session_status: (),
    status_invalid: (),
    media_server_hostname: (),
    messaging_server_url: (),
    messaging_url: (),
    symphony_address: (),
    properties: (),
    ice_server: (),
    session_segment_id: String,
    ice_servers: (),
    ice_credential_expiration: u32,
}

impl CreatedSession {
    fn of(session: &Session, segment: Uuid) -> Self {
        Self {
            session_id: session.id.to_string(),
            project_id: session.project.to_string(),
            partner_id: session.project.to_string(),
            create_dt: date(session.created_at_ms),
            session_segment_id: segment.to_string(),
            ice_credential_expiration: ICE_CREDENTIAL_EXPIRATION_S,
            ..Self::default()
        }
    }

    /// XML has no null: what is null in JSON is absent.
    fn to_xml(&self) -> String {
        let expiration = self.ice_credential_expiration.to_string();
        let members = xml_elements(&[
            ("session_id", self.session_id.as_str()),
            ("project_id", &self.project_id),
            ("partner_id", &self.partner_id),
            ("create_dt", &self.create_dt),
            ("session_segment_id", &self.session_segment_id),
            ("ice_credential_expiration", &expiration),
        ]);
        format!("{XML_HEAD}<sessions><Session>{members}</Session></sessions>")
    }
}

/// A time as Java's `Date.toString` writes it: `Tue May 05 06:02:50 PDT 2020`.
fn date(unix_ms: i64) -> String {
    let at = Timestamp::from_millisecond(unix_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    let zone = TimeZone::posix(PACIFIC).unwrap_or(TimeZone::UTC);
    at.to_zoned_datetime(zone)
        .strftime("%a %b %d %H:%M:%S %Z %Y")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_the_original_does() {
        assert_eq!(date(1_588_683_770_000), "Tue May 05 06:02:50 PDT 2020");
        assert_eq!(date(1_739_538_894_959), "Fri Feb 14 05:14:54 PST 2025");
    }
}
