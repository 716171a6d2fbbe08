//! What a pod needs next, as a pure function of what containerd has of it.
//!
//! Order and restarts are the kubelet's: init containers one after the other until each has ended
//! with 0, then all the others; a container that ends is started again by the restart policy, at
//! once the first time, then with a growing wait.
//! Source: kubelet 1.20 `pkg/kubelet/kuberuntime/kuberuntime_manager.go`, `computePodActions` and
//! `doBackOff`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::core::observed::TaskState;

/// First wait before a restart, after the one that is made at once.
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// Longest wait before a restart.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Having run for so long makes the waits start anew.
const STEADY: Duration = Duration::from_secs(600);

/// The containers of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Names of the init containers, in order.
    pub inits: Vec<String>,
    /// Names of the other containers.
    pub mains: Vec<String>,
    /// When a container that ended is started again.
    pub restart: Restart,
}

/// A pod's restart policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Whatever the exit code.
    Always,
    /// After an exit code other than 0.
    OnFailure,
    /// Never.
    Never,
}

/// One attempt at a container, as containerd has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// containerd's container id.
    pub id: String,
    /// Its number, from 0.
    pub number: u32,
    /// What its task does.
    pub task: TaskState,
    /// The exit code, once it was noted.
    pub exit: Option<u32>,
}

/// Attempts by container name, oldest first.
pub type Attempts = BTreeMap<String, Vec<Attempt>>;

/// One thing to do. After any, containerd is asked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It has ended: note the code, free what it used.
    Finish {
        /// Which attempt.
        id: String,
        /// Container name.
        name: String,
        /// Its exit code.
        code: u32,
    },
    /// Its start was cut off, or its task is lost: remove it without a trace.
    Discard {
        /// Which attempt.
        id: String,
        /// Container name.
        name: String,
    },
    /// Start an attempt.
    Start {
        /// Container name.
        name: String,
        /// Number of the attempt.
        number: u32,
        /// The attempt that it replaces, to be removed first.
        replaces: Option<String>,
    },
}

/// How the pod does, beside what is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Init containers or the first start are under way.
    Starting,
    /// Every container runs.
    Running,
    /// A container waits for its next start, or is not to be started again.
    Waiting(String),
}

/// The answer of [`next`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// What to do, in this order.
    pub steps: Vec<Step>,
    /// How the pod does.
    pub progress: Progress,
    /// Ask again then, if nothing happens before.
    pub wake: Option<Duration>,
}

/// The waits of one container between its restarts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waits {
    wait: Duration,
    until: Duration,
    started: Duration,
}

impl Waits {
    /// It was started now.
    pub fn started(&mut self, now: Duration) {
        self.started = now;
    }

    /// It ended, or could not be started, now.
    pub fn ended(&mut self, now: Duration) {
        if now.saturating_sub(self.started) >= STEADY {
            self.wait = Duration::ZERO;
        }
        self.until = now + self.wait;
        self.wait = (self.wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
    }
}

/// What to do next for a pod. `now` counts from any fixed moment.
#[must_use]
pub fn next(
    wanted: &Wanted,
    seen: &Attempts,
    waits: &BTreeMap<String, Waits>,
    now: Duration,
) -> Next {
    let steps = settle(seen);
    if !steps.is_empty() {
        return Next {
            steps,
            progress: Progress::Starting,
            wake: None,
        };
    }
    let mut turn = Turn {
        seen,
        waits,
        now,
        steps: Vec::new(),
        wake: None,
        waiting: Vec::new(),
    };
    let none = |name: &String| seen.get(name).is_none_or(Vec::is_empty);
    if wanted.mains.iter().all(none) {
        for name in &wanted.inits {
            let again = wanted.restart != Restart::Never;
            let ended_well = turn.ended(name) == Some(0);
            if !ended_well {
                turn.run(name, again);
                return turn.answer(false);
            }
        }
    }
    for name in &wanted.mains {
        let again = match wanted.restart {
            Restart::Always => true,
            Restart::OnFailure => turn.ended(name) != Some(0),
            Restart::Never => false,
        };
        turn.run(name, again);
    }
    turn.answer(true)
}

/// What has ended or was cut off is put in order before anything is started.
fn settle(seen: &Attempts) -> Vec<Step> {
    let mut steps = Vec::new();
    for (name, attempts) in seen {
        for attempt in attempts {
            let (id, name) = (attempt.id.clone(), name.clone());
            match (attempt.task, attempt.exit) {
                (TaskState::Exited(code), None) | (TaskState::Exited(_), Some(code)) => {
                    steps.push(Step::Finish { id, name, code });
                }
                (TaskState::Created, _) | (TaskState::None, None) => {
                    steps.push(Step::Discard { id, name });
                }
                _ => {}
            }
        }
    }
    steps
}

struct Turn<'a> {
    seen: &'a Attempts,
    waits: &'a BTreeMap<String, Waits>,
    now: Duration,
    steps: Vec<Step>,
    wake: Option<Duration>,
    waiting: Vec<String>,
}

impl Turn<'_> {
    fn newest(&self, name: &str) -> Option<&Attempt> {
        self.seen.get(name)?.last()
    }

    fn ended(&self, name: &str) -> Option<u32> {
        self.newest(name)?.exit
    }

    /// Sees to it that a container runs. `again`: also if it has ended.
    fn run(&mut self, name: &str, again: bool) {
        let newest = self.newest(name);
        let number = newest.map_or(0, |attempt| attempt.number + 1);
        let replaces = newest.map(|attempt| attempt.id.clone());
        match newest.map(|attempt| attempt.exit) {
            Some(None) => return,
            Some(Some(code)) if !again => {
                let text = format!("container {name} ended with {code} and is not started again");
                return self.waiting.push(text);
            }
            _ => {}
        }
        let until = self.waits.get(name).map_or(Duration::ZERO, |w| w.until);
        if until <= self.now {
            self.steps.push(Step::Start {
                name: name.to_owned(),
                number,
                replaces,
            });
            return;
        }
        self.wake = Some(self.wake.map_or(until, |wake| wake.min(until)));
        let ended = self.ended(name);
        let ended = ended.map_or("could not be started".to_owned(), |code| {
            format!("ended with {code}")
        });
        self.waiting.push(format!(
            "container {name} {ended}, attempt {number} waits for its time"
        ));
    }

    fn answer(self, initialised: bool) -> Next {
        let progress = if !self.waiting.is_empty() {
            Progress::Waiting(self.waiting.join("; "))
        } else if initialised && self.steps.is_empty() {
            Progress::Running
        } else {
            Progress::Starting
        };
        Next {
            steps: self.steps,
            progress,
            wake: self.wake,
        }
    }
}
