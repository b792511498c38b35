//! Parts of pages that are sent again and again, as server-sent events.

use super::super::Console;
use super::super::failure::Failure;
use super::{overview, replays};
use crate::console::visitor::Asked;
use axum::extract::Path;
use axum::response::sse::{Event, Sse};
use futures_util::stream::{self, Stream};
use maud::Markup;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// The time between two events.
const INTERVAL: Duration = Duration::from_secs(2);

type Events = Sse<stream::BoxStream<'static, Result<Event, Infallible>>>;

pub(super) async fn overview(Asked { console, fields, .. }: Asked) -> Result<Events, Failure> {
    fields.end()?;
    repeated(console, |console| Some(overview::figures(console)))
}

pub(super) async fn replay(
    Path(id): Path<u64>,
    Asked { console, fields, .. }: Asked,
) -> Result<Events, Failure> {
    fields.end()?;
    console.replays.find(id)?;
    repeated(console, move |console| {
        let view = console.replays.find(id).ok()?.view();
        (view.state == "running").then(|| replays::state(&view))
    })
}

/// Sends the part that `render` returns every two seconds, until the client goes. Once `render` returns none, it sends
/// the event `ended`, at which the script loads the page again: other parts of it change too.
fn repeated(
    console: Arc<Console>,
    render: impl Fn(&Console) -> Option<Markup> + Send + 'static,
) -> Result<Events, Failure> {
    let permit = console.streams.clone().try_acquire_owned().map_err(|_| Failure::Busy)?;
    let events = stream::unfold(Some((console, render, permit)), |left| async {
        let (console, render, permit) = left?;
        tokio::time::sleep(INTERVAL).await;
        Some(match render(&console) {
            Some(part) => {
                let event = Event::default().data(part.into_string());
                (Ok(event), Some((console, render, permit)))
            }
            None => (Ok(Event::default().event("ended").data("reload")), None),
        })
    });
    let events: std::pin::Pin<Box<dyn Stream<Item = _> + Send>> = Box::pin(events);
    Ok(Sse::new(events))
}
