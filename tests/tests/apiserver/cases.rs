//! What is asked of both servers, in this order: later steps build on earlier ones.

#[path = "cases/commands.rs"]
mod commands;
#[path = "cases/create.rs"]
mod create;
#[path = "cases/kinds.rs"]
mod kinds;
#[path = "cases/milvus.rs"]
mod milvus;
#[path = "cases/verbs.rs"]
mod verbs;

use serde_json::{Value, json};

/// Widgets in the default namespace.
pub const WIDGETS: &str = "/apis/testbed.example.io/v1/namespaces/default/widgets";
const GV: &str = "testbed.example.io/v1";

/// One step.
pub struct Step {
    /// Unique, for messages and for the table of accepted differences.
    pub name: String,
    pub act: Act,
}

/// What a step does.
pub enum Act {
    /// One request.
    Http {
        method: &'static str,
        path: String,
        headers: Vec<(&'static str, String)>,
        body: Option<String>,
    },
    /// Reads an object, changes it, puts it back.
    Edit {
        path: String,
        to: String,
        edit: fn(&mut Value),
    },
    /// A kubectl command, its words separated by spaces, with a text on its input.
    Kubectl { words: Vec<String>, stdin: String },
}

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const PARTIAL: &str =
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json";
const PARTIAL_LIST: &str =
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json";

#[derive(Default)]
struct List {
    steps: Vec<Step>,
}

impl List {
    fn push(&mut self, name: &str, act: Act) {
        self.steps.push(Step {
            name: name.to_owned(),
            act,
        });
    }

    fn http(&mut self, name: &str, method: &'static str, path: &str, kind: &str, body: &str) {
        let headers = if kind.is_empty() {
            vec![]
        } else {
            vec![("Content-Type", kind.to_owned())]
        };
        let body = (!body.is_empty()).then(|| body.to_owned());
        self.push(
            name,
            Act::Http {
                method,
                path: path.to_owned(),
                headers,
                body,
            },
        );
    }

    fn get(&mut self, name: &str, path: &str) {
        self.http(name, "GET", path, "", "");
    }

    fn get_as(&mut self, name: &str, path: &str, accept: &str) {
        let headers = vec![("Accept", accept.to_owned())];
        self.push(
            name,
            Act::Http {
                method: "GET",
                path: path.to_owned(),
                headers,
                body: None,
            },
        );
    }

    fn post(&mut self, name: &str, path: &str, body: &Value) {
        self.http(name, "POST", path, JSON, &body.to_string());
    }

    fn merge(&mut self, name: &str, path: &str, body: &Value) {
        self.http(name, "PATCH", path, MERGE, &body.to_string());
    }

    fn edit(&mut self, name: &str, path: &str, to: &str, edit: fn(&mut Value)) {
        self.push(
            name,
            Act::Edit {
                path: path.to_owned(),
                to: to.to_owned(),
                edit,
            },
        );
    }

    fn kubectl(&mut self, name: &str, words: &str, stdin: &str) {
        let words = words.split(' ').map(str::to_owned).collect();
        self.push(
            name,
            Act::Kubectl {
                words,
                stdin: stdin.to_owned(),
            },
        );
    }
}

fn widget(name: &str, spec: Value) -> Value {
    json!({"apiVersion": GV, "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

fn yaml(name: &str, spec: &str) -> String {
    format!("apiVersion: {GV}\nkind: Widget\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

/// Every step.
pub fn steps() -> Vec<Step> {
    let mut list = List::default();
    create::creations(&mut list);
    verbs::reads(&mut list);
    verbs::updates(&mut list);
    verbs::patches(&mut list);
    verbs::subresources(&mut list);
    kinds::core_kinds(&mut list);
    verbs::deletions(&mut list);
    commands::kubectl(&mut list);
    milvus::milvus(&mut list);
    let mut names: Vec<&str> = list.steps.iter().map(|s| s.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), list.steps.len(), "two steps share a name");
    list.steps
}
