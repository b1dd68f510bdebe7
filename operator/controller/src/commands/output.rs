//! Where commands write: results for programs to standard output, words for people to standard error. A reader that went away
//! is no failure; a disk that is full is one; neither is a panic.

use std::io::{self, Write};

/// Prints to standard output. A reader that went away (`| head`) is no failure of ours.
pub(crate) fn emit(text: &str) -> io::Result<()> {
    write(&mut io::stdout().lock(), text)
}

fn write(out: &mut impl Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Says a line to people. Where it cannot be written there is nowhere left to say so.
pub(crate) fn say(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_quiet_and_a_full_disk_is_not() {
        assert!(write(&mut Failing(io::ErrorKind::BrokenPipe), "x").is_ok());
        let full = write(&mut Failing(io::ErrorKind::StorageFull), "x");
        assert_eq!(full.map_err(|e| e.kind()), Err(io::ErrorKind::StorageFull));
    }

    /// The macros of the standard library panic where nothing can be written.
    #[test]
    fn nothing_else_prints() {
        fn look(folder: &std::path::Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    look(&path, found);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    let text = std::fs::read_to_string(&path).expect("a file");
                    let macros = ["print!(", "println!("];
                    let lines = text.lines().filter(|line| {
                        let code = !line.trim_start().starts_with("//");
                        code && !line.contains("let macros")
                            && macros.iter().any(|m| line.contains(m))
                    });
                    found.extend(lines.map(|line| format!("{}: {line}", path.display())));
                }
            }
        }
        let mut found = Vec::new();
        look(
            &std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut found,
        );
        assert_eq!(found, Vec::<String>::new());
    }
}
