//! [`Recorder`]: events as the API has them.
//!
//! Not kube's recorder, which takes two problems of one object for one if their reason is the same, and tells everything
//! anew in each process. Here the name of an event follows from what it says of which object, so that a new leader goes on
//! with the events of the old one.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Error};
use meridian_api::cluster_policy::{AdminNetworkPolicy, BaselineAdminNetworkPolicy, ClusterNetworkPolicy};
use meridian_api::subnet::Subnet;
use meridian_api::vpc::Vpc;
use meridian_api::vpc_peering::VpcPeering;
use meridian_model::ClusterPolicyKind;
use serde_json::json;
use uuid::{Uuid, uuid};

use super::complaint::{Complaint, Subject};
use super::ledger::Told;
use crate::source::convert;

/// Who says it.
const CONTROLLER: &str = "meridian.dev/translator";

/// Names of events are made in this one.
const NAMES: Uuid = uuid!("5a0c6d0e-7c0b-4d0a-9b55-0d1f5d3b8a61");

/// An object's name has no more bytes than this.
const NAME: usize = 253;

/// Why an event was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// There is no such object any more, or no more events in its namespace.
    #[error("what it is about is gone")]
    Moot,
    /// It is not allowed.
    #[error(
        "{0}: grant get of pods, services, endpointslices, vpcs, vpcpeerings, subnets, networkpolicies and policies in policy.networking.k8s.io, and create and patch of events in events.k8s.io, as the ClusterRole \
         meridian-translator of the chart does"
    )]
    Forbidden(String),
    /// It took too long.
    #[error("no answer within {0:?}")]
    Silence(Duration),
    /// The API server will not have this one.
    #[error("rejected: {0}")]
    Rejected(String),
    /// Anything else.
    #[error(transparent)]
    Other(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match &error {
            Error::Api(status) if status.code == 404 => Self::Moot,
            Error::Api(status) if status.code == 403 && status.message.contains("being terminated") => Self::Moot,
            Error::Api(status) if status.code == 403 => Self::Forbidden(status.message.clone()),
            Error::Api(status) if matches!(status.code, 400 | 409 | 413 | 422) => {
                Self::Rejected(status.message.clone())
            }
            _ => Self::Other(error),
        }
    }
}

/// Writes events.
#[derive(Debug)]
pub(super) struct Recorder {
    /// Which of the translators.
    instance: String,
}

impl Recorder {
    pub(super) fn new() -> Self {
        // In a pod that is its name.
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = host.trim();
        Self {
            instance: if host.is_empty() { CONTROLLER } else { host }
                .chars()
                .take(128)
                .collect(),
        }
    }

    /// Tells a complaint, for the first time or once more.
    pub(super) async fn tell(
        &self,
        client: &Client,
        complaint: &Complaint,
        before: Option<&Told>,
    ) -> Result<Told, Refusal> {
        let uid = uid_of(&metadata(client, complaint).await?);
        let events: Api<Event> = Api::namespaced(client.clone(), place(complaint));
        let event = self.event(complaint, uid, Timestamp::now());
        let name = event.metadata.name.clone().unwrap_or_default();
        // Another object of the same name is told for itself.
        if let Some(before) = before.filter(|before| before.event == name) {
            match again(&events, &name, before.count).await {
                // Forgotten, or deleted.
                Err(error) if is(&error, 404) => {}
                result => return Ok(result?),
            }
        }
        match events.create(&PostParams::default(), &event).await {
            // By us before, or by a leader before us.
            Err(error) if is(&error, 409) => Ok(again(&events, &name, None).await?),
            result => {
                result?;
                Ok(Told {
                    event: name,
                    count: Some(1),
                })
            }
        }
    }

