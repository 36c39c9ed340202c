//! The plugin, as a runtime starts it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Side;
use crate::steps::{STEPS, Timed};
use crate::support::{ADD_STEPS, Call, Host, Pod};

/// They are the ends of all steps but the first and the last.
const _: () = assert!(ADD_STEPS.len() + 2 == STEPS.len());

/// One process for each pod.
#[derive(Debug)]
pub(crate) enum ByPlugin {
    /// With the configuration that the agent writes by default.
    Plain,
    /// With a log of its steps, which costs some time too.
    Logging,
}

impl Side for ByPlugin {
    fn name(&self) -> &'static str {
        match self {
            Self::Plain => "meridian-cni",
            Self::Logging => "with log",
        }
    }

    fn prepare(&mut self) {}

    fn attach(&mut self, host: &Host, pod: &Pod) -> Timed {
        let mut call = Call::here(host, "ADD").about(pod);
        if matches!(self, Self::Plain) {
            call = call.set("logFile", serde_json::Value::Null);
        }
        let start = since_epoch();
        let reply = call.run();
        assert!(reply.success, "{}", reply.json);
        if matches!(self, Self::Plain) {
            return Timed::new([None; STEPS.len()], reply.took);
        }
        let log = std::fs::read_to_string(host.path("plugin.log")).expect("the plugin logs");
        let mut last = start;
        let mut steps = [None; STEPS.len()];
        for (place, name) in ADD_STEPS.iter().enumerate() {
            let line = log
                .lines()
                .rev()
                .find(|line| line.contains(&pod.container_id) && line.ends_with(name))
                .expect("every step is logged");
            let (at, began) = stamps(line);
            if place == 0 {
                steps[0] = Some(began.saturating_sub(start));
                last = began;
            }
            steps[place + 1] = Some(at.saturating_sub(last));
            last = at;
        }
        steps[STEPS.len() - 1] = Some((start + reply.took).saturating_sub(last));
        Timed::new(steps, reply.took)
    }
}

/// When a line was written, and when the call it is of began.
fn stamps(line: &str) -> (Duration, Duration) {
    let number = |text: Option<&str>| -> f64 {
        text.and_then(|text| text.parse().ok())
            .expect("the log has the form that trace.rs gives it")
    };
    let at = number(line.split(' ').next());
    let since = number(line.split(" +").nth(1).and_then(|rest| rest.split("ms").next()));
    let at = Duration::from_secs_f64(at);
    (at, at.saturating_sub(Duration::from_secs_f64(since / 1000.0)))
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970")
}
