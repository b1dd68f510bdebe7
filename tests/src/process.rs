//! Commands that end in time, whatever happens.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// What a command left.
#[derive(Clone, Debug)]
pub struct Output {
    /// The command, for messages.
    pub command: String,
    /// Its exit code; `None` when a signal or the time-out ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error, with a last line when the time was up.
    pub stderr: String,
}

impl Output {
    /// Whether it ended with 0.
    pub fn ok(&self) -> bool {
        self.code == Some(0)
    }

    /// Both streams.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Standard output of a command that has to succeed.
    #[track_caller]
    pub fn expect(self) -> String {
        assert!(
            self.ok(),
            "`{}` ended with {:?}: {}",
            self.command,
            self.code,
            self.text().trim()
        );
        self.stdout
    }

    /// Standard output, or why there is none.
    pub fn result(self) -> Result<String, String> {
        if self.ok() {
            Ok(self.stdout)
        } else {
            let end = self.text();
            Err(format!("`{}`: {}", self.command, end.trim()))
        }
    }
}

/// Runs a command to its end, or kills it when the time is up.
pub fn run(command: &mut Command, input: &str, limit: Duration) -> Output {
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|w| w.to_string_lossy().into_owned())
        .collect();
    let name = words.join(" ");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("`{name}` does not start: {error}"));
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_owned();
        // A command that does not read its input is none of ours to judge.
        thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    }
    let stdout = reader(child.stdout.take());
    let stderr = reader(child.stderr.take());
    let code = end(&mut child, limit);
    let mut output = Output {
        command: name,
        code: code.flatten(),
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    };
    if code.is_none() {
        output
            .stderr
            .push_str(&format!("\nended after {} s\n", limit.as_secs()));
    }
    output
}

/// A command for [`start`]: what it runs ends with this process, however this process ends.
pub fn bound(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]);
    command
}

/// Starts a command made by [`bound`]. The kernel ends it when the thread that started it ends: that thread sleeps until this
/// process ends.
pub fn start(mut command: Command) -> Child {
    let name = format!("{command:?}");
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        drop(send.send(command.spawn()));
        loop {
            thread::park();
        }
    });
    receive
        .recv()
        .unwrap_or_else(|error| panic!("the starter of {name}: {error}"))
        .unwrap_or_else(|error| panic!("{name} does not start: {error}"))
}

/// Waits for a child; kills it when the time is up (`None`).
fn end(child: &mut Child, limit: Duration) -> Option<Option<i32>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status.code());
        }
        if Instant::now() >= deadline {
            drop(child.kill());
            drop(child.wait());
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn reader(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            drop(stream.read_to_end(&mut bytes));
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
