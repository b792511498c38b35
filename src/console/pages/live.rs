//! Parts of pages that are sent again and again, as server-sent events.

use super::super::Console;
use super::super::failure::Failure;
use super::{overview, replays};
use axum::extract::{Path, State};
use axum::response::sse::{Event, Sse};
use futures_util::stream::{self, Stream};
use maud::Markup;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// The time between two events.
const INTERVAL: Duration = Duration::from_secs(2);

type Events = Sse<stream::BoxStream<'static, Result<Event, Infallible>>>;

pub(super) async fn overview(State(console): State<Arc<Console>>) -> Result<Events, Failure> {
    repeated(console, |console| Some(overview::figures(console)))
}

pub(super) async fn replay(
    State(console): State<Arc<Console>>,
    Path(id): Path<u64>,
) -> Result<Events, Failure> {
    console.replays.find(id)?;
    repeated(console, move |console| {
        console.replays.find(id).ok().map(|run| replays::state(&run.view()))
    })
}

/// Sends the part that `render` returns every two seconds, until it returns none or the client goes.
fn repeated(
    console: Arc<Console>,
    render: impl Fn(&Console) -> Option<Markup> + Send + 'static,
) -> Result<Events, Failure> {
    let permit = console.streams.clone().try_acquire_owned().map_err(|_| Failure::Busy)?;
    let events = stream::unfold((console, render, permit), |(console, render, permit)| async {
        tokio::time::sleep(INTERVAL).await;
        let event = Event::default().data(render(&console)?.into_string());
        Some((Ok(event), (console, render, permit)))
    });
    let events: std::pin::Pin<Box<dyn Stream<Item = _> + Send>> = Box::pin(events);
    Ok(Sse::new(events))
}
