//! What one file of manifests says.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use meridian_model::{Key, Object};

use super::document::{self, Place};
use crate::problems::Problem;
use crate::source::convert;

/// What one file of manifests says. Objects are slim already; nothing of the text stays.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The objects that could be read.
    pub(super) objects: BTreeMap<Key, Object>,
    /// What could not be read, or not be used.
    pub(super) problems: Vec<Problem>,
    /// Whether something in the file could not be read, so that what is missing from `objects`
    /// need not be gone.
    pub(super) incomplete: bool,
    /// Objects of kinds that Meridian does not use.
    pub(super) ignored: usize,
}

impl Contents {
    /// Reads a file; one that is not there is empty. `shown` is the path that messages name.
    pub(super) fn read(path: &Path, shown: &Path) -> Self {
        let mut contents = Self::default();
        let mut places = BTreeMap::new();
        let mut each = |place, value| contents.take(shown, place, &mut places, convert::from_value(value));
        let error: Option<String> = if path.extension().is_some_and(|extension| extension == "json") {
            match File::open(path) {
                Ok(file) => document::read_json(file, &mut each).err().map(|e| e.to_string()),
                Err(e) => message_of(&e),
            }
        } else {
            match std::fs::read_to_string(path) {
                Ok(text) => document::read_yaml(&text, &mut each).err().map(|e| e.to_string()),
                Err(e) => message_of(&e),
            }
        };
        if let Some(error) = error {
            contents.problems.push(Problem {
                object: format!("file/{}", shown.display()),
                field: None,
                reason: None,
                message: format!("{error}; the last objects read from it stay as they were"),
                place: None,
            });
            contents.incomplete = true;
        }
        contents
    }

    fn take(
        &mut self,
        shown: &Path,
        place: Place,
        places: &mut BTreeMap<Key, Place>,
        result: Result<Option<Object>, convert::InvalidObject>,
    ) {
        match result {
            Ok(None) => self.ignored += 1,
            Ok(Some(object)) => {
                let key = object.key();
                if let Some(first) = places.get(&key) {
                    self.problems.push(Problem {
                        object: key.to_string(),
                        field: None,
                        reason: None,
                        message: format!(
                            "defined twice, in {0}: {first} and in {0}: {place}; the first counts",
                            shown.display()
                        ),
                        place: None,
                    });
                } else {
                    places.insert(key.clone(), place);
                    self.objects.insert(key, object);
                }
            }
            Err(error) => {
                self.incomplete = true;
                self.problems.push(Problem {
                    object: error.object,
                    field: Some(error.field),
                    reason: None,
                    message: error.message,
                    place: Some(format!("{}: {place}", shown.display())),
                });
            }
        }
    }
}

/// A file that is not there is no error: it is empty.
fn message_of(error: &io::Error) -> Option<String> {
    (error.kind() != io::ErrorKind::NotFound).then(|| error.to_string())
}