    fn event(&self, complaint: &Complaint, uid: Option<String>, now: Timestamp) -> Event {
        let Complaint {
            subject,
            namespace,
            name: about,
            reason,
            action,
            note,
        } = complaint;
        let (version, kind) = match subject {
            Subject::Pod => ("v1", "Pod"),
            Subject::Service => ("v1", "Service"),
            Subject::EndpointSlice => ("discovery.k8s.io/v1", "EndpointSlice"),
            Subject::Vpc => ("meridian.dev/v1alpha1", "Vpc"),
            Subject::Subnet => ("meridian.dev/v1alpha1", "Subnet"),
            Subject::VpcPeering => ("meridian.dev/v1alpha1", "VpcPeering"),
            Subject::NetworkPolicy => ("networking.k8s.io/v1", "NetworkPolicy"),
            Subject::ClusterPolicy(ClusterPolicyKind::ClusterNetworkPolicy) => {
                ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy")
            }
            Subject::ClusterPolicy(ClusterPolicyKind::AdminNetworkPolicy) => {
                ("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy")
            }
            Subject::ClusterPolicy(ClusterPolicyKind::BaselineAdminNetworkPolicy) => {
                ("policy.networking.k8s.io/v1alpha1", "BaselineAdminNetworkPolicy")
            }
        };
        Event {
            metadata: ObjectMeta {
                namespace: Some(place(complaint).to_owned()),
                name: Some(name(complaint, uid.as_deref())),
                ..ObjectMeta::default()
            },
            regarding: Some(ObjectReference {
                api_version: Some(version.into()),
                kind: Some(kind.into()),
                namespace: Some(namespace.clone()).filter(|namespace| !namespace.is_empty()),
                name: Some(about.clone()),
                uid,
                ..ObjectReference::default()
            }),
            type_: Some("Warning".into()),
            reason: Some((*reason).into()),
            action: Some((*action).into()),
            note: Some(note.clone()),
            event_time: Some(MicroTime(now)),
            reporting_controller: Some(CONTROLLER.into()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        }
    }
}

/// The namespace of a complaint's event: the API wants those on objects outside of all namespaces here.
fn place(complaint: &Complaint) -> &str {
    if complaint.namespace.is_empty() {
        return "default";
    }
    &complaint.namespace
}

/// The metadata of what a complaint is about.
async fn metadata(client: &Client, complaint: &Complaint) -> Result<ObjectMeta, Error> {
    let Complaint { namespace, name, .. } = complaint;
    let client = client.clone();
    Ok(match complaint.subject {
        Subject::Pod => {
            Api::<Pod>::namespaced(client, namespace)
                .get_metadata(name)
                .await?
                .metadata
        }
        Subject::Service => {
            let services = Api::<Service>::namespaced(client, namespace);
            services.get_metadata(name).await?.metadata
        }
        Subject::EndpointSlice => {
            let slices = Api::<EndpointSlice>::namespaced(client, namespace);
            slices.get_metadata(name).await?.metadata
        }
        Subject::Vpc => Api::<Vpc>::all(client).get_metadata(name).await?.metadata,
        Subject::Subnet => Api::<Subnet>::all(client).get_metadata(name).await?.metadata,
        Subject::VpcPeering => Api::<VpcPeering>::all(client).get_metadata(name).await?.metadata,
        Subject::NetworkPolicy => {
            let policies = Api::<NetworkPolicy>::namespaced(client, namespace);
            policies.get_metadata(name).await?.metadata
        }
        Subject::ClusterPolicy(ClusterPolicyKind::ClusterNetworkPolicy) => {
            let policies = Api::<ClusterNetworkPolicy>::all(client);
            policies.get_metadata(name).await?.metadata
        }
        Subject::ClusterPolicy(ClusterPolicyKind::AdminNetworkPolicy) => {
            let policies = Api::<AdminNetworkPolicy>::all(client);
            policies.get_metadata(name).await?.metadata
        }
        Subject::ClusterPolicy(ClusterPolicyKind::BaselineAdminNetworkPolicy) => {
            let policies = Api::<BaselineAdminNetworkPolicy>::all(client);
            policies.get_metadata(name).await?.metadata
        }
    })
}

/// Says that an event goes on. Who does not know how often it was told learns it from the answer.
async fn again(events: &Api<Event>, name: &str, count: Option<i32>) -> Result<Told, Error> {
    let patch = async |count: Option<i32>| {
        let mut series = json!({"lastObservedTime": MicroTime(Timestamp::now())});
        if let Some(count) = count {
            series["count"] = json!(count);
        }
        let patch = Patch::Merge(json!({"series": series}));
        events.patch(name, &PatchParams::default(), &patch).await
    };
    let event = match patch(count.map(|count| count.saturating_add(1))).await {
        // A series begins with the second time, and needs a count.
        Err(error) if count.is_none() && is(&error, 422) => patch(Some(2)).await?,
        result => result?,
    };
    Ok(Told {
        event: name.to_owned(),
        count: event.series.map(|series| series.count),
    })
}

/// What `kubectl describe` knows an object by; a pod as the kubelet does.
fn uid_of(metadata: &ObjectMeta) -> Option<String> {
    let annotations = metadata.annotations.as_ref();
    let mirrored = annotations.and_then(|all| all.get(convert::MIRRORED));
    mirrored.or(metadata.uid.as_ref()).cloned()
}

/// A name that nothing else has: `web.0123456789abcdef`.
fn name(complaint: &Complaint, uid: Option<&str>) -> String {
    let said = format!("{}\0{}\0{}", uid.unwrap_or_default(), complaint.reason, complaint.note);
    let (hash, _) = Uuid::new_v5(&NAMES, said.as_bytes()).as_u64_pair();
    let hash = format!(".{hash:016x}");
    // Names of objects are ASCII.
    let about: String = complaint.name.chars().take(NAME - hash.len()).collect();
    format!("{}{hash}", about.trim_end_matches(['.', '-']))
}

fn is(error: &Error, code: u16) -> bool {
    matches!(error, Error::Api(status) if status.code == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(pod: &str, note: &str) -> Complaint {
        Complaint {
            subject: Subject::Pod,
            namespace: "shop".into(),
            name: pod.into(),
            reason: "FailedAddressAllocation",
            action: "AllocateAddress",
            note: note.into(),
        }
    }

    #[test]
    fn events_have_one_name_if_they_say_the_same_of_the_same_pod_and_else_another() {
        let web = complaint("web", "no free address");
        let first = name(&web, Some("u-1"));
        assert_eq!(first, name(&web, Some("u-1")));
        assert_ne!(first, name(&web, Some("u-2")));
        assert_ne!(first, name(&complaint("web", "no node"), Some("u-1")));
        assert!(first.starts_with("web.") && first.len() == 20, "{first}");
    }

    #[test]
    fn the_name_of_an_event_on_a_pod_with_a_long_name_is_a_name_still() {
        let pod = format!("{}-{}", "a".repeat(NAME - 18), "b".repeat(17));
        let name = name(&complaint(&pod, "no free address"), None);
        assert!(name.len() <= NAME && !name.contains("-."), "{name}");
    }

    #[test]
    fn an_event_on_a_mirror_pod_names_the_uid_of_the_static_pod() {
        let mut metadata = ObjectMeta {
            uid: Some("of the mirror".into()),
            ..ObjectMeta::default()
        };
        assert_eq!(uid_of(&metadata).as_deref(), Some("of the mirror"));
        metadata.annotations = Some([(convert::MIRRORED.into(), "of the pod".into())].into());
        assert_eq!(uid_of(&metadata).as_deref(), Some("of the pod"));
    }

    #[test]
    fn a_namespace_that_is_going_takes_no_events_and_is_no_lack_of_rights() {
        let refused = |message: &str| {
            let status = kube::core::Status::failure(message, "Forbidden").with_code(403);
            Refusal::from(Error::Api(Box::new(status)))
        };
        let going = "unable to create new content in namespace shop because it is being terminated";
        assert!(matches!(refused(going), Refusal::Moot));
        let denied = refused("events.events.k8s.io is forbidden: User \"x\" cannot create resource \"events\"");
        assert!(denied.to_string().contains("create and patch of events"), "{denied}");
    }
}
