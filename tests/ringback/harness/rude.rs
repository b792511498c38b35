//! Endpoints that send arbitrary bytes, over TCP or TLS, which no HTTP server would send.

use super::runtime;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// The bytes that an endpoint sends after each request.
#[derive(Clone)]
pub(crate) struct Words {
    /// The bytes that are sent once.
    pub(crate) first: Vec<u8>,
    /// Bytes that follow again and again, each time with a pause, until the client closes the connection.
    pub(crate) then: Option<(Vec<u8>, Duration)>,
}

impl Words {
    /// Returns an answer of these bytes, after which the connection is closed.
    pub(crate) fn only(first: impl Into<Vec<u8>>) -> Self {
        Self { first: first.into(), then: None }
    }
}

/// Starts an endpoint and returns its port of 127.0.0.1. It answers one request of each connection with `words`.
pub(crate) fn start(words: Words) -> u16 {
    serve(words, None)
}

/// Starts an endpoint and returns its port of 127.0.0.1. It answers the first request of each connection with `words`,
/// and closes the connection after the second one without an answer. A server that closes idle connections can do this.
pub(crate) fn start_forgetful(words: Words) -> u16 {
    listen(move |mut connection| {
        let words = words.clone();
        async move {
            answer(&mut connection, &words).await?;
            read_request(&mut connection).await?;
            Ok(())
        }
    })
}

/// Like `start`, over TLS. Also returns the certificate of the endpoint's authority as PEM.
pub(crate) fn start_tls(words: Words) -> (u16, String) {
    let key = || KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, key()).expect("an authority");
    let host = key();
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("parameters");
    let certificate = params.signed_by(&host, &authority).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let key = PrivatePkcs8KeyDer::from(host.serialize_der());
    let config = builder.with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.der().clone()], key.into());
    let acceptor = TlsAcceptor::from(Arc::new(config.expect("a certificate and its key")));
    (serve(words, Some(acceptor)), authority.pem())
}

fn serve(words: Words, tls: Option<TlsAcceptor>) -> u16 {
    listen(move |connection| {
        let (words, tls) = (words.clone(), tls.clone());
        async move {
            match tls {
                None => speak(connection, &words).await,
                // A client that does not trust the certificate closes the connection.
                Some(tls) => match tls.accept(connection).await {
                    Ok(connection) => speak(connection, &words).await,
                    Err(_) => Ok(()),
                },
            }
        }
    })
}

fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> u16
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let _inside = runtime().enter();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket for Tokio");
    let port = listener.local_addr().expect("an address").port();
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    drop(runtime().spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(serve(connection));
        }
    }));
    port
}

async fn speak(
    mut connection: impl AsyncRead + AsyncWrite + Unpin,
    words: &Words,
) -> std::io::Result<()> {
    answer(&mut connection, words).await?;
    connection.shutdown().await
}

/// Answers one request.
async fn answer(
    connection: &mut (impl AsyncRead + AsyncWrite + Unpin),
    words: &Words,
) -> std::io::Result<()> {
    if !read_request(connection).await? {
        return Ok(());
    }
    connection.write_all(&words.first).await?;
    while let Some((bytes, pause)) = &words.then {
        connection.write_all(bytes).await?;
        connection.flush().await?;
        tokio::time::sleep(*pause).await;
    }
    Ok(())
}

/// Reads one request. Returns `false` if the client closes the connection first.
async fn read_request(connection: &mut (impl AsyncRead + Unpin)) -> std::io::Result<bool> {
    let mut request = Vec::new();
    // The bodies are JSON objects, so a request ends with a brace.
    while !(request.ends_with(b"}") && request.windows(4).any(|bytes| bytes == b"\r\n\r\n")) {
        if connection.read_buf(&mut request).await? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}
