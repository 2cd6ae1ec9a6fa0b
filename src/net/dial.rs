//! Connections and HTTP requests to where the operator says, in the clear or over TLS. Where
//! tenants say, it is [`super::outbound`].

use std::fmt::Debug;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::RootCertStore;
use url::Url;

use super::trust;

/// How long a whole request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest answer: the statistics of a large session, by far.
const MAX_ANSWER: usize = 32 << 20;

/// An open connection.
pub type Stream = Box<dyn Io>;

/// What goes both ways.
pub trait Io: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin> Io for T {}

/// Opens connections. Cheap to clone.
#[derive(Clone)]
pub struct Dialer {
    tls: TlsConnector,
    /// HOST:PORT of where to connect to, whatever the URL says.
    way: Option<String>,
}

impl Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").finish_non_exhaustive()
    }
}

impl Dialer {
    /// Believes these authorities over TLS.
    pub fn new(roots: RootCertStore) -> Self {
        Self {
            tls: TlsConnector::from(trust::client(roots)),
            way: None,
        }
    }

    /// Connects to this HOST:PORT, behind which is whatever a URL names.
    pub fn by_way_of(self, way: String) -> Self {
        Self {
            way: Some(way),
            ..self
        }
    }

    /// Opens a connection to the server of a `http` or `https` URL.
    ///
    /// # Errors
    ///
    /// Fails where resolving, TCP or TLS fail; the system decides after how long.
    pub async fn open(&self, url: &Url) -> io::Result<Stream> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = url.port_or_known_default().unwrap_or_default();
        let stream = match &self.way {
            Some(way) => TcpStream::connect(way).await?,
            None => TcpStream::connect((host, port)).await?,
        };
        stream.set_nodelay(true)?;
        match url.scheme() {
            "http" => Ok(Box::new(stream)),
            "https" => {
                let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
                Ok(Box::new(self.tls.connect(name, stream).await?))
            }
            other => Err(io::Error::other(format!(
                "{other} is neither http nor https"
            ))),
        }
    }

    /// Makes one request to the absolute URL in it, on a connection of its own.
    ///
    /// # Errors
    ///
    /// Fails without a valid answer within 10 seconds, or with one of more than 32 MiB.
    pub async fn request(&self, request: Request<Full<Bytes>>) -> io::Result<Response<Bytes>> {
        let exchange = timeout(PATIENCE, self.exchange(request)).await;
        exchange.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn exchange(&self, mut request: Request<Full<Bytes>>) -> io::Result<Response<Bytes>> {
        let url: Url = request
            .uri()
            .to_string()
            .parse()
            .map_err(io::Error::other)?;
        let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        *request.uri_mut() = path.parse().map_err(io::Error::other)?;
        let host = HeaderValue::from_str(authority).map_err(io::Error::other)?;
        request.headers_mut().insert(HOST, host);
        let close = HeaderValue::from_static("close");
        request.headers_mut().insert(CONNECTION, close);
        let stream = TokioIo::new(self.open(&url).await?);
        let handshake = http1::handshake(stream).await;
        let (mut sender, connection) = handshake.map_err(io::Error::other)?;
        let answering = async {
            let response = sender
                .send_request(request)
                .await
                .map_err(io::Error::other)?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map_err(io::Error::other)?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        // The connection ends with this function, one way or the other.
        tokio::select! {
            answer = answering => answer,
            Err(error) = connection => Err(io::Error::other(error)),
        }
    }
}
