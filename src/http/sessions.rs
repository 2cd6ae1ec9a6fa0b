//! Creating sessions (`protocol/rest.md`, section 7).

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use tracing::info;
use uuid::Uuid;

use super::SharedEntropy;
use super::auth::AuthProject;
use super::error::{ApiError, Format, XML_HEAD, xml_elements};
use super::params::Params;
use crate::clock::Clock;
use crate::db::Db;
use crate::model::project::Project;
use crate::model::session::{Session, SessionOptions, SessionRequest};

/// `ice_credential_expiration` in seconds: a constant of the original.
const ICE_CREDENTIAL_EXPIRATION_S: u32 = 86_100;

/// The time zone of `create_dt`: that of the original, which is on the west coast of the US.
/// A POSIX rule (second Sunday in March to first Sunday in November) needs no database of zones.
const PACIFIC: &str = "PST8PDT,M3.2.0,M11.1.0";

/// `POST /session/create`, and its aliases.
pub async fn create(
    format: Format,
    project: Result<AuthProject, ApiError>,
    State(db): State<Db>,
    State(clock): State<Clock>,
    State(entropy): State<SharedEntropy>,
    request: Request,
) -> Response {
    let created = async {
        let AuthProject(project) = project?;
        let options = options(&project, &Params::read(request).await?)?;
        let created = Created::new(&project, options, clock.unix_ms(), &entropy);
        db.sessions().insert(&created.session).await?;
        info!(project.id = %project.id, session.id = %created.session.id, "Session created");
        Ok(created)
    };
    match created.await {
        Ok(created) => created.into_response_as(format),
        Err(error) => format.error(&error),
    }
}

fn options(project: &Project, params: &Params) -> Result<SessionOptions, ApiError> {
    // One SDK sends the key along.
    if params
        .get("api_key")
        .is_some_and(|key| key != project.id.to_string())
    {
        return Err(ApiError::Forbidden(
            "Api key does not match the issuer of the token",
        ));
    }
    let request = SessionRequest {
        p2p_preference: params.get("p2p.preference"),
        archive_mode: params.get("archiveMode"),
        archive_name: params.get("archiveName"),
        archive_resolution: params.get("archiveResolution"),
        location: params.get("location"),
        e2ee: params.get("e2ee"),
        max_connections: params.get("maxConnections"),
        video_codecs: params.get("videoCodecs"),
    };
    Ok(SessionOptions::parse(request)?)
}

/// A new session and what else callers are told of it.
struct Created {
    session: Session,
    segment: Uuid,
}

impl Created {
    fn new(project: &Project, options: SessionOptions, now_ms: i64, dice: &SharedEntropy) -> Self {
        let mut entropy = dice.lock();
        let session = Session::create(project.id, options, now_ms, &mut entropy);
        Self {
            session,
            segment: entropy.uuid(),
        }
    }

    fn into_response_as(self, format: Format) -> Response {
        let answer = Answer {
            session_id: self.session.id.as_str(),
            project_id: self.session.project.to_string(),
            partner_id: self.session.project.to_string(),
            create_dt: date(self.session.created_at_ms),
            session_segment_id: self.segment.to_string(),
            ice_credential_expiration: ICE_CREDENTIAL_EXPIRATION_S,
            ..Answer::default()
        };
        match format {
            // An array of one: what SDKs take apart.
            Format::Json => axum::Json([answer]).into_response(),
            Format::Xml => {
                let xml = HeaderValue::from_static("text/xml");
                ([(header::CONTENT_TYPE, xml)], answer.to_xml()).into_response()
            }
        }
    }
}

/// The members of the original, in its order. Those without a type are always null.
#[derive(Default, Serialize)]
struct Answer<'a> {
    session_id: &'a str,
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

impl Answer<'_> {
    /// XML has no null: what is null in JSON is absent.
    fn to_xml(&self) -> String {
        let expiration = self.ice_credential_expiration.to_string();
        let members = xml_elements(&[
            ("session_id", self.session_id),
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
