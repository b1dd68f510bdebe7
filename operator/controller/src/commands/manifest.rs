//! Manifests from files, folders or standard input, as kubectl reads them.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use milvus_crds::MilvusCluster;
use serde_json::{Number, Value};

use super::output::say;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("read {file}")]
    Read {
        file: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{file}: not readable as YAML: {problem}")]
    Yaml { file: String, problem: String },
    #[error("{file}: document {number} is no object; a manifest has apiVersion, kind and metadata")]
    NoObject { file: String, number: usize },
    #[error("{folder}: no file with the ending .yaml, .yml or .json")]
    Empty { folder: String },
    #[error("{file}: MilvusCluster/{name}: {problem}")]
    Type {
        file: String,
        name: String,
        problem: String,
    },
    #[error("no MilvusCluster in {files}")]
    Nothing { files: String },
}

/// One document with where it came from.
pub(crate) struct Document {
    /// File name, `-` for standard input.
    pub file: String,
    /// Content.
    pub value: Value,
}

impl Document {
    fn text(&self, pointer: &str) -> String {
        self.value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    }

    /// `metadata.name`.
    pub(crate) fn name(&self) -> String {
        self.text("/metadata/name")
    }

    /// `metadata.namespace`, with the default filled in.
    pub(crate) fn namespace(&self) -> String {
        let namespace = self.text("/metadata/namespace");
        if namespace.is_empty() {
            "default".to_owned()
        } else {
            namespace
        }
    }

    /// `kind`.
    pub(crate) fn kind(&self) -> String {
        self.text("/kind")
    }

    /// `apiVersion`.
    pub(crate) fn api_version(&self) -> String {
        self.text("/apiVersion")
    }

    /// File, kind and name, for messages.
    pub(crate) fn who(&self) -> String {
        format!("{}: {}/{}", self.file, self.kind(), self.name())
    }

    /// Whether it is the resource of this operator, in the version that is served.
    pub(crate) fn is_ours(&self) -> bool {
        let api = format!("{}/{}", milvus_crds::GROUP, milvus_crds::VERSION);
        self.kind() == milvus_crds::KIND && self.api_version() == api
    }

    /// What is wrong with a document whose kind is not ours: one that names none, or that means ours. Others are
    /// judged by their own operators.
    pub(crate) fn kind_problem(&self) -> Option<String> {
        let (kind, version) = (self.kind(), self.api_version());
        let group = version.split_once('/').map_or("", |(group, _)| group);
        if kind.is_empty() {
            Some("kind: required".to_owned())
        } else if version.is_empty() {
            Some("apiVersion: required".to_owned())
        } else if group == milvus_crds::GROUP {
            Some(format!(
                "kind: there is no {kind} of {version}; write {} of {}/{}",
                milvus_crds::KIND,
                milvus_crds::GROUP,
                milvus_crds::VERSION
            ))
        } else if group == milvus_core::convert::GROUP {
            Some(format!(
                "kind: {kind} of {version} is a resource of milvus-operator; turn it into one of this operator with: milvus-operator convert -f FILE"
            ))
        } else {
            None
        }
    }
}

/// All documents of files and folders; empty ones are passed over.
pub(crate) fn documents(
    files: &[PathBuf],
    recursive: bool,
) -> Result<Vec<Document>, ManifestError> {
    let mut documents = Vec::new();
    for path in files {
        for path in expand(path, recursive)? {
            read_one(&path, &mut documents)?;
        }
    }
    Ok(documents)
}

/// A folder's manifests in the order of their names, or the file itself.
fn expand(path: &Path, recursive: bool) -> Result<Vec<PathBuf>, ManifestError> {
    if path.as_os_str() == "-" || !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = BTreeSet::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |source| ManifestError::Read {
            file: folder.display().to_string(),
            source,
        };
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            // A link to a folder is not followed: it may lead back.
            if entry.file_type().map_err(failed)?.is_dir() {
                if recursive {
                    folders.push(path);
                }
            } else if path
                .extension()
                .is_some_and(|e| e == "yaml" || e == "yml" || e == "json")
            {
                found.insert(path);
            }
        }
    }
    if found.is_empty() {
        return Err(ManifestError::Empty {
            folder: path.display().to_string(),
        });
    }
    Ok(found.into_iter().collect())
}

