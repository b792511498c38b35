//! The operators' HTTP API: metrics, health, status, the effective configuration, and the accounts.
//!
//! The API is read-only and has its own listener. By default the listener is bound to loopback. On any other address it
//! needs a bearer token for every path except `/livez` and `/readyz`, because orchestrators probe these without one.

mod auth;
mod listener;
mod pages;

pub use pages::{AccountPages, ConfigPages};

use crate::delivery::Secret;
use crate::telemetry::{Exposition, Health};
use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware;
use axum::routing::get;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// How long answers may take that were begun before the shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// The API's data and its token.
pub struct Admin {
    /// The metrics that `/metrics` renders.
    pub metrics: Arc<dyn Exposition>,
    /// Shown at `/livez`, `/readyz` and `/api/v1/status`.
    pub health: Arc<Health>,
    /// Shown at `/api/v1/config` and `/api/v1/config/hash`.
    pub config: Arc<ConfigPages>,
    /// Shown at `/api/v1/accounts` and below. `None`: the process has no accounts.
    pub accounts: Option<Arc<dyn AccountPages>>,
    /// The bearer token that clients must send. `None`: no token is needed.
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
    let graceful = async move {
        shutdown.await;
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
    let server = axum::serve(listener::Bounded::new(listener), router(admin));
    tokio::select! {
        served = server.with_graceful_shutdown(graceful).into_future() => served,
        () = deadline => Ok(()),
    }
}

fn router(admin: Admin) -> Router {
    let guard = admin.token.as_ref().map(auth::Guard::new).map(Arc::new);
    let admin = Arc::new(admin);
    let mut guarded = Router::new()
        .route("/", get(pages::index))
        .route("/metrics", get(pages::metrics))
        .route("/api/v1/status", get(pages::status))
        .route("/api/v1/config", get(pages::config))
        .route("/api/v1/config/hash", get(pages::config_hash))
        .route("/api/v1/accounts", get(pages::accounts))
        .route("/api/v1/accounts/{id}", get(pages::account))
        .fallback(pages::not_found);
    if let Some(guard) = guard {
        // The layer also covers the fallback, so that a client without the token can't find out which paths exist.
        guarded = guarded.layer(middleware::from_fn_with_state(guard, auth::check));
    }
    Router::new()
        .route("/livez", get(pages::live))
        .route("/readyz", get(pages::ready))
        .merge(guarded)
        .layer(middleware::map_response(secure))
        .with_state(admin)
}

/// Adds headers that forbid browsers to run scripts in an answer, frame it, guess its type, or store it.
async fn secure(mut response: axum::response::Response) -> axum::response::Response {
    const POLICY: &str =
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
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
