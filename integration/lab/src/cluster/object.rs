//! Kubernetes objects as the lab needs them: JSON with a few typed ways in.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use crate::error::{Error, Result};

/// A Kubernetes object, any kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Object(pub Value);

/// Which object: kind, namespace (empty for kinds without) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// `Pod`
    pub kind: String,
    /// Empty for objects of the whole cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Kinds that live in no namespace, of those a lab is likely to see.
const CLUSTER_WIDE: &[&str] = &[
    "Node",
    "Namespace",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "AdminNetworkPolicy",
    "BaselineAdminNetworkPolicy",
    "ClusterNetworkPolicy",
    "Vpc",
    "VpcPeering",
    "Subnet",
    "PriorityClass",
    "StorageClass",
    "IngressClass",
    "GatewayClass",
    "ServiceCIDR",
    "AddressPool",
];

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.to_lowercase();
        if self.namespace.is_empty() {
            write!(f, "{kind}/{}", self.name)
        } else {
            write!(f, "{kind}/{} in {}", self.name, self.namespace)
        }
    }
}

impl Key {
    /// A key of an object in a namespace.
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

impl Object {
    /// Checks what every object must have and puts it into the namespace `default` if it names none.
    pub fn from_value(mut value: Value) -> Result<Self> {
        let missing = |what: &str| Error::Object {
            object: value.to_string().chars().take(80).collect(),
            reason: format!("has no {what}"),
        };
        let kind = value["kind"].as_str().ok_or_else(|| missing("kind"))?;
        if value["apiVersion"].as_str().is_none() {
            return Err(missing("apiVersion"));
        }
        let name = value["metadata"]["name"]
            .as_str()
            .ok_or_else(|| missing("metadata.name"))?;
        // Names become parts of file names and of namespaces' names.
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        if name.is_empty() || !name.chars().all(legal) {
            return Err(Error::Object {
                object: format!("{kind} {name:?}"),
                reason: "is no valid name: lower case letters, digits, '-' and '.'".into(),
            });
        }
        if !CLUSTER_WIDE.contains(&kind) && value["metadata"]["namespace"].as_str().is_none() {
            value["metadata"]["namespace"] = json!("default");
        }
        Ok(Self(value))
    }

    /// `Pod`, `Deployment`, ...
    pub fn kind(&self) -> &str {
        self.0["kind"].as_str().unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// Its namespace, empty where it has none.
    pub fn namespace(&self) -> &str {
        self.0["metadata"]["namespace"].as_str().unwrap_or_default()
    }

    /// Its UID, empty before it was stored.
    pub fn uid(&self) -> &str {
        self.0["metadata"]["uid"].as_str().unwrap_or_default()
    }

    /// Which object it is.
    pub fn key(&self) -> Key {
        Key::new(self.kind(), self.namespace(), self.name())
    }

    /// Its labels.
    pub fn labels(&self) -> BTreeMap<String, String> {
        strings(&self.0["metadata"]["labels"])
    }

    /// The UID of the controller it belongs to.
    pub fn controller(&self) -> Option<&str> {
        self.0["metadata"]["ownerReferences"]
            .as_array()?
            .iter()
            .find(|owner| owner["controller"].as_bool() == Some(true))?["uid"]
            .as_str()
    }

    /// Whether somebody asked for its end.
    pub fn deleting(&self) -> bool {
        !self.0["metadata"]["deletionTimestamp"].is_null()
    }
}

/// A JSON object of strings as a map; anything else is empty.
pub fn strings(value: &Value) -> BTreeMap<String, String> {
    value
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())))
        .collect()
}

/// Reads manifests: YAML of one or more documents, or JSON; a `List` gives its items.
pub fn parse(text: &str) -> Result<Vec<Object>, String> {
    documents(text)?
        .into_iter()
        .map(|value| Object::from_value(value).map_err(|e| e.to_string()))
        .collect()
}

/// The same, as they are written.
pub fn documents(text: &str) -> Result<Vec<Value>, String> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|e| e.to_string())?;
    let mut objects = Vec::new();
    for document in documents {
        match document {
            Value::Null => {}
            Value::Object(mut list) if list.get("kind").and_then(Value::as_str) == Some("List") => {
                if let Some(Value::Array(items)) = list.remove("items") {
                    objects.extend(items);
                }
            }
            object => objects.push(object),
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_a_file_become_objects_in_the_default_namespace() {
        let objects = parse(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\n---\n\
             apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n",
        )
        .unwrap();
        let keys: Vec<_> = objects.iter().map(|o| o.key().to_string()).collect();
        assert_eq!(keys, ["pod/a in default", "namespace/shop"]);
    }

    #[test]
    fn a_list_gives_its_items() {
        let text = r#"{"apiVersion":"v1","kind":"List","items":[
            {"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"x"}}]}"#;
        assert_eq!(parse(text).unwrap()[0].key(), Key::new("Pod", "x", "a"));
    }

    #[test]
    fn a_name_that_could_leave_the_folder_is_refused() {
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: ../a}\n";
        assert!(parse(text).unwrap_err().contains("no valid name"));
    }
}
