//! Tests of readings.

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

fn readings() -> Readings<u32> {
    Readings::new(&Limit::default(), &Arc::default())
}

fn ready(answer: Result<Answer<u32>, Failure>) -> u32 {
    match answer {
        Ok(Answer::Ready(result)) => *result,
        Ok(Answer::Running(advance)) => panic!("it runs: {advance:?}"),
        Err(failure) => panic!("{failure}"),
    }
}

/// Waits until a reading is cancelled. One that is never cancelled succeeds in the end.
fn until_cancelled(watcher: &Watcher) -> Result<u32, Failure> {
    let deadline = Instant::now() + PATIENCE / 3;
    while watcher.see("the topic", 3, 10).is_continue() {
        if Instant::now() > deadline {
            return Ok(0);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(Failure::Cancelled)
}

#[tokio::test]
async fn equal_requests_share_a_reading_and_its_result_is_kept_for_a_moment() {
    let readings = readings();
    let (begin, begun) = std::sync::mpsc::channel::<()>();
    let first = readings.get("a", Duration::ZERO, move |_| {
        begun.recv().unwrap();
        Ok(1)
    });
    assert!(matches!(first.await, Ok(Answer::Running(_))));
    let other = readings.get("b", PATIENCE, |_| Ok(2)).await;
    assert_eq!(ready(other), 2);
    begin.send(()).unwrap();
    assert_eq!(ready(readings.get("a", PATIENCE, |_| panic!("it is read twice")).await), 1);
    assert_eq!(ready(readings.get("a", PATIENCE, |_| panic!("it is read twice")).await), 1);
}

#[tokio::test]
async fn a_reading_shows_its_progress_until_it_is_cancelled() {
    let readings = readings();
    let advance = loop {
        match readings.get("a", Duration::from_millis(1), until_cancelled).await {
            Ok(Answer::Running(advance)) if advance.done == 3 => break advance,
            Ok(Answer::Running(_)) => {}
            Ok(Answer::Ready(_)) | Err(_) => panic!("it runs until it is cancelled"),
        }
    };
    assert_eq!((advance.stage.as_str(), advance.all), ("the topic", 10));
    assert!(!readings.cancel(advance.reading + 1));
    assert!(readings.cancel(advance.reading));
    let ended = readings.get("a", PATIENCE, |_| panic!("its end is kept")).await;
    assert_eq!(ended.err(), Some(Failure::Cancelled));
    assert!(!readings.cancel(advance.reading), "it has ended");
}

#[tokio::test]
async fn a_few_readings_run_at_the_same_time_and_more_are_refused() {
    let readings = readings();
    let mut running = Vec::new();
    for number in 0..RUNNING_MAX {
        match readings.get(&number.to_string(), Duration::ZERO, until_cancelled).await {
            Ok(Answer::Running(advance)) => running.push(advance.reading),
            Ok(Answer::Ready(_)) | Err(_) => panic!("it runs"),
        }
    }
    let refused = readings.get("more", Duration::ZERO, |_| Ok(1)).await;
    assert_eq!(refused.err(), Some(Failure::Busy));
    assert!(running.iter().all(|reading| readings.cancel(*reading)));
    loop {
        match readings.get("more", PATIENCE, |_| Ok(1)).await {
            Ok(_) => break,
            Err(failure) => assert_eq!(failure, Failure::Busy),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_reading_that_panics_is_made_again() {
    let readings = readings();
    let failed = readings.get("a", PATIENCE, |_| panic!("a fault")).await;
    assert!(matches!(failed, Err(Failure::Internal(_))));
    assert_eq!(ready(readings.get("a", PATIENCE, |_| Ok(2)).await), 2);
}
