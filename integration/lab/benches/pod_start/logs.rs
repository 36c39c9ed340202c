//! Reads containerd's log and the plugin's.

use std::collections::BTreeMap;

/// The steps of ADD in their order, and what has been done when each is logged.
pub(crate) const STEPS: [(&str, &str); 7] = [
    ("facts-known", "the logical port is known (translator, northd, agent)"),
    ("veth-created", "veth made"),
    ("host-end-ready", "host's end shielded and up"),
    ("port-plugged", "port in Open vSwitch"),
    ("pod-configured", "addresses and routes in the pod"),
    ("flows-installed", "flows installed (ovn-controller)"),
    ("done", "result written"),
];

/// Seconds in a day: times are counted from midnight, and no run lasts over it, or it is run again.
const DAY: f64 = 86_400.0;

/// A sandbox; times in seconds.
#[derive(Clone, Debug)]
pub(crate) struct Sandbox {
    pub(crate) id: String,
    /// `namespace/name`
    pub(crate) pod: String,
    /// When kubelet asked for it.
    pub(crate) asked: f64,
    /// When containerd had it.
    pub(crate) made: f64,
}

/// A successful ADD.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) sandbox: String,
    pub(crate) pod: String,
    /// In seconds.
    pub(crate) ended: f64,
    /// Milliseconds since its start.
    steps: BTreeMap<String, f64>,
}

impl Call {
    /// In seconds.
    pub(crate) fn began(&self) -> f64 {
        self.ended - self.step("done").unwrap_or_default() / 1000.0
    }

    /// Milliseconds from its start to the end of a step.
    pub(crate) fn step(&self, name: &str) -> Option<f64> {
        self.steps.get(name).copied()
    }
}

/// `time="…" level=info msg="RunPodSandbox for &PodSandboxMetadata{Name:…,Uid:…,Namespace:…,Attempt:0,}"`, and the same
/// with `returns sandbox id \"…\"` when it is done.
pub(crate) fn sandboxes(log: &str) -> Vec<Sandbox> {
    let mut asked: BTreeMap<String, f64> = BTreeMap::new();
    let mut made = Vec::new();
    for line in log.lines().filter(|line| line.contains("msg=\"RunPodSandbox for ")) {
        let field = |name: &str| {
            let rest = line.split_once(name)?.1;
            rest.split(',').next().map(str::to_owned)
        };
        let (Some(name), Some(namespace), Some(uid)) = (field("Name:"), field("Namespace:"), field("Uid:")) else {
            continue;
        };
        let Some(at) = line
            .strip_prefix("time=\"")
            .and_then(|rest| seconds(rest.split('"').next()?))
        else {
            continue;
        };
        match line.split_once("returns sandbox id \\\"") {
            None => {
                asked.insert(uid, at);
            }
            Some((_, id)) => {
                if let Some(asked) = asked.remove(&uid) {
                    let id = id.split('\\').next().unwrap_or_default().to_owned();
                    let pod = format!("{namespace}/{name}");
                    made.push(Sandbox {
                        id,
                        pod,
                        asked,
                        made: at,
                    });
                }
            }
        }
    }
    made
}

/// `SECONDS PID Add SANDBOX NAMESPACE/POD +12.3ms STEP`
pub(crate) fn calls(log: &str) -> Vec<Call> {
    let mut open: BTreeMap<(String, String), BTreeMap<String, f64>> = BTreeMap::new();
    let mut done = Vec::new();
    for line in log.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [at, pid, "Add", sandbox, pod, after, step] = words[..] else {
            continue;
        };
        let after = after.trim_start_matches('+').trim_end_matches("ms").parse();
        let (Ok(after), Ok(at)) = (after, at.parse::<f64>()) else {
            continue;
        };
        let key = (pid.to_owned(), sandbox.to_owned());
        open.entry(key.clone()).or_default().insert(step.to_owned(), after);
        if step == "done" {
            done.push(Call {
                sandbox: sandbox.to_owned(),
                pod: pod.to_owned(),
                // The plugin counts from the epoch.
                ended: at % DAY,
                steps: open.remove(&key).unwrap_or_default(),
            });
        }
    }
    done
}

/// `2026-11-26T00:37:48.317560078Z`, as seconds of its day.
fn seconds(time: &str) -> Option<f64> {
    let clock = time.split_once('T')?.1.strip_suffix('Z')?;
    let mut parts = clock.split(':');
    let mut next = || parts.next()?.parse::<f64>().ok();
    Some(next()? * 3600.0 + next()? * 60.0 + next()?)
}
