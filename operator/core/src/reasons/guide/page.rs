//! The page `docs/troubleshooting.md`, from the tables. Pure text.

use std::fmt::Write as _;

use super::{DONE, Guide, PROGRESS, REFUSED, TROUBLE};

const HEAD: &str = "\
<!-- Written from operator/core/src/reasons/guide.rs by `make regen`. -->
# Troubleshooting

Every reason that conditions and events of a MilvusCluster carry. Start with `kubectl describe mvc NAME`: the condition `Accepted` says whether the
resource is acted on, `Degraded` what is wrong, `Progressing` what is waited for, and the events show how it came to this. Reasons do not change
between versions, so alerts may match them.
";

/// A table with the title and the introduction of its chapter.
const CHAPTERS: [(&str, &str, &[Guide]); 4] = [
    (
        "The resource is refused",
        "`Accepted` is `False` with one of these reasons. A running cluster is looked after as its last good spec asks. Apply the last good resource \
         again to undo an edit.",
        REFUSED,
    ),
    (
        "Something is wrong",
        "`Degraded` carries one of these reasons, or an event warns with it.",
        TROUBLE,
    ),
    (
        "Progress",
        "Reasons of `Ready`, `DependenciesReady`, `Progressing` and `Updated`.",
        PROGRESS,
    ),
    (
        "What the operator did",
        "Reasons of events. Most need no action.",
        DONE,
    ),
];

/// The whole page, Markdown. Headings are the reasons as users see them.
pub fn troubleshooting() -> String {
    let mut page = HEAD.to_owned();
    // Writing into a string does not fail.
    for (title, introduction, guides) in CHAPTERS {
        let _ = write!(page, "\n## {title}\n\n{introduction}\n");
        for guide in guides {
            let _ = write!(page, "\n{}", entry(guide));
        }
    }
    page
}

fn entry(guide: &Guide) -> String {
    let mut text = format!("### {}\n\n{}\n", guide.reason, guide.meaning);
    let texts: Vec<String> = guide.texts.iter().map(|t| format!("`{t}`")).collect();
    let texts = texts.join(", ");
    for (label, body) in [
        ("Cause", guide.cause),
        ("Seen as", texts.as_str()),
        ("What to do", guide.remedy),
    ] {
        if !body.is_empty() {
            let _ = write!(text, "\n- **{label}:** {body}");
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Names of the variants, read from the source of the type: no list of them can be forgotten.
    fn variants() -> Vec<&'static str> {
        let source = include_str!("../../reasons.rs");
        let (_, rest) = source.split_once("pub enum Reason {").unwrap();
        let (body, _) = rest.split_once("\n}").unwrap();
        body.lines()
            .map(str::trim)
            .filter(|line| !line.starts_with("//"))
            .filter_map(|line| line.strip_suffix(','))
            .collect()
    }

    #[test]
    fn every_reason_is_explained_once() {
        let mut explained: BTreeMap<String, usize> = BTreeMap::new();
        for (_, _, guides) in CHAPTERS {
            for guide in guides {
                *explained.entry(guide.reason.to_string()).or_default() += 1;
                assert!(guide.meaning.ends_with('.'), "{guide:?}");
                assert!(guide.remedy.ends_with('.'), "{guide:?}");
            }
        }
        let all = variants();
        assert!(all.len() > 40, "{all:?}");
        let expected = all.iter().map(|name| ((*name).to_owned(), 1)).collect();
        assert_eq!(explained, expected, "reasons/guide.rs explains each reason");
    }

    #[test]
    fn the_committed_page_is_written_from_the_tables() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/troubleshooting.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, troubleshooting()).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == troubleshooting(),
            "{} is out of date; run make regen",
            path.display()
        );
    }
}
