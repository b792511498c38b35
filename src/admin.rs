//! The operators' HTTP server: metrics, health, status, the effective configuration, and the console.
//!
//! By default the listener is bound to loopback. On any other address it needs a token for every path except `/livez` and
//! `/readyz`, because orchestrators probe these without one, and the sign-in page with its style sheet.

mod access;
mod listener;
mod pages;

pub use pages::ConfigPages;

use crate::console::{self, Console};
use crate::delivery::Secret;
use crate::telemetry::{Exposition, Health};
use access::{Access, Peer};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware;
use axum::routing::{get, post};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// How long answers may take that were begun before the shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);
/// The maximum size of a request's body, in bytes.
const BODY_BYTES_MAX: usize = 64 << 10;

/// The API's data and its token.
pub struct Admin {
    /// The metrics that `/metrics` renders.
    pub metrics: Arc<dyn Exposition>,
    /// Shown at `/livez`, `/readyz` and `/api/v1/status`.
    pub health: Arc<Health>,
    /// Shown at `/api/v1/config` and `/api/v1/config/hash`.
    pub config: Arc<ConfigPages>,
    /// Shown at `/` and below. `None`: the process is no daemon, and has only an index.
    pub console: Option<Arc<Console>>,
    /// The token that clients must send, or with which operators sign in. `None`: no token is needed.
    pub token: Option<Secret>,
}

/// Serves the API until `shutdown` completes, and then for at most 2 seconds to finish answers.
///
/// # Errors
/// The server ended with an error.
pub async fn serve(
    listener: TcpListener,
    admin: Admin,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (stopping, stopped) = oneshot::channel();
    let console = admin.console.clone();
    let stopping_console = console.clone();
    let graceful = async move {
        shutdown.await;
        stopping_console.iter().for_each(|console| console.stop());
        // Sending fails only when the server has ended, and then the message is not needed.
        let _ = stopping.send(());
    };
    let deadline = async move {
        match stopped.await {
            Ok(()) => tokio::time::sleep(SHUTDOWN_GRACE).await,
            // The sender is dropped only with the server, whose result ends the `select!`.
            Err(_) => std::future::pending().await,
        }
    };
    let observing = async move {
        match console {
            Some(console) => console.observe().await,
            None => std::future::pending().await,
        }
    };
    let router = router(admin).into_make_service_with_connect_info::<Peer>();
    let server = axum::serve(listener::Bounded::new(listener), router);
    tokio::select! {
        served = server.with_graceful_shutdown(graceful).into_future() => served,
        () = deadline => Ok(()),
        () = observing => Ok(()),
    }
}

fn router(admin: Admin) -> Router {
    let access = Arc::new(Access::new(admin.token.as_ref()));
    let console = match &admin.console {
        Some(console) => console::router(console.clone()),
        None => Router::new().route("/", get(pages::index)),
    };
    let admin = Arc::new(admin);
    // The layer also covers the fallback, so that a client without the token can't find out which paths exist.
    let guarded = Router::new()
        .route("/metrics", get(pages::metrics))
        .route("/api/v1/status", get(pages::status))
        .route("/api/v1/config", get(pages::config))
        .route("/api/v1/config/hash", get(pages::config_hash))
        .fallback(pages::not_found)
        .with_state(admin.clone())
        .merge(console)
        .layer(middleware::from_fn_with_state(access.clone(), access::check));
    let signing = Router::new()
        .route("/sign-in", get(access::sign_in_page).post(access::sign_in))
        .route("/sign-out", post(access::sign_out))
        .with_state(access);
    Router::new()
        .route("/livez", get(pages::live))
        .route("/readyz", get(pages::ready))
        .with_state(admin)
        .merge(signing)
        .merge(console::assets())
        .merge(guarded)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::map_response(secure))
}

/// Adds headers that forbid browsers to load anything from elsewhere, run scripts that are no files of the console, frame
/// an answer, guess its type, or store it.
async fn secure(mut response: axum::response::Response) -> axum::response::Response {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                          base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
    const HEADERS: [(HeaderName, &str); 5] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
