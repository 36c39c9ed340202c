use serde_json::Value;

use super::*;
use fake_api::FakeApi;

#[path = "../../../tests/fake_api/mod.rs"]
mod fake_api;

/// A fake API, and the reporter of node `n1` that talks to it.
struct Reported {
    api: FakeApi,
    verdict: watch::Sender<Option<Verdict>>,
    _kubeconfig: tempfile::NamedTempFile,
}

const QUICK: Retries = Retries {
    first: Duration::from_millis(1),
    last: Duration::from_millis(4),
};
const PATIENCE: Duration = Duration::from_secs(20);

impl Reported {
    fn start(prepare: impl FnOnce(&FakeApi), verdict: Option<Verdict>) -> Self {
        let api = FakeApi::serve(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        prepare(&api);
        let kubeconfig = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&kubeconfig, api.kubeconfig()).unwrap();
        let access = Kubernetes::Kubeconfig(kubeconfig.path().to_owned());
        let (verdict, seen) = watch::channel(verdict);
        tokio::spawn(report_with(access, "n1".into(), seen, QUICK));
        Self {
            api,
            verdict,
            _kubeconfig: kubeconfig,
        }
    }

    fn patches(&self) -> Vec<fake_api::Request> {
        let requests = self.api.requests().into_iter();
        requests.filter(|request| request.method == "PATCH").collect()
    }

    /// Waits until the node's condition has a status; the server acts on threads of its own.
    async fn status(&self, status: &str) -> Value {
        self.eventually(|| {
            let condition = self.api.condition(CONDITION)?;
            (condition["status"] == status).then_some(condition)
        })
        .await
    }

    async fn eventually<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        let found = async {
            loop {
                if let Some(found) = look() {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("it never came; the API saw {:?}", self.api.requests()))
    }
}

#[tokio::test]
async fn a_transition_is_one_patch_of_one_condition() {
    let reported = Reported::start(|_| {}, Some(Verdict::Available));
    let condition = reported.status("False").await;
    assert_eq!(condition["reason"], "MeridianReady");
    let since = condition["lastTransitionTime"].as_str().unwrap();
    assert!(since.ends_with('Z'), "{since}");
    let patches = reported.patches();
    assert_eq!(patches.len(), 1);
    assert_eq!(patches[0].path, "/api/v1/nodes/n1/status?&fieldManager=meridian-node");
    assert_eq!(patches[0].content_type, "application/strategic-merge-patch+json");
    assert_eq!(patches[0].body["status"]["conditions"].as_array().unwrap().len(), 1);
    assert_eq!(reported.api.condition("Ready").unwrap()["reason"], "KubeletReady");

    reported
        .verdict
        .send_replace(Some(Verdict::Unavailable("no chassis".into())));
    let condition = reported.status("True").await;
    assert_eq!(condition["reason"], "MeridianNotReady");
    assert_eq!(condition["message"], "no chassis");
    assert_eq!(reported.patches().len(), 2);
}

#[tokio::test]
async fn what_fails_is_tried_again() {
    let reported = Reported::start(
        // Not registered yet, not allowed, broken; and then the patch itself.
        |api| api.fail_with(&[404, 403, 500, 503]),
        Some(Verdict::Available),
    );
    reported.status("False").await;
    assert!(reported.api.requests().len() >= 6, "{:?}", reported.api.requests());
}

#[tokio::test]
async fn a_condition_that_is_there_is_not_written_again() {
    let there = json!({"type": CONDITION, "status": "False", "reason": READY, "message": "as ever",
        "lastTransitionTime": "2020-01-01T00:00:00Z"});
    let reported = Reported::start(|api| api.set_condition(there.clone()), Some(Verdict::Available));
    reported.eventually(|| reported.api.requests().pop()).await;
    reported
        .verdict
        .send_replace(Some(Verdict::Unavailable("no chassis".into())));
    reported.status("True").await;
    assert_eq!(reported.patches().len(), 1);
}

#[tokio::test]
async fn before_a_verdict_nothing_is_asked() {
    let reported = Reported::start(|_| {}, None);
    reported.verdict.send_replace(Some(Verdict::Available));
    reported.status("False").await;
    assert_eq!(reported.api.requests().len(), 2, "{:?}", reported.api.requests());
}

#[test]
fn a_condition_of_somebody_else_becomes_ours_and_keeps_its_time() {
    let since: Timestamp = "2020-01-01T00:00:00Z".parse().unwrap();
    let theirs = NodeCondition {
        type_: CONDITION.into(),
        status: "False".into(),
        reason: Some("RouteCreated".into()),
        last_transition_time: Some(Time(since)),
        ..NodeCondition::default()
    };
    let now = Timestamp::now();
    let ours = condition(&Verdict::Available, Some(&theirs), now).unwrap();
    assert_eq!(ours.last_transition_time, Some(Time(since)));
    let turned = condition(&Verdict::Unavailable("x".into()), Some(&theirs), now).unwrap();
    assert_eq!(turned.last_transition_time, Some(Time(now)));
    assert_eq!(condition(&Verdict::Available, Some(&ours), now), None);
}
