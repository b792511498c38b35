//! The replays that operators have started on this instance: one at a time, and the latest ones are remembered.

use super::Console;
use super::failure::Failure;
use super::questions::stage_text;
use super::visitor::Visitor;
use crate::clock;
use crate::codec::event::{OperatorAction, rfc3339};
use crate::domain::Timestamp;
use crate::replay::{Filter, Letters, Progress, ReplayError, Summary};
use serde::Serialize;
use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The number of replays that are remembered.
const KEPT_MAX: usize = 20;

/// The filter of a replay, with its rate and its limit.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) filter: Filter,
    /// The maximum number of letters per second.
    pub(super) rate: Option<NonZeroU32>,
    /// The maximum number of letters.
    pub(super) max: Option<u64>,
}

/// A replay.
pub(super) struct Run {
    id: u64,
    pub(super) order: Order,
    operator: Arc<str>,
    began_at: Timestamp,
    is_stopped: AtomicBool,
    state: Mutex<State>,
}

/// How far a replay is.
#[derive(Clone, Debug)]
enum State {
    Running { stage: &'static str, done: u64, all: u64 },
    Ended { at: Timestamp, result: Result<Summary, Failure> },
}

/// A replay, as the console and the API show it.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub(super) struct ReplayView {
    /// The number of the replay on this instance.
    pub(super) id: u64,
    /// `running`, `finished`, `stopped` or `failed`.
    pub(super) state: &'static str,
    /// The filter.
    pub(super) filter: String,
    /// The maximum number of letters per second.
    pub(super) rate: Option<u32>,
    /// The maximum number of letters.
    pub(super) max: Option<u64>,
    /// The operator who started it.
    pub(super) operator: String,
    /// When it began (RFC 3339).
    pub(super) began_at: String,
    /// When it ended (RFC 3339).
    pub(super) ended_at: Option<String>,
    /// The step that it is at.
    pub(super) stage: Option<&'static str>,
    /// The number of offsets, or of letters, of the step that are done.
    pub(super) done: Option<u64>,
    /// The number of all of the step.
    pub(super) all: Option<u64>,
    /// The result.
    #[schemars(with = "Option<serde_json::Value>")]
    pub(super) summary: Option<Summary>,
    /// The reason why it failed.
    pub(super) error: Option<String>,
}

/// All replays of the instance, the latest last.
#[derive(Default)]
pub(super) struct Replays(Mutex<Vec<Arc<Run>>>);

impl Replays {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Run>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns all replays, the latest first.
    pub(super) fn all(&self) -> Vec<ReplayView> {
        self.lock().iter().rev().map(|run| run.view()).collect()
    }

    pub(super) fn find(&self, id: u64) -> Result<Arc<Run>, Failure> {
        let found = self.lock().iter().find(|run| run.id == id).cloned();
        found.ok_or_else(|| {
            Failure::Missing(format!(
                "this instance knows no replay {id}: it keeps the latest {KEPT_MAX} since its start"
            ))
        })
    }

    /// Adds a replay, unless another one runs.
    fn begin(&self, order: Order, operator: Arc<str>) -> Result<Arc<Run>, Failure> {
        let mut all = self.lock();
        if let Some(running) = all.iter().find(|run| run.is_running()) {
            let problem =
                format!("replay {} runs: stop it, or wait until it has ended", running.id);
            return Err(Failure::Conflict(problem));
        }
        let id = all.last().map_or(1, |run| run.id + 1);
        if all.len() >= KEPT_MAX {
            all.remove(0);
        }
        let run = Arc::new(Run {
            id,
            order,
            operator,
            began_at: clock::wall(),
            is_stopped: AtomicBool::new(false),
            state: Mutex::new(State::Running { stage: "beginning", done: 0, all: 0 }),
        });
        all.push(run.clone());
        Ok(run)
    }

    /// Stops all replays, so that the process can end. What they have sent is committed.
    pub(super) fn stop_all(&self) {
        self.lock().iter().for_each(|run| run.is_stopped.store(true, Ordering::Relaxed));
    }
}

impl Run {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    fn is_running(&self) -> bool {
        matches!(*self.lock(), State::Running { .. })
    }

