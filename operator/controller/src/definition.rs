//! The definition of the resource, which an API server may not have yet, or not any more. It asks one question, and says what to do.

use kube::runtime::watcher;
use kube::{Client, Resource};
use milvus_crds::MilvusCluster;

/// Whether the API server says that it knows the resource. For a moment after a definition is gone it still does.
pub(crate) async fn listed(client: &Client) -> Result<bool, kube::Error> {
    let version = MilvusCluster::api_version(&());
    match client.list_api_group_resources(&version).await {
        Ok(list) => {
            let plural = MilvusCluster::plural(&());
            Ok(list.resources.iter().any(|r| r.name == plural))
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a watch of resources broke for want of the definition: a list is empty where nothing is, and not found only where nobody
/// knows what is asked for.
pub(crate) fn is_missing(error: &watcher::Error) -> bool {
    code(error) == Some(404)
}

/// Whether a watch of resources broke for want of the right to list them.
pub(crate) fn is_refused(error: &watcher::Error) -> bool {
    code(error) == Some(403)
}

fn code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}

/// Says that the definition is missing, and what to do.
pub(crate) fn tell() {
    tracing::warn!(
        "the API server knows no {}.{}: give it the definition (milvus-operator crd | kubectl apply -f -); waiting for it",
        MilvusCluster::plural(&()),
        milvus_crds::GROUP
    );
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn status(code: u16) -> Box<Status> {
        Box::new(
            Status::failure("404 page not found", "Failed to parse error data").with_code(code),
        )
    }

    #[test]
    fn is_missing_where_the_path_is_not_found() {
        let list = |code| watcher::Error::InitialListFailed(kube::Error::Api(status(code)));
        let start = |code| watcher::Error::WatchStartFailed(kube::Error::Api(status(code)));
        let event = |code| watcher::Error::WatchError(status(code));
        for error in [list(404), start(404), event(404)] {
            assert!(is_missing(&error), "{error}");
        }
        for error in [
            list(403),
            start(410),
            event(410),
            watcher::Error::NoResourceVersion,
        ] {
            assert!(!is_missing(&error), "{error}");
        }
        assert!(is_refused(&list(403)) && !is_refused(&list(404)));
    }
}
