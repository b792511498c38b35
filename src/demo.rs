//! The demo: all parts of Ringback in one process, without any server.
//!
//! An embedded broker feeds the real daemon, which reads real configuration files and delivers to a receiver that plays
//! the customer. A checklist records which results were seen.
//!
//! The demo first turns the sample flow and the delivery report of its SMS into two webhooks. Then the flow of an
//! account with a failing endpoint leads to failed attempts and a dead letter. The demo repairs the endpoint and
//! replays the dead letter.

mod broker;
mod checklist;
mod facts;
mod files;
mod pretty;
mod receiver;
mod samples;
mod screen;

use crate::app::{App, AppError};
use crate::codec::source::Unwrap;
use crate::config::{Faults, Loaded, Variables};
use crate::exit::ExitCode;
use crate::log::{KafkaSettings, TopicNames};
use crate::replay::{Filter, Letters, ReplayError};
use crate::shutdown::HangUps;
use crate::telemetry::err_line;
use broker::{Broker, BrokerError};
use checklist::{Checklist, Sight};
use files::{BAD_ACCOUNT, Folder};
pub use samples::Sample;
use screen::{About, Screen};
use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Long enough for a machine that is busy with other work.
const DEADLINE: Duration = Duration::from_secs(60);
/// The time between two flows, after the first ones.
const PAUSE: Duration = Duration::from_secs(5);
/// The time between a flow and the delivery report of its SMS.
const REPORT_PAUSE: Duration = Duration::from_secs(1);

