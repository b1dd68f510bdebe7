//! Work that the operator has done on one node, because no API of a Swarm offers it: `milvus-gateway node-task ...`. It ends
//! with 0 only when what was asked for has been seen to be so.

use bytes::Bytes;
use clap::{Args, Subcommand};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

/// Something still uses the volume.
const STILL_IN_USE: u8 = 3;
/// The volume is not the operator's.
const NOT_OURS: u8 = 4;
/// How long a volume may still be in use: the containers of removed services go a moment after their processes.
const PATIENCE: Duration = Duration::from_secs(8);
const PAUSE: Duration = Duration::from_millis(400);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ANSWER: usize = 1024 * 1024;

/// What is done on the node.
#[derive(Debug, Args)]
pub struct NodeTask {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a directory below a base path that exists, open to every user of the container that will mount it.
    MakeDirectory(Directory),
    /// Delete a directory below a base path with everything in it.
    RemoveDirectory(Directory),
    /// Delete a named volume, if it carries a label.
    RemoveVolume {
        /// The engine's socket.
        #[arg(long, value_name = "FILE")]
        docker_socket: PathBuf,
        /// The label without which nothing is deleted.
        #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
        require_label: (String, String),
        /// The volume.
        name: String,
    },
}

#[derive(Debug, Args)]
struct Directory {
    /// Path that exists.
    #[arg(long)]
    base: PathBuf,
    /// Path below it.
    #[arg(value_parser = below)]
    directory: PathBuf,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the base path {} is not a directory", .0.display())]
    NoBase(PathBuf),
    #[error("make {}", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error("remove {}", path.display())]
    Remove { path: PathBuf, source: io::Error },
    #[error("{} is still there", .0.display())]
    Left(PathBuf),
    #[error("ask the engine at {}", socket.display())]
    Engine {
        socket: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the engine answered {status}: {answer}")]
    Answer { status: StatusCode, answer: String },
    #[error("volume {name} is still in use: {answer}")]
    InUse { name: String, answer: String },
    #[error("volume {name} does not carry the label {label}: it is left alone")]
    NotOurs { name: String, label: String },
}

/// Does it and says so on standard error.
pub async fn run(task: &NodeTask) -> ExitCode {
    let done = match &task.verb {
        Verb::MakeDirectory(directory) => make_directory(directory),
        Verb::RemoveDirectory(directory) => remove_directory(directory),
        Verb::RemoveVolume {
            docker_socket,
            require_label,
            name,
        } => remove_volume(docker_socket, require_label, name).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!(error = %crate::args::chain(&failure), "not done");
            match failure {
                Failure::InUse { .. } => ExitCode::from(STILL_IN_USE),
                Failure::NotOurs { .. } => ExitCode::from(NOT_OURS),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn make_directory(directory: &Directory) -> Result<(), Failure> {
    let Directory { base, directory } = directory;
    if !base.is_dir() {
        return Err(Failure::NoBase(base.clone()));
    }
    let path = base.join(directory);
    let failed = |source| Failure::Make {
        path: path.clone(),
        source,
    };
    let fresh = !path.exists();
    std::fs::create_dir_all(&path).map_err(failed)?;
    if fresh {
        // The user of an image is not known here; who may come so far is decided by the base path.
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(&path, open).map_err(failed)?;
    }
    if path.is_dir() {
        Ok(())
    } else {
        Err(Failure::Left(path))
    }
}

fn remove_directory(directory: &Directory) -> Result<(), Failure> {
    let Directory { base, directory } = directory;
    if !base.is_dir() {
        return Err(Failure::NoBase(base.clone()));
    }
    let path = base.join(directory);
    match std::fs::remove_dir_all(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(Failure::Remove { path, source });
        }
        Ok(()) | Err(_) => {}
    }
    if path.symlink_metadata().is_ok() {
        return Err(Failure::Left(path));
    }
    // The folder of the whole cluster goes with the last of its members; while others are in it, it stays.
    if let Some(parent) = path.parent().filter(|parent| *parent != base) {
        let _ = std::fs::remove_dir(parent);
    }
    Ok(())
}

async fn remove_volume(
    socket: &Path,
    (key, value): &(String, String),
    name: &str,
) -> Result<(), Failure> {
    let end = Instant::now() + PATIENCE;
    loop {
        let (status, answer) = ask(socket, Method::GET, name).await?;
        match status {
            StatusCode::NOT_FOUND => return Ok(()),
            StatusCode::OK if labels(&answer).get(key) == Some(value) => {}
            StatusCode::OK => {
                return Err(Failure::NotOurs {
                    name: name.to_owned(),
                    label: format!("{key}={value}"),
                });
            }
            _ => return Err(Failure::Answer { status, answer }),
        }
        let (status, answer) = ask(socket, Method::DELETE, name).await?;
        match status {
            // Looked for once more above.
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => {}
            StatusCode::CONFLICT if Instant::now() < end => sleep(PAUSE).await,
            StatusCode::CONFLICT => {
                return Err(Failure::InUse {
                    name: name.to_owned(),
                    answer,
                });
            }
            _ => return Err(Failure::Answer { status, answer }),
        }
    }
}

fn labels(answer: &str) -> BTreeMap<String, String> {
    #[derive(serde::Deserialize)]
    struct Volume {
        #[serde(rename = "Labels", default)]
        labels: Option<BTreeMap<String, String>>,
    }
    serde_json::from_str::<Volume>(answer)
        .ok()
        .and_then(|volume| volume.labels)
        .unwrap_or_default()
}

async fn ask(socket: &Path, method: Method, volume: &str) -> Result<(StatusCode, String), Failure> {
    let exchange = async {
        let stream = UnixStream::connect(socket).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(format!("/volumes/{volume}"))
            .header(http::header::HOST, "docker")
            .body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await?;
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((status, text))
    };
    match timeout(CALL_TIMEOUT, exchange).await {
        Ok(answer) => answer,
        Err(elapsed) => Err(elapsed.into()),
    }
    .map_err(|source| Failure::Engine {
        socket: socket.to_owned(),
        source,
    })
}

/// A path that leads below its base and nowhere else.
fn below(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if plain && !text.is_empty() {
        Ok(path)
    } else {
        Err("must be a relative path without . and ..".to_owned())
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err("write key=value".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(base: &Path, directory: &str) -> Directory {
        Directory {
            base: base.to_owned(),
            directory: directory.into(),
        }
    }

    #[test]
    fn directories_are_made_and_removed_with_their_empty_parent() {
        let base = tempfile::tempdir().unwrap();
        let first = directory(base.path(), "demo/etcd-0-e1");
        let second = directory(base.path(), "demo/etcd-1-e1");
        for one in [&first, &second, &first] {
            make_directory(one).unwrap();
        }
        std::fs::write(base.path().join("demo/etcd-0-e1/file"), "x").unwrap();
        make_directory(&first).unwrap();
        assert!(base.path().join("demo/etcd-0-e1/file").exists());
        remove_directory(&first).unwrap();
        remove_directory(&first).unwrap();
        assert!(base.path().join("demo/etcd-1-e1").exists());
        remove_directory(&second).unwrap();
        assert!(!base.path().join("demo").exists());
        assert!(base.path().exists());
    }

    #[test]
    fn a_missing_base_is_an_error() {
        let base = tempfile::tempdir().unwrap();
        let lost = directory(&base.path().join("not-there"), "demo/etcd-0-e1");
        assert!(matches!(make_directory(&lost), Err(Failure::NoBase(_))));
        assert!(matches!(remove_directory(&lost), Err(Failure::NoBase(_))));
    }

    #[test]
    fn paths_lead_nowhere_else() {
        for wrong in ["", "/etc", "../x", "a/../../b", "."] {
            assert!(below(wrong).is_err(), "{wrong}");
        }
        assert!(below("demo/etcd-0-e1").is_ok());
    }

    #[test]
    fn labels_of_a_volume() {
        let with = r#"{"Name":"v","Labels":{"a":"b"}}"#;
        assert_eq!(labels(with).get("a").map(String::as_str), Some("b"));
        assert!(labels(r#"{"Name":"v","Labels":null}"#).is_empty());
        assert!(labels("nonsense").is_empty());
    }
}
