//! What the documents name has to exist: commands and flags, make targets, annotations, fields of the resource, files. Reads
//! the Markdown of this repository and compares it with the command line, the definition, the Makefile and the sources.

mod code;
mod names;

use std::fs;
use std::path::{Path, PathBuf};

use code::{Language, Snippet};
use names::Names;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every document that people read, by its path in the repository.
fn documents() -> Vec<(PathBuf, String)> {
    let root = repository();
    let mut paths = Vec::new();
    for folder in ["", "docs", "docs/adr"] {
        let entries = fs::read_dir(root.join(folder)).expect("the folder is there");
        paths.extend(
            entries
                .map(|entry| Path::new(folder).join(entry.expect("an entry").file_name()))
                .filter(|path| path.extension().is_some_and(|e| e == "md")),
        );
    }
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(root.join(&path)).expect("a text");
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// What a document names that does not exist, one line each, with its line number. Links are relative to `folder`.
fn problems(folder: &Path, text: &str, names: &Names) -> Vec<String> {
    let mut all = Vec::new();
    for snippet in code::snippets(text) {
        let found = match snippet.language {
            Language::Shell => names.unknown_in_command(&snippet.text),
            Language::Yaml => names.unknown_in_manifest(&snippet.text),
            Language::Inline => [
                names.unknown_in_command(&snippet.text),
                names.unknown_flag(&snippet.text),
                names.unknown_fields(&snippet.text),
            ]
            .concat(),
            Language::Other => Vec::new(),
        };
        let found = found.into_iter().chain(names.missing_files(&snippet.text));
        all.extend(found.map(|problem| at(&snippet, &problem)));
    }
    for (index, line) in text.lines().enumerate() {
        let links = code::links(line).filter(|link| !folder.join(link).exists());
        let missing = links.map(|link| format!("there is no file {link}"));
        let found = missing.chain(names.unknown_annotations(line));
        all.extend(found.map(|problem| format!("line {}: {problem}", index + 1)));
    }
    all
}

fn at(snippet: &Snippet, problem: &str) -> String {
    format!("line {}: {problem}", snippet.line)
}

#[test]
fn what_documents_name_exists() {
    let names = Names::of(&repository());
    let documents = documents();
    assert!(documents.len() > 10, "{}", documents.len());
    let mut all = Vec::new();
    for (path, text) in documents {
        let folder = repository().join(path.parent().expect("a file is in a folder"));
        let found = problems(&folder, &text, &names);
        all.extend(
            found
                .into_iter()
                .map(|p| format!("{}: {p}", path.display())),
        );
    }
    assert!(all.is_empty(), "{all:#?}");
}

#[test]
fn what_does_not_exist_is_found() {
    let names = Names::of(&repository());
    let bad = include_str!("bad.md");
    insta::assert_snapshot!(problems(&repository(), bad, &names).join("\n"));
}

#[test]
fn what_exists_is_not_complained_of() {
    let names = Names::of(&repository());
    let good = include_str!("good.md");
    assert_eq!(problems(&repository(), good, &names), Vec::<String>::new());
}
