//! The pulse: a timer far shorter than any deadline, whose lateness shows that the whole process was
//! stopped or starved.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use wk_alert::Pulse;
use wk_proto::ids::Mono;

use crate::task::{Task, supervise};

const BEAT: Duration = Duration::from_millis(250);
/// A beat later than this is noted.
const LATE: Duration = Duration::from_secs(1);

/// The pulse, to be read by the owner.
#[derive(Debug)]
pub(crate) struct Heart {
    pulse: Arc<Mutex<Pulse>>,
    _task: Task,
}

impl Heart {
    /// Begins to beat; times are spans since `origin`.
    pub(crate) fn start(origin: Instant) -> Self {
        let pulse = Arc::new(Mutex::new(Pulse { last: since(origin), late: None }));
        let beating = Arc::clone(&pulse);
        let task = supervise("pulse", move || beat(origin, Arc::clone(&beating)));
        Self { pulse, _task: task }
    }

    /// The pulse now.
    pub(crate) fn read(&self) -> Pulse {
        *self.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn beat(origin: Instant, pulse: Arc<Mutex<Pulse>>) {
    loop {
        tokio::time::sleep(BEAT).await;
        let now = since(origin);
        let mut pulse = pulse.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(pulse.last) > BEAT + LATE {
            pulse.late = Some(now);
        }
        pulse.last = now;
    }
}

fn since(origin: Instant) -> Mono {
    Mono(u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
}
