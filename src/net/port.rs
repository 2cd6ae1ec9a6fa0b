//! One TCP port for everything: HTTP, media over TCP and TURN, each plain or inside TLS, told
//! apart by the first bytes.
//!
//! Connections are looked at beside each other, so that a slow client delays nobody; and whoever
//! keeps silent makes room for those who speak.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tracing::{debug, trace, warn};

use super::connection::{Connection, Stream};
use super::service::{MAX_FIRST_LEN, Service, UnknownService, classify};

/// Connections that may be looked at at once. When full, the one that came first is closed.
const MAX_WAITING: usize = 1024;

/// How long it may take until a connection is with its service: TLS handshake, first bytes, and
/// room in the service's queue.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait after the system had no file or no memory for another connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(200);

/// A certificate that may be replaced.
pub type CurrentTls = watch::Receiver<Arc<ServerConfig>>;

/// Who takes connections. While a queue is full, what is for it waits, for as long as any
/// connection may; what nobody takes is closed.
#[derive(Debug, Clone, Default)]
pub struct Services {
    /// HTTP.
    pub http: Option<mpsc::Sender<Connection>>,
    /// Media over TCP; never inside TLS, which ICE does not know. The first frame is among the
    /// bytes that were looked at.
    pub ice: Option<mpsc::Sender<Connection>>,
    /// TURN.
    pub turn: Option<mpsc::Sender<Connection>>,
}

/// An open port. Dropping it closes it, and what has not reached its service yet.
#[derive(Debug)]
pub struct Port {
    local_addr: SocketAddr,
    _accepting: JoinSet<()>,
}

impl Port {
    /// Serves `listener`, with TLS if there is a certificate.
    ///
    /// # Errors
    ///
    /// If the listener does not know its address.
    pub fn open(
        listener: TcpListener,
        tls: Option<CurrentTls>,
        services: Services,
    ) -> io::Result<Self> {
        Self::patient(listener, tls, services, PATIENCE)
    }

    fn patient(
        listener: TcpListener,
        tls: Option<CurrentTls>,
        services: Services,
        patience: Duration,
    ) -> io::Result<Self> {
        let local_addr = listener.local_addr()?;
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, tls, services, patience));
        Ok(Self {
            local_addr,
            _accepting: accepting,
        })
    }

    /// Where it listens, port included.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<CurrentTls>,
    services: Services,
    patience: Duration,
) {
    let mut waiting = Waiting::default();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let config = tls.as_ref().map(|tls| Arc::clone(&tls.borrow()));
                let services = services.clone();
                waiting.spawn(async move {
                    match timeout(patience, welcome(stream, peer, config, services)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => debug!(%peer, %error, "A connection leads to nothing"),
                        Err(_) => debug!(%peer, "A connection was silent for too long"),
                    }
                });
            }
            Err(error) if of_one_connection(&error) => trace!(%error, "Client gone already"),
            Err(error) => {
                warn!(%error, "Cannot accept a connection");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

/// The connections that are looked at.
#[derive(Debug, Default)]
struct Waiting {
    tasks: JoinSet<()>,
    /// In the order in which they came, some of them done.
    order: VecDeque<AbortHandle>,
}

impl Waiting {
    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        // A task keeps its memory for as long as it is in here.
        while self.order.pop_front_if(|task| task.is_finished()).is_some() {}
        if self.order.len() >= 2 * MAX_WAITING {
            self.order.retain(|task| !task.is_finished());
        }
        if self.tasks.len() >= MAX_WAITING {
            while self.order.pop_front().is_some_and(|task| {
                let done = task.is_finished();
                task.abort();
                done
            }) {}
        }
        self.order.push_back(self.tasks.spawn(task));
    }
}

fn of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// Finds out what a connection is for and brings it there.
async fn welcome(
    mut stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    services: Services,
) -> io::Result<()> {
    let local = stream.local_addr()?;
    // Signaling and media are small messages that must not wait for each other.
    stream.set_nodelay(true)?;
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Ok(());
    }
    let (service, first, stream) = match (classify(&first), tls) {
        (Ok(Some(Service::Tls)), Some(config)) => {
            let mut inner = TlsAcceptor::from(config).accept(stream).await?;
            let (service, first) = read_first(&mut inner).await?;
            (service, first, Stream::Tls(Box::new(inner)))
        }
        _ => {
            let (service, first) = read_first(&mut stream).await?;
            (service, first, Stream::Plain(stream))
        }
    };
    let connection = Connection::new(peer, local, first, stream);
    let taker = match service {
        Service::Http => services.http,
        Service::Ice if !connection.is_secure() => services.ice,
        Service::Turn => services.turn,
        Service::Ice | Service::Tls => None,
    };
    match taker {
        // An error means that the service is on its way down.
        Some(taker) => drop(taker.send(connection).await),
        None => debug!(%peer, ?service, "Nobody takes such connections here"),
    }
    Ok(())
}