/// The reason why the demo failed.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("the system refused a request")]
    System(#[from] io::Error),
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("{0}")]
    Configuration(Faults),
    #[error(transparent)]
    App(#[from] AppError),
    #[error("the dead letter can't be replayed")]
    Replay(#[from] ReplayError),
}

/// Runs the demo until Ctrl-C, or with `once` until all results were seen. With `once`, the exit code is 1 if any
/// result was not seen.
pub async fn run(once: bool) -> ExitCode {
    match show(once).await {
        Ok(left) if left.is_empty() || !once => ExitCode::SUCCESS,
        Ok(left) => {
            for sight in left {
                err_line!("ringback: not seen: {sight}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            while let Some(error) = cause {
                err_line!("ringback: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

/// Runs the demo. Returns the results that were not seen.
async fn show(once: bool) -> Result<BTreeSet<Sight>, DemoError> {
    let hang_ups = HangUps::new()?;
    let (screen, checklist) = (Screen::new(), Checklist::new());
    let folder = Folder::new()?;
    let secret = folder.write_secret()?;
    let repaired = Arc::new(AtomicBool::new(false));
    let receiver = receiver::start(&secret, screen, checklist.clone(), repaired.clone()).await?;
    let names = topics();
    let broker = start_broker(&names, screen, checklist.clone())?;
    let http = free_address()?;
    let file = folder.write_config(broker.servers(), receiver, http)?;
    // The environment's variables are for the user's own daemon, not for the demo's.
    let loaded = Loaded::load_with(&file, &Variables::new()).map_err(DemoError::Configuration)?;
    let kafka = loaded.settings.kafka.clone();
    let app = App::new(loaded)?.without_topic_checks().without_variables();
    let say = |text: String| screen.line(About::Demo, &text);
    say(format!("configuration {}", file.display()));
    say(format!("receiver http://{receiver}, embedded broker {}", broker.servers()));
    say(format!("http://{http}/metrics, /livez, /readyz; joining the group takes some 3 s"));

    let (stop, stopped) = watch::channel(false);
    let daemon = app.run(hang_ups, stopped);
    tokio::pin!(daemon);
    let stage = Stage {
        broker: &broker,
        names: &names,
        kafka: &kafka,
        screen,
        checklist: &checklist,
        repaired: &repaired,
    };
    let is_over = tokio::select! {
        // The daemon ends first when it fails or gets a signal.
        ended = &mut daemon => { ended?; false }
        played = stage.play(once) => { played?; true }
    };
    if is_over {
        stop.send_replace(true);
        daemon.await?;
    }
    let left = checklist.left();
    if once && left.is_empty() {
        say("everything has been seen".to_owned());
    }
    Ok(left)
}

/// Returns the default topic names.
fn topics() -> TopicNames {
    let list = |name: &str| vec![name.to_owned()];
    TopicNames {
        flow_complete: list("flow-complete"),
        delivery_report: list("sms-delivery-report"),
        flow_started: Vec::new(),
        events: "ringback.events".to_owned(),
        dead_letter: "ringback.dead-letter".to_owned(),
        changelog: "ringback.changelog".to_owned(),
        inbox: "ringback.inbox".to_owned(),
        unwrap: Unwrap::default(),
    }
}

fn start_broker(
    names: &TopicNames,
    screen: Screen,
    checklist: Checklist,
) -> Result<Broker, BrokerError> {
    let watched = vec![names.events.clone(), names.dead_letter.clone()];
    let inputs = names.sources().map(|(name, _)| name);
    let state = [&names.changelog, &names.inbox];
    let all = inputs.chain(&watched).chain(state).cloned().collect();
    let events = names.events.clone();
    Broker::start(all, watched, move |topic, bytes| {
        if topic == events {
            facts::event(bytes, screen, &checklist);
        } else {
            facts::dead_letter(bytes, screen, &checklist);
        }
    })
}

/// Returns a free local address. The daemon binds it a moment later, and fails in the rare case that another process
/// was faster.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

struct Stage<'a> {
    broker: &'a Broker,
    names: &'a TopicNames,
    kafka: &'a KafkaSettings,
    screen: Screen,
    checklist: &'a Checklist,
    repaired: &'a AtomicBool,
}

impl Stage<'_> {
    /// Runs all steps, and then produces flows until the demo ends. With `once`, returns after the steps or after the
    /// deadline.
    async fn play(&self, once: bool) -> Result<(), DemoError> {
        if once {
            return match tokio::time::timeout(DEADLINE, self.story()).await {
                Ok(played) => played,
                // The results that were not seen explain the time-out.
                Err(_) => Ok(()),
            };
        }
        self.story().await?;
        let text = format!("a fresh flow every {} s; Ctrl-C ends the demo", PAUSE.as_secs());
        self.screen.line(About::Demo, &text);
        loop {
            tokio::time::sleep(PAUSE).await;
            let refused = || io::Error::other("the system provides no random bytes");
            let sample = Sample::fresh().ok_or_else(refused)?;
            self.flow(&sample)?;
            tokio::time::sleep(REPORT_PAUSE).await;
            self.report(&sample)?;
        }
    }

    async fn story(&self) -> Result<(), DemoError> {
        let sample = Sample::original();
        self.flow(&sample)?;
        self.checklist.wait_for(&[Sight::Phase1Arrived, Sight::Phase1Delivered]).await;
        self.report(&sample)?;
        self.checklist.wait_for(&[Sight::Phase2Arrived, Sight::Phase2Delivered]).await;
        let refused = || io::Error::other("the system provides no random bytes");
        let unlucky = Sample::fresh().ok_or_else(refused)?.of_account(BAD_ACCOUNT);
        self.flow(&unlucky)?;
        self.checklist.wait_for(&[Sight::DeadLetter]).await;
        self.repaired.store(true, Ordering::SeqCst);
        let line = "the endpoint is repaired: ringback dead-letter replay";
        self.screen.line(About::Demo, line);
        self.replay().await?;
        self.checklist.wait().await;
        Ok(())
    }

    /// Replays all dead letters, like `ringback dead-letter replay`.
    async fn replay(&self) -> Result<(), DemoError> {
        let (kafka, names) = (self.kafka.clone(), self.names.clone());
        let replayed = tokio::task::spawn_blocking(move || {
            let letters = Letters::new(&kafka, &names)?;
            let mut go_on = |_| ControlFlow::Continue(());
            let plan = letters.plan(&Filter::default(), None, &mut go_on)?;
            letters.replay(&plan, None, &mut go_on)
        });
        let summary = replayed.await.map_err(io::Error::other)??;
        let text = format!("{} of {} dead letters replayed", summary.replayed, summary.matched);
        self.screen.line(About::Demo, &text);
        Ok(())
    }

    fn flow(&self, sample: &Sample) -> Result<(), DemoError> {
        self.send(&self.names.flow_complete, &sample.uuid, &sample.flow)
    }

    fn report(&self, sample: &Sample) -> Result<(), DemoError> {
        self.send(&self.names.delivery_report, &sample.uuid, &sample.report)
    }

    fn send(&self, topics: &[String], uuid: &str, record: &str) -> Result<(), DemoError> {
        for topic in topics {
            self.screen.line(About::Record, &format!("{topic:<19} {uuid}"));
            self.broker.send(topic, uuid, record)?;
        }
        Ok(())
    }
}
