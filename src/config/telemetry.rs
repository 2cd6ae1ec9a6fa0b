//! Where traces are sent, if anywhere.

use hyper::header::{HeaderName, HeaderValue};
use url::Url;

use super::values::Reader;
use crate::turn::ice_servers::Redacted;

/// What each span is sent with.
#[derive(Debug, Clone, PartialEq)]
pub struct TracesConfig {
    /// Where a collector takes OTLP over HTTP: the whole URL.
    pub endpoint: Url,
    /// What it wants to see besides, such as a key.
    pub headers: Vec<(String, Redacted)>,
    /// Of how many of the traces that begin here, from 0 to 1.
    pub sample_ratio: f64,
    /// What this server is called there.
    pub service: String,
}

/// The ratio is a number.
impl Eq for TracesConfig {}

impl TracesConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Option<Self>> {
        const ENDPOINT: &str = "telemetry.otlp_endpoint";
        const EXAMPLE: &str = "\"http://127.0.0.1:4318\"";
        let endpoint: Option<Option<Url>> = reader.optional(ENDPOINT, EXAMPLE);
        let headers = read_headers(reader);
        let sample_ratio = reader.ratio("telemetry.otlp_sample_ratio", "0.1");
        let service = reader.required("telemetry.service_name", "\"parlor\"");
        let Some(mut endpoint) = endpoint? else {
            return Some(None);
        };
        if !cfg!(feature = "otel") {
            let what =
                "this program was built without the feature \"otel\", and cannot send traces";
            reader.problem(ENDPOINT, what, Some("\"\""));
            return None;
        }
        if !matches!(endpoint.scheme(), "http" | "https") || !endpoint.username().is_empty() {
            let what = "must be an http or https URL without a user";
            reader.problem(ENDPOINT, what, Some(EXAMPLE));
            return None;
        }
        let path = format!("{}/v1/traces", endpoint.path().trim_end_matches('/'));
        endpoint.set_path(&path);
        Some(Some(Self {
            endpoint,
            headers: headers?,
            sample_ratio: sample_ratio?,
            service,
        }))
    }
}

/// Headers in the form of `OTEL_EXPORTER_OTLP_HEADERS`: `name=value`, with commas between.
fn read_headers(reader: &mut Reader) -> Option<Vec<(String, Redacted)>> {
    const KEY: &str = "telemetry.otlp_headers";
    let text = reader.secret(KEY)?;
    let header = |part: &str| {
        let (name, value) = part.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        HeaderName::try_from(name).ok()?;
        HeaderValue::try_from(value).ok()?;
        Some((name.to_owned(), Redacted::new(value.to_owned())))
    };
    let parts = text.split(',').map(str::trim);
    let headers: Option<Vec<_>> = parts.filter(|part| !part.is_empty()).map(header).collect();
    if headers.is_none() {
        // What is wrong would show a secret.
        let what = "must be headers as name=value, with commas between";
        reader.problem(KEY, what, Some("\"authorization=Bearer …\""));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigError, Sources};

    fn sources(text: &str) -> Sources {
        Sources {
            dev: true,
            text: Some(format!("[telemetry]\n{text}")),
            ..Sources::default()
        }
    }

    fn load(text: &str) -> Result<Option<TracesConfig>, ConfigError> {
        Config::load(&sources(text)).map(|config| config.traces)
    }

    #[test]
    fn nothing_is_sent_unless_somebody_says_where() {
        assert_eq!(load(""), Ok(None));
        assert_eq!(load("otlp_sample_ratio=0.5"), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for (text, key) in [
            ("otlp_endpoint='collector'", "telemetry.otlp_endpoint"),
            (
                "otlp_headers='authorization hush'",
                "telemetry.otlp_headers",
            ),
            ("otlp_headers='a b=hush'", "telemetry.otlp_headers"),
            ("otlp_sample_ratio=1.1", "telemetry.otlp_sample_ratio"),
            ("otlp_sample_ratio=-0.1", "telemetry.otlp_sample_ratio"),
            ("otlp_sample_ratio=nan", "telemetry.otlp_sample_ratio"),
            ("otlp_sample_ratio='all'", "telemetry.otlp_sample_ratio"),
            ("service_name=''", "telemetry.service_name"),
        ] {
            let error = load(text).unwrap_err();
            assert_eq!(error.0[0].key, key, "{text}");
            assert!(!error.to_string().contains("hush"));
        }
    }

    #[cfg(not(feature = "otel"))]
    #[test]
    fn a_build_that_cannot_send_traces_says_so() {
        let error = load("otlp_endpoint='http://127.0.0.1:4318'").unwrap_err();
        assert_eq!(error.0[0].key, "telemetry.otlp_endpoint");
        assert!(error.to_string().contains("without the feature \"otel\""));
    }
}
