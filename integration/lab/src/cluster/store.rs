//! The objects of a lab in files, one each. What the translator reads lies in `cluster/`; kinds
//! that only the lab's controllers read lie in `workloads/`. A file is always whole: it is written
//! elsewhere and renamed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use uuid::Uuid;

use super::object::{Key, Object};
use crate::error::{Error, Result};

/// Kinds that the lab's own controllers turn into pods.
pub const WORKLOADS: &[&str] = &["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"];

/// What became of an applied object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is new.
    Created,
    /// It was there and differs.
    Configured,
    /// It was there as it is.
    Unchanged,
}

/// The files of one lab.
#[derive(Clone, Debug)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// The store of the lab in `dir`.
    pub fn of(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Puts an object as a user writes it: UID, creation time and status are the store's.
    pub fn apply(&self, mut object: Object) -> Result<Applied> {
        let Some(old) = self.get(&object.key())? else {
            self.create(&mut object)?;
            return Ok(Applied::Created);
        };
        for kept in ["uid", "creationTimestamp", "ownerReferences"] {
            let value = &old.0["metadata"][kept];
            if !value.is_null() {
                object.0["metadata"][kept] = value.clone();
            }
        }
        if object.0["status"].is_null() && !old.0["status"].is_null() {
            object.0["status"] = old.0["status"].clone();
        }
        // A pod stays where the scheduler put it.
        if object.kind() == "Pod" && object.0["spec"]["nodeName"].is_null() && old.0["spec"]["nodeName"].is_string() {
            object.0["spec"]["nodeName"] = old.0["spec"]["nodeName"].clone();
        }
        if object == old {
            return Ok(Applied::Unchanged);
        }
        self.put(&object)?;
        Ok(Applied::Configured)
    }

    /// Puts a new object with an identity of its own.
    pub fn create(&self, object: &mut Object) -> Result<()> {
        let metadata = &mut object.0["metadata"];
        metadata["uid"] = json!(Uuid::new_v4().to_string());
        metadata["creationTimestamp"] = json!(now());
        self.put(object)
    }

    /// Puts an object a controller made; one that is there keeps its identity.
    pub fn create_or_replace(&self, object: &mut Object) -> Result<()> {
        match self.get(&object.key())? {
            None => self.create(object),
            Some(_) => self.apply(object.clone()).map(drop),
        }
    }

    /// Writes an object as it is.
    pub fn put(&self, object: &Object) -> Result<()> {
        let path = self.path(&object.key());
        let name = path.file_name().expect("the store's files have names");
        let new = self.dir.join("tmp").join(name);
        let text = serde_json::to_vec_pretty(&object.0).expect("JSON of JSON");
        fs::write(&new, text).map_err(Error::file("write", &new))?;
        fs::rename(&new, &path).map_err(Error::file("replace", &path))
    }

    /// An object, if it is there.
    pub fn get(&self, key: &Key) -> Result<Option<Object>> {
        read(&self.path(key))
    }

    /// Forgets an object; one that is gone is fine.
    pub fn remove(&self, key: &Key) -> Result<()> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", &path)(e)),
            _ => Ok(()),
        }
    }

    /// All objects of a kind, by namespace and name.
    pub fn list(&self, kind: &str) -> Result<Vec<Object>> {
        let mut objects = self.all()?;
        objects.retain(|o| o.kind() == kind);
        Ok(objects)
    }

    /// All objects, by kind, namespace and name.
    pub fn all(&self) -> Result<Vec<Object>> {
        let mut objects = Vec::new();
        for sub in ["cluster", "workloads"] {
            let dir = self.dir.join(sub);
            for entry in fs::read_dir(&dir).map_err(Error::file("list", &dir))? {
                let path = entry.map_err(Error::file("list", &dir))?.path();
                if path.extension().is_some_and(|e| e == "json") {
                    objects.extend(read(&path)?);
                }
            }
        }
        objects.sort_by_key(Object::key);
        Ok(objects)
    }

    fn path(&self, key: &Key) -> PathBuf {
        let sub = if WORKLOADS.contains(&key.kind.as_str()) {
            "workloads"
        } else {
            "cluster"
        };
        // No name holds '_', so that these three parts are never ambiguous.
        let file = format!("{}_{}_{}.json", key.kind.to_lowercase(), key.namespace, key.name);
        self.dir.join(sub).join(file)
    }
}

fn read(path: &Path) -> Result<Option<Object>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::file("read", path)(e)),
    };
    let value: Value = serde_json::from_slice(&text).map_err(|e| Error::Malformed {
        path: path.to_owned(),
        reason: e.to_string(),
    })?;
    Object::from_value(value).map(Some)
}

/// The time as Kubernetes writes it (`2024-05-01T12:00:00Z`).
pub fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    rfc3339(seconds)
}

/// Days to a date after Howard Hinnant's `civil_from_days`, for years from 1970.
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468; // days from 0000-03-01 to 1970-01-01
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + carry;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["cluster", "workloads", "tmp"] {
            fs::create_dir(dir.path().join(sub)).unwrap();
        }
        let store = Store::of(dir.path());
        (dir, store)
    }

    fn pod(image: &str) -> Object {
        Object::from_value(json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a"}, "spec": {"image": image}}))
        .unwrap()
    }

    #[test]
    fn times_are_written_as_kubernetes_writes_them() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(rfc3339(1_735_689_599), "2024-12-31T23:59:59Z");
    }

    #[test]
    fn applying_keeps_the_identity_and_tells_a_change() {
        let (_dir, store) = store();
        assert_eq!(store.apply(pod("1")).unwrap(), Applied::Created);
        let uid = store.get(&pod("1").key()).unwrap().unwrap().uid().to_owned();
        assert_eq!(store.apply(pod("1")).unwrap(), Applied::Unchanged);
        assert_eq!(store.apply(pod("2")).unwrap(), Applied::Configured);
        assert_eq!(store.get(&pod("1").key()).unwrap().unwrap().uid(), uid);
    }

    #[test]
    fn workloads_are_not_shown_to_the_translator() {
        let (dir, store) = store();
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web"}});
        store.apply(Object::from_value(deployment).unwrap()).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("cluster")).unwrap().count(), 0);
        assert_eq!(store.list("Deployment").unwrap().len(), 1);
    }
}
