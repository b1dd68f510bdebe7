//! What exists: the command line, the fields of the resource, make targets, annotations, files. Reads the Makefile and the
//! sources of this repository once.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use serde_json::Value;

use crate::cli::Cli;

/// Flags of other programs that the documents name by themselves.
const OF_OTHER_PROGRAMS: [&str; 2] = ["cascade", "initial-cluster-token"];
/// Folders of the repository: what begins with one of them is a file of ours.
const FOLDERS: [&str; 6] = [
    "charts/",
    "crds/",
    "deploy/",
    "docs/",
    "operator/",
    "tests/",
];
const GROUP: &str = "operator.milvus.io/";

pub(super) struct Names {
    repository: PathBuf,
    cli: Command,
    /// Schemas of `spec` and `status`.
    schema: Value,
    targets: BTreeSet<String>,
    annotations: BTreeSet<String>,
}

impl Names {
    /// Those of this repository.
    pub(super) fn of(repository: &Path) -> Self {
        let definition: Value = serde_json::from_str(milvus_crds::CRD_JSON).expect("JSON");
        let makefile = fs::read_to_string(repository.join("Makefile")).expect("the Makefile");
        let mut cli = Cli::command();
        cli.build();
        let mut annotations = BTreeSet::from([milvus_crds::VERSION.to_owned()]);
        sources(&repository.join("operator"), &mut |text| {
            annotations.extend(in_group(text));
        });
        Self {
            repository: repository.to_owned(),
            cli,
            schema: definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone(),
            targets: makefile
                .lines()
                .filter_map(|line| line.strip_prefix(".PHONY: "))
                .map(str::to_owned)
                .collect(),
            annotations,
        }
    }

    /// Subcommands, flags and make targets of a command line that do not exist.
    pub(super) fn unknown_in_command(&self, line: &str) -> Vec<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut begins = true;
        let mut all = Vec::new();
        for (index, word) in words.iter().enumerate() {
            let rest = words.get(index + 1..).unwrap_or_default();
            let program = word.rsplit('/').next().unwrap_or_default();
            if program == "milvus-operator" && (begins || word.starts_with('/')) {
                all.extend(unknown_argument(&self.cli, rest));
            } else if begins && *word == "make" {
                let target = rest.iter().find(|word| !word.contains('='));
                let known = target.is_none_or(|target| self.targets.contains(*target));
                let target = target.filter(|_| !known);
                all.extend(target.map(|target| format!("make has no target {target}")));
            }
            let assigns = begins && word.contains('=');
            begins = assigns || is_operator(word) || word.ends_with(';');
        }
        all
    }

    /// A flag that is named by itself and that no command has.
    pub(super) fn unknown_flag(&self, span: &str) -> Vec<String> {
        let first = span.split_whitespace().next().unwrap_or_default();
        let Some(flag) = first.strip_prefix("--") else {
            return Vec::new();
        };
        let name = flag.split('=').next().unwrap_or_default();
        if OF_OTHER_PROGRAMS.contains(&name) || has_flag(&self.cli, name) {
            return Vec::new();
        }
        vec![format!("no command has the flag --{name}")]
    }

    /// Paths below `spec` and `status` that the resource does not have. A word in capitals stands for any name.
    pub(super) fn unknown_fields(&self, span: &str) -> Vec<String> {
        let path = span.split([' ', ':', '=', ',']).next().unwrap_or_default();
        let words: Vec<&str> = path.split('.').collect();
        if !matches!(words.first(), Some(&("spec" | "status"))) || has_field(&self.schema, &words) {
            return Vec::new();
        }
        vec![format!("the resource has no field {path}")]
    }

    /// Fields of a manifest that the resource does not have. Manifests of other kinds are passed over.
    pub(super) fn unknown_in_manifest(&self, text: &str) -> Vec<String> {
        let documents: Vec<Value> = match serde_saphyr::from_multiple(text) {
            Ok(documents) => documents,
            Err(error) => return vec![format!("this is no YAML: {error}")],
        };
        let mut all = Vec::new();
        for document in documents {
            let kind = document.get("kind").and_then(Value::as_str);
            let ours = kind.is_none_or(|kind| kind == milvus_crds::KIND);
            if let Some(spec) = document.get("spec").filter(|_| ours) {
                unknown_keys(&self.schema["properties"]["spec"], spec, "spec", &mut all);
            }
        }
        all
    }

    /// Annotations and API versions of our group that no source knows.
    pub(super) fn unknown_annotations(&self, line: &str) -> Vec<String> {
        let unknown = in_group(line).filter(|name| !self.annotations.contains(name));
        unknown
            .map(|name| format!("there is no annotation {GROUP}{name}"))
            .collect()
    }

    /// Paths in the repository at which there is nothing.
    pub(super) fn missing_files(&self, code: &str) -> Vec<String> {
        code.split([' ', '\n', '"', '\'', '(', ')', ',', '`'])
            .filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)))
            .filter(|word| !word.contains('*') && !word.contains("..."))
            .filter(|word| !self.repository.join(word).exists())
            .map(|word| format!("there is no file {word}"))
            .collect()
    }
}

