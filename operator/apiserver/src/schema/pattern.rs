//! `pattern`: Go's RE2 syntax on the regex crate. Pure.
//!
//! Two differences matter: `\d`, `\w`, `\s` and `\b` are ASCII in Go and Unicode here, and `[`, `&&`, `--`, `~~` inside a
//! class are plain characters in Go and operators here.

use regex::{Regex, RegexBuilder};

/// Compiled patterns larger than this are refused: a definition is trusted, but not with all the memory.
const SIZE_LIMIT: usize = 1 << 20;

pub(super) fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&translate(pattern))
        .size_limit(SIZE_LIMIT)
        .build()
}

fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    let mut in_class = false;
    let mut class_start = false;
    while let Some(c) = chars.next() {
        let at_start = std::mem::take(&mut class_start);
        match c {
            '\\' => match chars.next() {
                Some('d') => out.push_str("[0-9]"),
                Some('D') => out.push_str("[^0-9]"),
                Some('w') => out.push_str("[0-9A-Za-z_]"),
                Some('W') => out.push_str("[^0-9A-Za-z_]"),
                Some('s') => out.push_str(r"[\t\n\f\r ]"),
                Some('S') => out.push_str(r"[^\t\n\f\r ]"),
                Some('b') if !in_class => out.push_str(r"(?-u:\b)"),
                Some('B') if !in_class => out.push_str(r"(?:\B)"),
                Some('Q') => quote(&mut chars, &mut out),
                Some(next) => out.extend(['\\', next]),
                None => out.push('\\'),
            },
            '[' if !in_class => {
                in_class = true;
                class_start = true;
                out.push('[');
                if chars.peek() == Some(&'^') {
                    chars.next();
                    out.push('^');
                }
            }
            '[' if chars.peek() == Some(&':') => {
                // A POSIX class such as [:alpha:], same in both.
                out.push('[');
                for c in chars.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            '[' => out.push_str(r"\["),
            ']' if in_class && at_start => out.push_str(r"\]"),
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => out.extend(['\\', c]),
            '-' if in_class && chars.peek() == Some(&'-') => out.push_str(r"\-"),
            _ => out.push(c),
        }
    }
    out
}

fn quote(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    let rest: String = chars.by_ref().collect();
    let (quoted, after) = rest.split_once(r"\E").unwrap_or((&rest, ""));
    out.push_str(&regex::escape(quoted));
    out.push_str(&translate(after));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        compile(pattern).expect("pattern").is_match(text)
    }

    #[test]
    fn classes_are_ascii() {
        assert!(matches(r"^\d+$", "42"));
        assert!(!matches(r"^\d+$", "\u{0664}\u{0662}"));
        assert!(!matches(r"^\w$", "ä"));
        assert!(matches(r"^[\w.-]+$", "a.b-c_9"));
        assert!(!matches(r"^[^\d]$", "4"));
    }

    #[test]
    fn operators_inside_classes_are_characters() {
        assert!(matches(r"^[a&&b]+$", "a&b"));
        assert!(matches(r"^[[x]+$", "[x"));
        assert!(matches(r"^[]x]+$", "]x"));
        assert!(matches(r"^[[:alpha:]]+$", "abc"));
        assert!(matches(r"^\Qa.b\Ec*$", "a.bcc"));
        assert!(!matches(r"^\Qa.b\E$", "axb"));
    }

    #[test]
    fn usual_patterns() {
        let version = r"^v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$";
        assert!(matches(version, "v2.3.5"));
        assert!(!matches(version, "latest"));
        let name = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
        assert!(matches(name, "etcd-0"));
        assert!(!matches(name, "-a"));
        assert!(compile("(").is_err());
    }
}