fn read_one(path: &Path, documents: &mut Vec<Document>) -> Result<(), ManifestError> {
    let file = path.display().to_string();
    let text = load(path).map_err(|source| ManifestError::Read {
        file: file.clone(),
        source,
    })?;
    let values = parse(&text).map_err(|problem| ManifestError::Yaml {
        file: file.clone(),
        problem,
    })?;
    for (index, value) in values.into_iter().enumerate() {
        match value {
            Value::Null => {}
            Value::Object(_) => flatten(&file, value, index + 1, documents)?,
            _ => {
                return Err(ManifestError::NoObject {
                    file,
                    number: index + 1,
                });
            }
        }
    }
    Ok(())
}

/// The items of a list each for itself, lists of one kind (`MilvusClusterList`) included.
fn flatten(
    file: &str,
    mut value: Value,
    number: usize,
    documents: &mut Vec<Document>,
) -> Result<(), ManifestError> {
    let kind = value.get("kind").and_then(Value::as_str);
    let list = kind.is_some_and(|kind| kind.ends_with("List"));
    match value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if list => {
            for item in items {
                if !item.is_object() {
                    let file = file.to_owned();
                    return Err(ManifestError::NoObject { file, number });
                }
                flatten(file, item, number, documents)?;
            }
        }
        items => {
            if let (Some(items), Some(fields)) = (items, value.as_object_mut()) {
                fields.insert("items".to_owned(), items);
            }
            documents.push(Document {
                file: file.to_owned(),
                value,
            });
        }
    }
    Ok(())
}

/// The documents of a text. Numbers are those that kubectl reads: 010 is eight, and 1.0 is one.
fn parse(text: &str) -> Result<Vec<Value>, String> {
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        with_snippet: false,
    };
    let values = serde_saphyr::from_multiple_with_options(text, options);
    let mut values: Vec<Value> = values.map_err(|error| {
        let problem = error
            .without_snippet()
            .render_with_formatter(&serde_saphyr::UserMessageFormatter);
        problem.lines().next().unwrap_or_default().to_owned()
    })?;
    values.iter_mut().for_each(whole_numbers);
    Ok(values)
}

/// A number without a fraction is a whole one, however it was written.
fn whole_numbers(value: &mut Value) {
    /// Up to here every whole number has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) if number.is_f64() => {
            let whole = number
                .as_f64()
                .filter(|f| f.fract() == 0.0 && f.abs() <= EXACT);
            // Its text has no fraction then.
            if let Some(whole) = whole.and_then(|f| format!("{f:.0}").parse::<i64>().ok()) {
                *number = Number::from(whole);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        _ => {}
    }
}

/// What a resource's type says to a value that does not fit, as one line without advice for programmers.
pub(crate) fn type_problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // The value has no lines, so a position says nothing.
    match text.split_once(" at line ") {
        Some((problem, _)) => problem.to_owned(),
        None => text,
    }
}

/// All resources of the files. Documents of other kinds are passed over, with one line each.
pub(crate) fn read(
    files: &[PathBuf],
    recursive: bool,
) -> Result<Vec<(Document, MilvusCluster)>, ManifestError> {
    let mut resources = Vec::new();
    for document in documents(files, recursive)? {
        if !document.is_ours() {
            if let Some(problem) = document.kind_problem() {
                return Err(ManifestError::Type {
                    name: document.name(),
                    file: document.file,
                    problem,
                });
            }
            say(passed_over(&document));
            continue;
        }
        let resource = serde_json::from_value(document.value.clone()).map_err(|source| {
            ManifestError::Type {
                file: document.file.clone(),
                name: document.name(),
                problem: type_problem(&source),
            }
        })?;
        resources.push((document, resource));
    }
    if resources.is_empty() {
        return Err(nothing(files));
    }
    Ok(resources)
}

