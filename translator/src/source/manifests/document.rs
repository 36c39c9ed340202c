//! A file of manifests as a stream of JSON-like values, one per object.
//!
//! The items of a `List` are handed on one by one while the list is still being read, so that a
//! dump of a whole cluster is never in memory as a tree. Must not: know any Kubernetes kind but
//! `List`.

use std::fmt;
use std::io;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Where an object stands in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    /// Document in the file, from 1.
    pub(super) document: usize,
    /// Item in the document's `List`, from 1.
    pub(super) item: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "document {}", self.document)?;
        match self.item {
            Some(item) => write!(f, ", item {item}"),
            None => Ok(()),
        }
    }
}

/// A document that is not well-formed, or no object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("document {document}: {message}")]
pub(super) struct SyntaxError {
    /// Document in the file, from 1.
    pub(super) document: usize,
    /// What is wrong, with line and column.
    pub(super) message: String,
}

/// Reads JSON documents; `each` gets every object. Nothing but the object at hand is in memory: dumps of whole clusters
/// are JSON.
pub(super) fn read_json(reader: impl io::Read, each: &mut dyn FnMut(Place, Value)) -> Result<(), SyntaxError> {
    let mut deserializer = serde_json::Deserializer::from_reader(io::BufReader::with_capacity(BUFFER, reader));
    let mut document = 0;
    loop {
        // `end` skips whitespace and succeeds only at the end of the text.
        if deserializer.end().is_ok() {
            return Ok(());
        }
        document += 1;
        Document { document, each }
            .deserialize(&mut deserializer)
            .map_err(|e| SyntaxError {
                document,
                message: e.to_string(),
            })?;
    }
}

const BUFFER: usize = 64 * 1024;

/// Reads YAML documents; `each` gets every object.
pub(super) fn read_yaml(text: &str, each: &mut dyn FnMut(Place, Value)) -> Result<(), SyntaxError> {
    for (index, piece) in split_documents(text).enumerate() {
        let document = index + 1;
        if is_blank(piece.text) {
            continue;
        }
        serde_saphyr::with_deserializer_from_str_with_options(piece.text, options(), |de| {
            Document { document, each }.deserialize(de)
        })
        .map_err(|e| SyntaxError {
            document,
            message: located(&e, piece.line),
        })?;
    }
    Ok(())
}

/// The folder is the operator's own, and a dump of a large cluster outgrows any budget meant for
/// hostile input; only the guards against alias bombs stay.
fn options() -> serde_saphyr::Options {
    let mut options = serde_saphyr::Options::default();
    options.budget = None;
    options.with_snippet = false;
    // YAML 1.2: a node named `n` or `on` has a name and not a truth value.
    options.strict_booleans = true;
    options
}

/// The parser counts lines within the document; people count them within the file.
fn located(error: &serde_saphyr::Error, first_line: usize) -> String {
    let text = error.to_string();
    let Some(location) = error.location() else {
        return text;
    };
    let within = format!("line {}", location.line());
    let whole = format!(
        "line {}",
        usize::try_from(location.line()).map_or(first_line, |line| line + first_line - 1)
    );
    text.replacen(&within, &whole, 1)
}

struct Piece<'a> {
    text: &'a str,
    /// Line of the file it begins on, from 1.
    line: usize,
}

/// Splits at lines that begin with the document marker `---`. A marker cannot stand at the
/// beginning of a line inside a scalar (YAML 1.2, 9.1.2), so this is exact.
fn split_documents(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = Some(text);
    let mut line = 1;
    let mut first = true;
    std::iter::from_fn(move || {
        loop {
            let current = rest?;
            let end = next_marker(current);
            let (piece, remaining) = match end {
                Some(at) => (&current[..at], Some(&current[at..])),
                None => (current, None),
            };
            let begins = line;
            line += piece.matches('\n').count();
            rest = remaining;
            // What stands before the first marker is a document only if there is something.
            if std::mem::take(&mut first) && remaining.is_some() && is_blank(piece) {
                continue;
            }
            return Some(Piece {
                text: piece,
                line: begins,
            });
        }
    })
}