/// Reads until it is clear what a connection is for; gives back all that was read.
async fn read_first(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(Service, Bytes)> {
    let mut first = BytesMut::with_capacity(MAX_FIRST_LEN);
    loop {
        if stream.read_buf(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match classify(&first) {
            Ok(Some(service)) => return Ok((service, first.freeze())),
            Ok(None) => {}
            Err(UnknownService) => return Err(io::Error::other(UnknownService)),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use tokio::io::{AsyncWrite, AsyncWriteExt};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    use super::*;

    const CERTIFICATE: &str = "tests/fixtures/tls/first.pem";
    const KEY: &str = "tests/fixtures/tls/first.key";

    const BINDING: &[u8] = b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction.";
    const FRAMED: &[u8] = b"\x00\x14\x00\x01\x00\x00\x21\x12\xa4\x42transaction.";
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

    /// Far more than anything here takes.
    const LONG: Duration = Duration::from_secs(30);

    fn certificate() -> CurrentTls {
        let chain = vec![CertificateDer::from_pem_file(CERTIFICATE).unwrap()];
        let key = PrivateKeyDer::from_pem_file(KEY).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        watch::channel(Arc::new(config)).1
    }

    /// A port and the other ends of its services: HTTP, ICE, TURN.
    async fn port(patience: Duration) -> (Port, [mpsc::Receiver<Connection>; 3]) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| mpsc::channel(8)).unzip();
        let [http, ice, turn] = <[_; 3]>::try_from(senders).unwrap().map(Some);
        let services = Services { http, ice, turn };
        let port = Port::patient(listener, Some(certificate()), services, patience).unwrap();
        (port, receivers.try_into().unwrap())
    }

    async fn plain(port: &Port) -> TcpStream {
        let stream = TcpStream::connect(port.local_addr()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    async fn secure<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> TlsStream<S> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(CERTIFICATE).unwrap())
            .unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let host = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(client));
        connector.connect(host, stream).await.unwrap()
    }

    /// What a service gets next, which must begin with `first` and can be answered.
    async fn arrives(service: &mut mpsc::Receiver<Connection>, first: &[u8]) -> Connection {
        let mut connection = timeout(LONG, service.recv()).await.unwrap().unwrap();
        let mut read = vec![0; first.len()];
        connection.read_exact(&mut read).await.unwrap();
        assert_eq!(read, first);
        connection.write_all(b"answer").await.unwrap();
        connection.flush().await.unwrap();
        connection
    }

    async fn answered(client: &mut (impl AsyncRead + Unpin)) {
        let mut answer = [0; 6];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
    }

    async fn closed(client: &mut (impl AsyncRead + Unpin)) {
        let mut rest = Vec::new();
        // Whether it ends or is reset depends on what was still unread there.
        let _ = timeout(LONG, client.read_to_end(&mut rest)).await.unwrap();
        assert_eq!(rest, b"");
    }

    #[tokio::test]
    async fn connections_reach_their_service_with_every_byte() {
        let (port, mut services) = port(LONG).await;
        for (service, first) in services.iter_mut().zip([REQUEST, FRAMED, BINDING]) {
            let mut client = plain(&port).await;
            // Each byte on its own, as the worst network would bring them.
            for byte in first {
                client.write_all(&[*byte]).await.unwrap();
            }
            let connection = arrives(service, first).await;
            assert!(!connection.is_secure());
            assert_eq!(connection.peer, client.local_addr().unwrap());
            assert_eq!(connection.local, port.local_addr());
            answered(&mut client).await;
        }
    }

    #[tokio::test]
    async fn services_are_inside_tls_too_but_not_media() {
        let (port, mut services) = port(LONG).await;
        for (service, first) in [(0, REQUEST), (2, BINDING)] {
            let mut client = secure(plain(&port).await).await;
            client.write_all(first).await.unwrap();
            let connection = arrives(&mut services[service], first).await;
            assert!(connection.is_secure() && connection.into_plain().is_none());
            answered(&mut client).await;
        }
        let mut client = secure(plain(&port).await).await;
        client.write_all(FRAMED).await.unwrap();
        closed(&mut client).await;
        // Nor is there TLS inside TLS.
        let mut client = secure(plain(&port).await).await;
        client.write_all(b"\x16\x03\x01\x00\x01").await.unwrap();
        closed(&mut client).await;
    }

    #[tokio::test]
    async fn a_hello_in_many_segments_is_one_hello() {
        let (port, mut services) = port(LONG).await;
        let (inner, mut outer) = tokio::io::duplex(64 * 1024);
        let mut network = plain(&port).await;
        let crumbled = tokio::spawn(async move {
            let mut hello = [0; 5];
            outer.read_exact(&mut hello).await.unwrap();
            for byte in hello {
                network.write_all(&[byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            tokio::io::copy_bidirectional(&mut outer, &mut network).await
        });
        let mut client = secure(inner).await;
        client.write_all(REQUEST).await.unwrap();
        arrives(&mut services[0], REQUEST).await;
        answered(&mut client).await;
        drop(client);
        crumbled.abort();
    }

    #[tokio::test]
    async fn whoever_is_silent_or_strange_or_wanted_by_nobody_is_closed() {
        let (port, services) = port(Duration::from_millis(50)).await;
        for first in [&b""[..], b"\x16\x03\x01", &FRAMED[..9], b"\x05\x01\x00"] {
            let mut client = plain(&port).await;
            client.write_all(first).await.unwrap();
            closed(&mut client).await;
        }
        let mut client = secure(plain(&port).await).await;
        closed(&mut client).await;
        drop(services);
        let mut client = plain(&port).await;
        client.write_all(BINDING).await.unwrap();
        closed(&mut client).await;
    }

    #[tokio::test]
    async fn who_came_first_makes_room() {
        let mut waiting = Waiting::default();
        let (sender, mut ended) = mpsc::unbounded_channel();
        /// Says which it was when it is dropped.
        struct Say(usize, mpsc::UnboundedSender<usize>);
        impl Drop for Say {
            fn drop(&mut self) {
                let _ = self.1.send(self.0);
            }
        }
        for number in 0..MAX_WAITING + 3 {
            let say = Say(number, sender.clone());
            waiting.spawn(async move {
                let _say = say;
                // One of them is done early.
                if number != 1 {
                    std::future::pending::<()>().await;
                }
            });
            tokio::task::yield_now().await;
        }
        let gone = [ended.recv().await, ended.recv().await, ended.recv().await];
        assert_eq!(gone, [Some(1), Some(0), Some(2)]);
        assert!(ended.try_recv().is_err());
    }
}