/// The line about a document of another kind.
pub(crate) fn passed_over(document: &Document) -> String {
    format!(
        "{}: passed over: {} of {} is not this operator's",
        document.who(),
        document.kind(),
        document.api_version()
    )
}

/// That there is no resource in these.
pub(crate) fn nothing(files: &[PathBuf]) -> ManifestError {
    let files: Vec<_> = files.iter().map(|f| f.display().to_string()).collect();
    ManifestError::Nothing {
        files: files.join(", "),
    }
}

fn load(path: &Path) -> std::io::Result<String> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) {
        std::fs::write(folder.join(name), text).expect("write");
    }

    fn names(documents: &[Document]) -> Vec<String> {
        documents.iter().map(Document::name).collect()
    }

    #[test]
    fn folders_are_read_in_order_and_deep_when_asked() {
        let root = tempfile::tempdir().expect("tempdir");
        let root = root.path();
        std::fs::create_dir_all(root.join("a/deep")).expect("folders");
        write(
            root,
            "b.yml",
            "kind: A\nmetadata: {name: b}\n---\n---\nkind: B\nmetadata: {name: c}\n",
        );
        write(
            root,
            "a.json",
            r#"{"kind": "A", "metadata": {"name": "a"}}"#,
        );
        write(root, "notes.txt", "none: [");
        write(
            &root.join("a/deep"),
            "d.yaml",
            "kind: A\nmetadata: {name: d}\n",
        );
        let folder = [root.to_owned()];
        assert_eq!(
            names(&documents(&folder, false).expect("read")),
            ["a", "b", "c"]
        );
        assert_eq!(
            names(&documents(&folder, true).expect("read")),
            ["d", "a", "b", "c"]
        );
        let empty = documents(&[root.join("a")], false).err().expect("nothing");
        assert!(empty.to_string().contains(".yaml"), "{empty}");
    }

    #[test]
    fn lists_are_their_items() {
        let root = tempfile::tempdir().expect("tempdir");
        write(
            root.path(),
            "list.json",
            r#"{"apiVersion": "v1", "kind": "List", "items": [{"kind": "A", "metadata": {"name": "a"}},
                {"kind": "MilvusClusterList", "items": [{"kind": "B", "metadata": {"name": "b"}}]}]}"#,
        );
        let documents = documents(&[root.path().to_owned()], false).expect("read");
        assert_eq!(names(&documents), ["a", "b"]);
    }

    #[test]
    fn numbers_are_those_of_kubectl() {
        let values = parse("a: 1.0\nb: 010\nc: 1e3\nd: 1.5\ne: '010'\nf: 0x1F\n").expect("numbers");
        let expected =
            serde_json::json!({"a": 1, "b": 8, "c": 1000, "d": 1.5, "e": "010", "f": 31});
        assert_eq!(values, [expected]);
    }

    #[test]
    fn what_is_wrong_is_one_line_about_the_text() {
        for wrong in ["a: 1\na: 2\n", "a: [\n", "a: \"\n", "a: *x\n", "a: b: c\n"] {
            let problem = parse(wrong).expect_err(wrong);
            assert!(!problem.is_empty() && !problem.contains('\n'), "{problem}");
            for word in ["Options", "Policy", "serde", "saphyr", "deserialize", "::"] {
                assert!(!problem.contains(word), "{wrong:?}: {problem}");
            }
        }
        let root = tempfile::tempdir().expect("tempdir");
        write(root.path(), "text.yaml", "only text\n");
        let error = documents(&[root.path().to_owned()], false)
            .err()
            .expect("no object");
        assert!(
            error.to_string().ends_with("apiVersion, kind and metadata"),
            "{error}"
        );
    }
}
