//! [`InFull`]: an object with everything it has, or why it cannot be read.

use std::fmt;

use kube::Resource;
use kube::core::object::HasStatus;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::source::kubernetes::Seen;

/// An object of ours.
#[derive(Clone, Debug)]
pub(crate) struct InFull<K> {
    version: String,
    pub(crate) name: String,
    pub(crate) object: Result<K, String>,
}

impl<'de, K> Deserialize<'de> for InFull<K>
where
    K: DeserializeOwned + HasStatus,
    K::Status: DeserializeOwned,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut object = Value::deserialize(deserializer)?;
        let text = |path: &str| {
            object
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (version, name) = (text("/metadata/resourceVersion"), text("/metadata/name"));
        // What somebody wrote into the status is written anew.
        if let Some(object) = object.as_object_mut()
            && let Some(status) = object.get("status")
            && serde_json::from_value::<Option<K::Status>>(status.clone()).is_err()
        {
            object.remove("status");
        }
        let object = serde_path_to_error::deserialize(object);
        let object = object.map_err(|error| format!("{}: {}", error.path(), error.inner()));
        Ok(Self { version, name, object })
    }
}

impl<K> Seen for InFull<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + HasStatus + Clone + fmt::Debug + Send + 'static,
    K::Status: DeserializeOwned,
{
    type Kind = K;

    fn version(&self) -> Option<&str> {
        Some(&self.version)
    }

    fn is(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

#[cfg(test)]
mod tests {
    use meridian_api::vpc::Vpc;
    use serde_json::json;

    use super::*;

    fn seen(spec: &Value, status: &Value) -> InFull<Vpc> {
        let metadata = json!({"name": "blue", "resourceVersion": "7"});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap()
    }

    #[test]
    fn a_status_that_cannot_be_read_is_left_out_and_anything_else_is_the_objects_fault() {
        let network = || json!({"podNetwork": {"cidrs": ["10.8.0.0/16"]}});
        let written = seen(&network(), &json!({"pods": 3})).object.unwrap();
        assert_eq!(written.status.unwrap().pods, 3);
        assert_eq!(seen(&network(), &json!({"pods": "many"})).object.unwrap().status, None);
        let bad = seen(&json!({"podNetwork": {"cidrs": 7}}), &Value::Null);
        assert_eq!((&*bad.name, bad.version()), ("blue", Some("7")));
        let error = bad.object.unwrap_err();
        assert!(error.starts_with("spec.podNetwork.cidrs: "), "{error}");
    }
}