/// Names that follow the API group in a text.
fn in_group(text: &str) -> impl Iterator<Item = String> {
    text.split(GROUP).skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
        let name = rest.get(..end.unwrap_or(rest.len()))?;
        (!name.is_empty()).then(|| name.to_owned())
    })
}

/// Reads every Rust file below a folder, but these tests' own.
fn sources(folder: &Path, read: &mut dyn FnMut(&str)) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("documents") {
            sources(&path, read);
        } else if path.extension().is_some_and(|e| e == "rs") {
            read(&fs::read_to_string(&path).expect("a source"));
        }
    }
}

fn is_operator(word: &str) -> bool {
    matches!(word, "|" | "&&" | "||" | ";")
}

/// Follows arguments through the commands, up to the first one that is not known: what follows it may be its value.
fn unknown_argument(cli: &Command, words: &[&str]) -> Option<String> {
    let mut command = cli;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if is_operator(word) || word.starts_with(['>', '<', '#']) {
            break;
        }
        let found = match word.strip_prefix("--").or_else(|| word.strip_prefix('-')) {
            Some(flag) => {
                let (name, value) = match flag.split_once('=') {
                    Some((name, _)) => (name, true),
                    None => (flag, false),
                };
                let argument = flag_of(command, name);
                let follows = |a: &&clap::Arg| {
                    a.get_action().takes_values() && !a.is_require_equals_set() && !value
                };
                if argument.filter(follows).is_some() {
                    words.next();
                }
                argument.is_some()
            }
            None if command.has_subcommands() => match command.find_subcommand(word) {
                Some(next) => {
                    command = next;
                    true
                }
                None => false,
            },
            None => command.get_positionals().next().is_some(),
        };
        if !found {
            return Some(format!("{} has no {word}", command.get_name()));
        }
    }
    None
}

fn flag_of<'a>(command: &'a Command, name: &str) -> Option<&'a clap::Arg> {
    let short = |a: &clap::Arg| a.get_short().is_some_and(|s| name == s.to_string());
    command
        .get_arguments()
        .find(|a| a.get_long() == Some(name) || short(a))
}

fn has_flag(command: &Command, name: &str) -> bool {
    flag_of(command, name).is_some() || command.get_subcommands().any(|c| has_flag(c, name))
}

/// The schema of what is in a list, or the schema itself.
fn item(schema: &Value) -> &Value {
    match schema.get("items") {
        Some(items) => item(items),
        None => schema,
    }
}

fn is_free(schema: &Value) -> bool {
    schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true))
}

/// The schemas of a field by its name: several where the name stands for any.
fn children<'a>(schema: &'a Value, name: &str) -> Vec<&'a Value> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let any = name.chars().all(|c| c.is_ascii_uppercase());
    let mut found: Vec<&Value> = properties
        .into_iter()
        .flatten()
        .filter(|(own, _)| any || *own == name)
        .map(|(_, schema)| schema)
        .collect();
    found.extend(schema.get("additionalProperties").filter(|s| s.is_object()));
    found
}

fn has_field(schema: &Value, path: &[&str]) -> bool {
    let schema = item(schema);
    let Some((name, rest)) = path.split_first() else {
        return true;
    };
    let name = name.trim_end_matches("[]");
    is_free(schema)
        || children(schema, name)
            .into_iter()
            .any(|child| has_field(child, rest))
}

fn unknown_keys(schema: &Value, value: &Value, path: &str, all: &mut Vec<String>) {
    let schema = item(schema);
    if is_free(schema) {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                match children(schema, name).first() {
                    Some(child) => unknown_keys(child, value, &path, all),
                    None => all.push(format!("the resource has no field {path}")),
                }
            }
        }
        Value::Array(items) => {
            for value in items {
                unknown_keys(schema, value, path, all);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
