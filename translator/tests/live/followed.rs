//! The source in this process, following a real API server.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use meridian_model::{Kind, Object};
use meridian_northbound::Feed;
use meridian_northbound::writer::{Phase, Status};
use meridian_translator::admin::{self, Admin};
use meridian_translator::metrics::Metrics;
use meridian_translator::problems::Board;
use meridian_translator::source::convert;
use meridian_translator::source::kubernetes::{self, Access, Cause, Cluster, Health, Patience, WatchHealth};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::common::{self, Told};
use crate::support::{Objects, PATIENCE, eventually};

/// A cluster as the source tells it.
pub struct Followed {
    pub told: Told,
    board: Board,
    health: Health,
    _watches: JoinSet<()>,
}

/// Where objects are, by kind.
const COLLECTIONS: [(Kind, &str); 6] = [
    (Kind::Node, "/api/v1/nodes"),
    (Kind::Namespace, "/api/v1/namespaces"),
    (Kind::Pod, "/api/v1/pods"),
    (Kind::Service, "/api/v1/services"),
    (Kind::EndpointSlice, "/apis/discovery.k8s.io/v1/endpointslices"),
    (Kind::ServiceCidr, "/apis/networking.k8s.io/v1/servicecidrs"),
];

impl Followed {
    /// Follows the cluster of a kubeconfig until everything is told.
    pub async fn of(kubeconfig: &Path) -> Self {
        let mut followed = Self::begin(kubeconfig, Patience::default()).await;
        followed.told.until_synced(kubernetes::NAMES.len()).await;
        followed
    }

    /// The same without waiting, and with another patience.
    pub async fn begin(kubeconfig: &Path, patience: Patience) -> Self {
        let access = Access {
            kubeconfig: Some(kubeconfig.to_owned()),
            context: None,
        };
        let cluster = Cluster::connect(access).await.unwrap().with_patience(patience);
        let (feed, inputs) = Feed::to_receiver();
        let (board, health) = (Board::default(), Health::default());
        let watches = kubernetes::watch(&cluster, &feed, &board, &health);
        let mut told = Told::new(inputs);
        told.patience = PATIENCE;
        Self {
            told,
            board,
            health,
            _watches: watches,
        }
    }

    pub fn problems(&self) -> Vec<String> {
        let all = self.board.all().into_iter();
        all.map(|(_, problem)| problem.to_string()).collect()
    }

    /// Waits until the problems are these.
    pub async fn until_problems(&self, expected: &[&str]) {
        eventually("the problems", || async {
            let problems = self.problems();
            (problems == expected).then_some(()).ok_or(format!("{problems:#?}"))
        })
        .await;
    }

    /// Waits until there is a problem that begins like this, and returns it.
    pub async fn until_problem(&self, beginning: &str) -> String {
        eventually(beginning, || async {
            let problems = self.problems();
            let found = problems.iter().find(|problem| problem.starts_with(beginning));
            found.cloned().ok_or(format!("{problems:#?}"))
        })
        .await
    }

    /// How the watch of pods fares.
    pub fn pods(&self) -> WatchHealth {
        self.health.all()["pods"].clone()
    }

    /// How often the API server said that the watch of pods had been somewhere it knows nothing of.
    pub fn expired(&self) -> u64 {
        self.pods().errors.get(&Cause::Expired).copied().unwrap_or_default()
    }

    /// What `/readyz` of a translator would say whose database is fine.
    pub async fn readyz(&self) -> (u16, String) {
        let status = Status {
            phase: Phase::Standby,
            ..Status::default()
        };
        let (_writer, status) = watch::channel(status);
        let listener = admin::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let admin = Admin {
            status,
            board: self.board.clone(),
            health: self.health.clone(),
            metrics: Arc::new(Metrics::default()),
        };
        let mut serving = JoinSet::new();
        serving.spawn(admin::serve(listener, admin));
        let answer = tokio::task::spawn_blocking(move || common::get(address, "/readyz"));
        answer.await.unwrap().expect("an answer")
    }

    /// Waits until what was told is what the API has, field by field as far as the model goes.
    pub async fn until_equal(&mut self, objects: &Objects) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let expected = expected(objects).await;
            // An API server that has just started makes objects of its own meanwhile.
            let look = Duration::from_secs(1);
            if self.told.within(look, |told| told.objects() == expected).await {
                return;
            }
            let told = self.told.objects();
            assert!(Instant::now() < deadline, "told {told:#?}\nand there is {expected:#?}");
        }
    }
}

async fn expected(objects: &Objects) -> Vec<Object> {
    let mut expected = Vec::new();
    for (kind, collection) in COLLECTIONS {
        for item in objects.items(collection).await {
            expected.push(convert::from_value_of(kind, item).unwrap());
        }
    }
    expected.sort_by_key(Object::key);
    expected
}