    fn see(&self, progress: Progress) -> ControlFlow<()> {
        let Progress { stage, done, all } = progress;
        *self.lock() = State::Running { stage: stage_text(stage), done, all };
        if self.is_stopped.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    pub(super) fn view(&self) -> ReplayView {
        let state = self.lock().clone();
        let (word, stage, ended_at, summary, error) = match state {
            State::Running { stage, done, all } => {
                ("running", Some((stage, done, all)), None, None, None)
            }
            State::Ended { at, result: Ok(summary) } => {
                let word = if summary.finished { "finished" } else { "stopped" };
                (word, None, Some(at), Some(summary), None)
            }
            State::Ended { at, result: Err(Failure::Cancelled) } => {
                ("stopped", None, Some(at), None, None)
            }
            State::Ended { at, result: Err(failure) } => {
                ("failed", None, Some(at), None, Some(failure.to_string()))
            }
        };
        ReplayView {
            id: self.id,
            state: word,
            filter: filter_text(&self.order.filter),
            rate: self.order.rate.map(NonZeroU32::get),
            max: self.order.max,
            operator: self.operator.to_string(),
            began_at: rfc3339(self.began_at),
            ended_at: ended_at.map(rfc3339),
            stage: stage.map(|(stage, _, _)| stage),
            done: stage.map(|(_, done, _)| done),
            all: stage.map(|(_, _, all)| all),
            summary,
            error,
        }
    }
}

/// Returns the conditions of a filter as text.
pub(super) fn filter_text(filter: &Filter) -> String {
    let conditions = filter_fields(filter);
    if conditions.is_empty() {
        return "all dead letters".to_owned();
    }
    let texts = conditions.iter().map(|(name, value)| format!("{name} = {value}"));
    texts.collect::<Vec<_>>().join(", ")
}

/// Returns the conditions of a filter as the parameters of a request.
pub(super) fn filter_fields(filter: &Filter) -> Vec<(&'static str, String)> {
    let Filter { webhook, account, phase, reason, since, until, target } = filter;
    let target = target.map(|target| target.to_string());
    let all = [
        ("webhook", webhook.clone()),
        ("account", account.map(|account| account.to_string())),
        ("phase", phase.map(|phase| phase.to_string())),
        ("reason", reason.clone()),
        ("since", since.as_ref().map(|when| when.spelt.clone())),
        ("until", until.as_ref().map(|when| when.spelt.clone())),
        ("target", target),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

impl Console {
    /// Starts a replay, and returns it. The same order continues a replay that was stopped.
    pub(super) async fn begin_replay(
        &self,
        visitor: &Visitor,
        order: Order,
    ) -> Result<Arc<Run>, Failure> {
        let run = self.replays.begin(order, visitor.operator.clone())?;
        let detail = filter_text(&run.order.filter);
        let webhook = run.order.filter.webhook.as_deref();
        let audited = self.audit(visitor, OperatorAction::ReplayStarted, webhook, &detail).await;
        if let Err(failure) = audited {
            *run.lock() = State::Ended { at: clock::wall(), result: Err(failure.clone()) };
            return Err(failure);
        }
        let (kafka, topics) = (self.kafka.clone(), self.topics.clone());
        let of_thread = run.clone();
        let replay = move || -> Result<Summary, ReplayError> {
            let Order { filter, rate, max } = &of_thread.order;
            let letters = Letters::new(&kafka, &topics)?;
            let plan = letters.plan(filter, *max, &mut |progress| of_thread.see(progress))?;
            letters.replay(&plan, *rate, &mut |progress| of_thread.see(progress))
        };
        let of_task = run.clone();
        tokio::spawn(async move {
            let result = match tokio::task::spawn_blocking(replay).await {
                Ok(result) => result.map_err(Failure::from),
                Err(error) => Err(Failure::of_task(&error)),
            };
            *of_task.lock() = State::Ended { at: clock::wall(), result };
        });
        Ok(run)
    }

    /// Stops a replay. What it has sent is committed, and the same order continues it.
    pub(super) async fn stop_replay(
        &self,
        visitor: &Visitor,
        id: u64,
    ) -> Result<Arc<Run>, Failure> {
        let run = self.replays.find(id)?;
        let detail = format!("replay {id}: {}", filter_text(&run.order.filter));
        let webhook = run.order.filter.webhook.as_deref();
        self.audit(visitor, OperatorAction::ReplayStopped, webhook, &detail).await?;
        run.is_stopped.store(true, Ordering::Relaxed);
        Ok(run)
    }
}
