//! HTTP requests to where a tenant says: one connection each, only to addresses that the policy
//! permits, without redirects, proxies or cookies.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tracing::{debug, warn};
use url::Url;

use super::trust;
use crate::webhook::address::AddressPolicy;
use crate::webhook::target::TargetUrl;

/// How much of an answer's body is read, so that a polite server sees its answer taken; the rest
/// is cut off with the connection.
const MAX_ANSWER: usize = 64 * 1024;

/// How long the body is waited for.
const BODY_PATIENCE: Duration = Duration::from_secs(1);

const AGENT: HeaderValue = HeaderValue::from_static(concat!("Parlor/", env!("CARGO_PKG_VERSION")));

/// How long a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until there is a connection: name, TCP, TLS.
    pub connect: Duration,
    /// Until there is an answer, in all.
    pub total: Duration,
}

/// Finds the addresses of a host's name and port.
type Resolve = dyn Fn(String, u16) -> Resolving + Send + Sync;

type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Makes requests. Cheap to clone.
#[derive(Clone)]
pub struct Outbound {
    resolve: Arc<Resolve>,
    policy: Arc<AddressPolicy>,
    tls: TlsConnector,
    patience: Patience,
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbound")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// Why a request was not answered. Tenants see it, so it tells nothing of the operator's network.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The name does not resolve.
    #[error("the host name does not resolve")]
    Resolve(#[source] io::Error),
    /// The name resolves to an address that may not be called.
    #[error("the host is not on a network that may be called")]
    Forbidden,
    /// No TCP connection.
    #[error("no connection: {}", .0.kind())]
    Connect(#[source] io::Error),
    /// No TLS, or not with who it should be.
    #[error("no TLS: {0}")]
    Tls(#[source] io::Error),
    /// Too slow.
    #[error("no {0} in time")]
    Timeout(&'static str),
    /// Not HTTP, or cut off.
    #[error("no valid HTTP answer")]
    Http(#[source] hyper::Error),
}

impl Outbound {
    /// Makes requests where `policy` permits. HTTPS trusts what the system trusts.
    pub fn new(policy: AddressPolicy, patience: Patience) -> Self {
        let roots = trust::system();
        if roots.is_empty() {
            warn!("The system trusts no certificate authority: webhooks to https URLs will fail");
        }
        Self {
            resolve: Arc::new(|name, port| Box::pin(by_system(name, port))),
            policy: Arc::new(policy),
            tls: TlsConnector::from(trust::client(roots)),
            patience,
        }
    }

    /// Posts a body and returns the answer's status, whatever it is.
    pub async fn post(
        &self,
        target: &TargetUrl,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
    ) -> Result<StatusCode, OutboundError> {
        let exchange = async {
            let url = target.parts();
            let request = request(&url, headers, body);
            let connecting = timeout(self.patience.connect, self.connect(&url)).await;
            let stream = connecting.map_err(|_| OutboundError::Timeout("connection"))??;
            let host = url.host_str().unwrap_or_default();
            if url.scheme() == "http" {
                return exchange(stream, request).await;
            }
            let name = host.trim_matches(['[', ']']).to_owned();
            let name = ServerName::try_from(name)
                .map_err(|error| OutboundError::Tls(io::Error::other(error)))?;
            let secured = timeout(self.patience.connect, self.tls.connect(name, stream)).await;
            let secured = secured.map_err(|_| OutboundError::Timeout("TLS connection"))?;
            exchange(secured.map_err(OutboundError::Tls)?, request).await
        };
        let answer = timeout(self.patience.total, exchange).await;
        answer.map_err(|_| OutboundError::Timeout("answer"))?
    }

    /// Resolves once and connects to what was checked.
    async fn connect(&self, url: &Url) -> Result<TcpStream, OutboundError> {
        let addresses = self.resolve(url).await?;
        self.check(&addresses)?;
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(OutboundError::Connect(last))
    }

    async fn resolve(&self, url: &Url) -> Result<Vec<SocketAddr>, OutboundError> {
        let port = url.port_or_known_default().unwrap_or_default();
        match url.host() {
            Some(url::Host::Ipv4(address)) => Ok(vec![SocketAddr::new(address.into(), port)]),
            Some(url::Host::Ipv6(address)) => Ok(vec![SocketAddr::new(address.into(), port)]),
            Some(url::Host::Domain(name)) => {
                let found = (self.resolve)(name.to_owned(), port).await;
                found.map_err(OutboundError::Resolve)
            }
            None => Err(OutboundError::Forbidden),
        }
    }

    /// All addresses of a host have to be permitted: a name that has both kinds is up to no good.
    fn check(&self, addresses: &[SocketAddr]) -> Result<(), OutboundError> {
        let forbidden = addresses.iter().find(|at| !self.policy.permits(at.ip()));
        match forbidden {
            None => Ok(()),
            Some(address) => {
                debug!(%address, "This address must not be called");
                Err(OutboundError::Forbidden)
            }
        }
    }
}

async fn by_system(name: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(lookup_host((name, port)).await?.collect())
}

fn request(url: &Url, headers: &[(HeaderName, HeaderValue)], body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = hyper::Method::POST;
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    *request.uri_mut() = path.parse().unwrap_or_default();
    let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let own = request.headers_mut();
    if let Ok(host) = HeaderValue::from_str(authority) {
        own.insert(HOST, host);
    }
    own.insert(USER_AGENT, AGENT);
    own.insert(CONNECTION, HeaderValue::from_static("close"));
    own.extend(headers.iter().cloned());
    request
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<StatusCode, OutboundError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(OutboundError::Http)?;
    let answering = async {
        let response = sender.send_request(request).await?;
        let (head, mut body) = response.into_parts();
        let mut read = 0;
        let drain = async {
            while let Some(Ok(frame)) = body.frame().await {
                read += frame.data_ref().map_or(0, Bytes::len);
                if read > MAX_ANSWER {
                    break;
                }
            }
        };
        // The status is the answer; whether the rest comes does not matter.
        let _ = timeout(BODY_PATIENCE, drain).await;
        Ok(head.status)
    };
    // The connection ends with this function, one way or the other.
    tokio::select! {
        answer = answering => answer.map_err(OutboundError::Http),
        Err(error) = connection => Err(OutboundError::Http(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const PATIENCE: Patience = Patience {
        connect: Duration::from_secs(10),
        total: Duration::from_secs(10),
    };

    /// Posts to a host that has these addresses when it is looked up for the first time, and those
    /// of this machine from then on. The result, and how often it was looked up.
    async fn post(
        policy: AddressPolicy,
        port: u16,
        addresses: &[&str],
    ) -> (Result<StatusCode, OutboundError>, usize) {
        let first: Vec<_> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let resolve = move |name: String, port| -> Resolving {
            assert_eq!(name, "hooks.example.com");
            let addresses = match count.fetch_add(1, Ordering::Relaxed) {
                0 => first.clone(),
                _ => vec![[127, 0, 0, 1].into()],
            };
            let at = move |ip| SocketAddr::new(ip, port);
            Box::pin(async move { Ok(addresses.into_iter().map(at).collect()) })
        };
        let outbound = Outbound {
            resolve: Arc::new(resolve),
            ..Outbound::new(policy, PATIENCE)
        };
        let target = format!("http://hooks.example.com:{port}/").parse().unwrap();
        let posted = outbound.post(&target, &[], Bytes::new()).await;
        (posted, asked.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn a_name_is_refused_if_any_of_its_addresses_is() {
        for addresses in [
            &["10.0.0.1"][..],
            &["169.254.169.254"],
            &["::1"],
            &["1.1.1.1", "127.0.0.1"],
            &["2606:4700::1111", "::ffff:192.168.1.1"],
        ] {
            let (posted, asked) = post(AddressPolicy::default(), 80, addresses).await;
            assert!(
                matches!(posted, Err(OutboundError::Forbidden)),
                "{posted:?}"
            );
            assert_eq!(asked, 1);
        }
    }

    #[tokio::test]
    async fn the_connection_goes_to_the_address_that_was_checked() {
        // Here only; whoever looks the name up again is sent to 127.0.0.1.
        let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let receiver = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            let read = stream.read(&mut head).await.unwrap();
            let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            String::from_utf8_lossy(&head[..read]).into_owned()
        });
        let policy = AddressPolicy::new(vec!["127.0.0.2/32".parse().unwrap()]);
        let (posted, asked) = post(policy, port, &["127.0.0.2"]).await;
        assert_eq!((posted.unwrap(), asked), (StatusCode::NO_CONTENT, 1));
        let head = receiver.await.unwrap();
        let host = format!("host: hooks.example.com:{port}\r\n");
        assert!(head.contains(&host), "{head}");
    }
}
