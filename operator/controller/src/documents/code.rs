//! The code in a Markdown document: blocks between fences, and spans in lines. Pure.

/// What a snippet is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// One command line of a block of shell.
    Shell,
    /// A whole block of YAML.
    Yaml,
    /// A span in running text.
    Inline,
    /// A block in anything else.
    Other,
}

/// A piece of code and the line on which it begins, counted from 1.
#[derive(Debug)]
pub(super) struct Snippet {
    pub(super) line: usize,
    pub(super) language: Language,
    pub(super) text: String,
}

/// All code of a document.
pub(super) fn snippets(markdown: &str) -> Vec<Snippet> {
    let mut all = Vec::new();
    let mut lines = markdown.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            all.extend(spans(index + 1, line));
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let inside = |(_, line): &(usize, &str)| !line.trim_start().starts_with("```");
        let body: Vec<&str> = lines
            .by_ref()
            .take_while(inside)
            .map(|(_, line)| line.get(indent..).unwrap_or_default())
            .collect();
        match language.trim() {
            "sh" => all.extend(commands(index + 2, &body)),
            "yaml" => all.push(Snippet {
                line: index + 2,
                language: Language::Yaml,
                text: body.join("\n"),
            }),
            _ => all.push(Snippet {
                line: index + 2,
                language: Language::Other,
                text: body.join("\n"),
            }),
        }
    }
    all
}

/// Command lines, without comments; one that ends in a backslash goes on in the next line.
fn commands(first: usize, body: &[&str]) -> Vec<Snippet> {
    let mut all: Vec<Snippet> = Vec::new();
    let mut goes_on = false;
    for (index, line) in body.iter().enumerate() {
        let line = line.split(" #").next().unwrap_or_default();
        let (text, more) = match line.strip_suffix('\\') {
            Some(text) => (text, true),
            None => (line, false),
        };
        match all.last_mut().filter(|_| goes_on) {
            Some(last) => last.text += text,
            None => all.push(Snippet {
                line: first + index,
                language: Language::Shell,
                text: text.to_owned(),
            }),
        }
        goes_on = more;
    }
    all.retain(|snippet| !snippet.text.trim_start().starts_with('#'));
    all
}

fn spans(line: usize, text: &str) -> Vec<Snippet> {
    let odd = text.split('`').skip(1).step_by(2);
    odd.map(|span| Snippet {
        line,
        language: Language::Inline,
        text: span.to_owned(),
    })
    .collect()
}

/// Targets of the links of a line that are files of this repository, without the part after `#`.
pub(super) fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1);
    targets
        .filter_map(|rest| rest.split(')').next())
        .filter_map(|target| target.split('#').next())
        .filter(|target| !target.is_empty() && !target.contains("://"))
}
