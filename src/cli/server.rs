//! The running server, asked over REST on behalf of one of its projects.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use clap::Args;
use http_body_util::Full;
use hyper::{Method, Request};
use serde_json::{Value, json};
use url::Url;

use crate::clock::Clock;
use crate::config::Config;
use crate::model::jwt;
use crate::model::project::Project;
use crate::net::dial::Dialer;
use crate::net::trust;

/// How long the server may take to see our requests, in seconds.
const CALL_LIFETIME_S: i64 = 60;

/// Which server, and whom to believe that it is this one.
#[derive(Debug, Args)]
pub(super) struct ServerArgs {
    /// Where the server is, as a URL or as HOST:PORT; the one on this machine if not given.
    #[arg(long, global = true, value_name = "URL")]
    server: Option<String>,
    /// Authorities to believe over TLS, in PEM, instead of those that the system trusts.
    #[arg(long, global = true, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// A running server.
pub(super) struct Server {
    url: Url,
    dialer: Dialer,
}

impl ServerArgs {
    /// The server that was named, or that runs with these settings on this machine.
    pub(super) fn resolve(self, config: &Config) -> Result<Server> {
        let roots = match &self.ca_file {
            None => trust::system(),
            Some(file) => trust::file(file)
                .with_context(|| format!("{} has no authorities", file.display()))?,
        };
        let dialer = Dialer::new(roots);
        match self.server {
            Some(named) => {
                let url = match named.contains("://") {
                    true => named,
                    false => format!("{}://{named}", config.scheme()),
                };
                let url = url.parse().context("--server is no URL")?;
                Ok(Server { url, dialer })
            }
            None => {
                let listen = config.http.listen;
                let here = match listen.ip() {
                    ip if ip.is_unspecified() => format!("localhost:{}", listen.port()),
                    _ => listen.to_string(),
                };
                let url: Url = format!("{}://{here}", config.scheme()).parse()?;
                // Its certificate has the name that clients know it by.
                let public = config.http.public_url.as_ref();
                let url = match public.filter(|_| config.tls.is_some()) {
                    Some(public) => public.to_string().parse()?,
                    None => url,
                };
                Ok(Server {
                    url,
                    dialer: dialer.by_way_of(here),
                })
            }
        }
    }
}

impl Server {
    /// Calls an operation at a path of a project's; any status but `good` is an error.
    pub(super) async fn call(
        &self,
        project: &Project,
        (method, path): (Method, &str),
        good: &[u16],
    ) -> Result<Bytes> {
        let now = Clock::system().unix_ms() / 1000;
        let claims = json!({
            "iss": project.id.to_string(), "ist": "project",
            "iat": now, "exp": now + CALL_LIFETIME_S,
        });
        let root = self.url.as_str().trim_end_matches('/');
        let request = Request::builder()
            .method(method)
            .uri(format!("{root}/v2/project/{}/{path}", project.id))
            .header("x-opentok-auth", jwt::sign(&claims, &project.secret))
            .body(Full::new(Bytes::new()))?;
        let answer = self.dialer.request(request).await;
        let answer =
            answer.with_context(|| format!("no answer from {root}; --server names another"))?;
        let status = answer.status();
        let body = answer.into_body();
        ensure!(
            good.contains(&status.as_u16()),
            "the server says {status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok(body)
    }

    /// What is found at a path of a project's.
    pub(super) async fn get(&self, project: &Project, path: &str) -> Result<Value> {
        let body = self.call(project, (Method::GET, path), &[200]).await?;
        Ok(serde_json::from_slice(&body)?)
    }
}