/// Offset of the next line that begins with a marker, not counting one at the very beginning.
fn next_marker(text: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = text[from..].find("\n---") {
        let marker = from + at + 1;
        let after = text[marker + 3..].chars().next();
        if after.is_none_or(char::is_whitespace) {
            return Some(marker);
        }
        from = marker;
    }
    None
}

/// Nothing but comments, directives and markers.
fn is_blank(text: &str) -> bool {
    text.lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "---" || line == "..."
    })
}

/// One document.
struct Document<'a> {
    document: usize,
    each: &'a mut dyn FnMut(Place, Value),
}

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Kubernetes object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { document, each } = self;
        let mut object = Map::new();
        let mut is_list = false;
        while let Some(name) = map.next_key::<String>()? {
            if name == "items" && object.get("kind").is_none_or(names_a_list) {
                is_list |= map.next_value_seed(Items {
                    document,
                    each: &mut *each,
                })?;
            } else {
                object.insert(name, map.next_value()?);
            }
        }
        is_list |= object.get("kind").is_some_and(names_a_list);
        if !is_list {
            each(Place { document, item: None }, Value::Object(object));
        }
        Ok(())
    }
}

fn names_a_list(kind: &Value) -> bool {
    kind.as_str().is_some_and(|kind| kind.ends_with("List"))
}

/// The `items` of a list; true if there was a sequence.
struct Items<'a> {
    document: usize,
    each: &'a mut dyn FnMut(Place, Value),
}

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the items of a List")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        let Self { document, each } = self;
        let mut item = 0;
        while let Some(value) = items.next_element::<Value>()? {
            item += 1;
            each(
                Place {
                    document,
                    item: Some(item),
                },
                value,
            );
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str, json: bool) -> Vec<String> {
        let mut found = Vec::new();
        let mut each = |place: Place, value: Value| {
            let name = value["metadata"]["name"].as_str().unwrap_or("?").to_owned();
            found.push(format!("{place}: {name}"));
        };
        if json {
            read_json(text.as_bytes(), &mut each).unwrap();
        } else {
            read_yaml(text, &mut each).unwrap();
        }
        found
    }

    #[test]
    fn documents_are_counted_from_one() {
        let text = "# a file\n---\nmetadata: {name: a}\n---\n# nothing\n---\nmetadata:\n  name: b\n";
        assert_eq!(names(text, false), ["document 1: a", "document 3: b"]);
    }

    #[test]
    fn a_list_yields_its_items_whether_kind_comes_first_or_last() {
        let first = "kind: List\nitems:\n- metadata: {name: a}\n- metadata: {name: b}\n";
        let last = r#"{"items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}],"kind":"List"}"#;
        let expected = ["document 1, item 1: a", "document 1, item 2: b"];
        assert_eq!(names(first, false), expected);
        assert_eq!(names(last, true), expected);
    }

    #[test]
    fn several_json_documents_may_follow_each_other() {
        let text = "{\"metadata\":{\"name\":\"a\"}}\n{\"metadata\":{\"name\":\"b\"}}\n";
        assert_eq!(names(text, true), ["document 1: a", "document 2: b"]);
    }

    #[test]
    fn a_syntax_error_names_document_and_line_of_the_file() {
        let text = "metadata: {name: a}\n---\nmetadata:\n  name: [\n";
        let error = read_yaml(text, &mut |_, _| {}).unwrap_err();
        assert_eq!(error.document, 2);
        assert!(error.message.contains("line "), "{error}");
        assert!(!error.message.contains("line 1"), "{error}");
    }

    #[test]
    fn a_scalar_is_no_object() {
        let error = read_yaml("just text\n", &mut |_, _| {}).unwrap_err();
        assert!(error.message.contains("a Kubernetes object"), "{error}");
    }

    #[test]
    fn json_is_also_yaml() {
        assert_eq!(names(r#"{"metadata":{"name":"a"}}"#, false), ["document 1: a"]);
    }

    #[test]
    fn dashes_inside_a_block_scalar_do_not_split_it() {
        let text = "metadata:\n  name: a\ndata: |\n  ---\n  x\n";
        assert_eq!(names(text, false), ["document 1: a"]);
    }

    #[test]
    fn an_empty_file_holds_nothing() {
        assert!(names("", false).is_empty());
        assert!(names("", true).is_empty());
        assert!(names("---\n", false).is_empty());
    }
}
