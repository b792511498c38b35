//! The operators' HTTP API: metrics, health, status, and the configuration in force.
//!
//! It only reads. It has its own listener, bound to loopback unless the configuration says otherwise, and then wants a
//! bearer token for everything but `/livez` and `/readyz`, which orchestrators probe without one.

mod auth;
mod listener;
mod pages;

pub use pages::ConfigPages;

use crate::delivery::Secret;
use crate::telemetry::{Health, Metrics};
use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware;
use axum::routing::get;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// So long may answers take that were begun before the shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// What the API shows, and to whom.
pub struct Admin {
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// For `/livez`, `/readyz` and the status.
    pub health: Arc<Health>,
    /// For `/api/v1/config`.
    pub config: Arc<ConfigPages>,
    /// What a client has to show; `None`: nothing.
    pub token: Option<Secret>,
}

/// Serves the API until `shutdown`.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    admin: Admin,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (stopping, stopped) = oneshot::channel();
    let graceful = async move {
        shutdown.await;
        // The receiver waits as long as the server runs, and if it does not, nobody needs to know.
        let _ = stopping.send(());
    };
    let deadline = async move {
        match stopped.await {
            Ok(()) => tokio::time::sleep(SHUTDOWN_GRACE).await,
            // The server's own end is what counts then.
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
        .fallback(pages::not_found);
    if let Some(guard) = guard {
        // The layer lies over the fallback too, so that a stranger can't tell which paths there are.
        guarded = guarded.layer(middleware::from_fn_with_state(guard, auth::check));
    }
    Router::new()
        .route("/livez", get(pages::live))
        .route("/readyz", get(pages::ready))
        .merge(guarded)
        .layer(middleware::map_response(secure))
        .with_state(admin)
}

/// Nothing of an answer is to be run, framed, guessed at or kept.
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
