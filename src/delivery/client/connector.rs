//! Makes connections: name look-up, TCP connect, the proxy's tunnel, TLS handshake.

use super::link::{Stream, Tap};
use crate::delivery::proxy::Proxy;
use http::uri::Scheme;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioIo;
use reqwest::dns::{Addrs, Resolve, Resolving};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tower_service::Service;

/// The system probes an idle connection after this time, and closes it if there is no answer.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 3;
const SENT_UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// No connection could be made within `connect_timeout_ms`.
#[derive(Debug, thiserror::Error)]
#[error("it was not established within connect_timeout_ms")]
pub(in crate::delivery) struct ConnectTimedOut;

/// Makes the connections of one client.
#[derive(Clone)]
pub(super) struct Connector(Arc<Way>);

struct Way {
    tcp: HttpConnector<Names>,
    tls: Arc<ClientConfig>,
    proxy: Option<Proxied>,
    timeout: Duration,
}

/// A proxy with its credentials.
pub(super) struct Proxied {
    uri: Uri,
    credentials: Option<HeaderValue>,
}

impl Proxied {
    /// Returns the way to `proxy`. It is `None` only for a URL that a parsed proxy can't have.
    pub(super) fn of(proxy: &Proxy) -> Option<Self> {
        let uri = proxy.shown().parse().ok()?;
        Some(Self { uri, credentials: proxy.credentials() })
    }

    pub(super) fn credentials(&self) -> Option<&HeaderValue> {
        self.credentials.as_ref()
    }
}

impl Connector {
    pub(super) fn new(
        resolver: Arc<dyn Resolve>,
        tls: ClientConfig,
        proxy: Option<Proxied>,
        timeout: Duration,
    ) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Names(resolver));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeout));
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE));
        tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
        tcp.set_tcp_user_timeout(Some(SENT_UNACKNOWLEDGED_MAX));
        Self(Arc::new(Way { tcp, tls: Arc::new(tls), proxy, timeout }))
    }
}

impl Way {
    async fn connect(&self, uri: Uri) -> Result<TokioIo<Tap>, BoxError> {
        let mut tcp = self.tcp.clone();
        let over_tls = uri.scheme() == Some(&Scheme::HTTPS);
        let (stream, is_proxied) = match &self.proxy {
            None => (tcp.call(uri.clone()).await?.into_inner(), false),
            Some(proxy) if over_tls => {
                let mut tunnel = Tunnel::new(proxy.uri.clone(), tcp);
                if let Some(credentials) = &proxy.credentials {
                    tunnel = tunnel.with_auth(credentials.clone());
                }
                (tunnel.call(uri.clone()).await?.into_inner(), false)
            }
            Some(proxy) => (tcp.call(proxy.uri.clone()).await?.into_inner(), true),
        };
        let stream = if over_tls {
            Stream::Tls(Box::new(self.shake_hands(&uri, stream).await?))
        } else {
            Stream::Plain(stream)
        };
        Ok(TokioIo::new(Tap::new(stream, is_proxied)))
    }

    async fn shake_hands(
        &self,
        uri: &Uri,
        stream: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, BoxError> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned())?;
        Ok(TlsConnector::from(self.tls.clone()).connect(name, stream).await?)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Tap>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let way = self.0.clone();
        Box::pin(async move {
            let connected = timeout(way.timeout, way.connect(uri)).await;
            connected.map_err(|_| ConnectTimedOut)?
        })
    }
}

/// A resolver in the form that the library expects.
#[derive(Clone)]
struct Names(Arc<dyn Resolve>);

impl Service<Name> for Names {
    type Response = Addrs;
    type Error = BoxError;
    type Future = Resolving;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Resolving {
        match name.as_str().parse() {
            Ok(name) => self.0.resolve(name),
            Err(error) => {
                let error: BoxError = Box::new(error);
                Box::pin(ready(Err(error)))
            }
        }
    }
}
