//! What form the answer takes, from the Accept header. Pure.

use http::HeaderMap;
use http::header::ACCEPT;

use crate::status::ApiError;

/// Forms of an object, list or watch event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The object itself.
    Plain,
    /// A `meta.k8s.io/v1 Table`.
    Table,
    /// `meta.k8s.io/v1 PartialObjectMetadata` and its list.
    Partial,
}

#[derive(Debug, Default)]
struct Range {
    media: String,
    r#as: String,
    group: String,
    version: String,
}

fn ranges(headers: &HeaderMap) -> Vec<Range> {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter(|part| !part.trim().is_empty())
        .map(|part| {
            let mut pieces = part.split(';').map(str::trim);
            let mut range = Range {
                media: pieces.next().unwrap_or_default().to_ascii_lowercase(),
                ..Range::default()
            };
            for piece in pieces {
                match piece.split_once('=') {
                    Some(("as", value)) => range.r#as = value.to_owned(),
                    Some(("g", value)) => range.group = value.to_owned(),
                    Some(("v", value)) => range.version = value.to_owned(),
                    _ => {}
                }
            }
            range
        })
        .collect()
}

fn is_json(media: &str) -> bool {
    matches!(media, "application/json" | "application/*" | "*/*")
}

/// The first form of the list that can be served. No header means plain.
pub fn form(headers: &HeaderMap) -> Result<Form, ApiError> {
    let ranges = ranges(headers);
    if ranges.is_empty() {
        return Ok(Form::Plain);
    }
    for range in &ranges {
        if !is_json(&range.media) {
            continue;
        }
        match (
            range.r#as.as_str(),
            range.group.as_str(),
            range.version.as_str(),
        ) {
            ("", _, _) => return Ok(Form::Plain),
            ("Table", "meta.k8s.io", "v1") => return Ok(Form::Table),
            ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io", "v1") => {
                return Ok(Form::Partial);
            }
            _ => {}
        }
    }
    Err(ApiError::not_acceptable(&[
        "application/json",
        "application/json;as=Table;g=meta.k8s.io;v=v1",
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    ]))
}

/// Whether plain JSON will do.
pub fn plain(headers: &HeaderMap) -> Result<(), ApiError> {
    let ranges = ranges(headers);
    if ranges.is_empty()
        || ranges
            .iter()
            .any(|range| is_json(&range.media) && range.r#as.is_empty())
    {
        return Ok(());
    }
    Err(ApiError::not_acceptable(&["application/json"]))
}

/// The wanted version of aggregated discovery, if the client knows one that is served. The first
/// acceptable range decides.
pub fn aggregated_discovery(headers: &HeaderMap) -> bool {
    ranges(headers)
        .iter()
        .filter(|range| is_json(&range.media))
        .find_map(
            |range| match (range.r#as.as_str(), range.version.as_str()) {
                ("APIGroupDiscoveryList", "v2") => Some(true),
                ("", _) => Some(false),
                _ => None,
            },
        )
        .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(accept: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        headers
    }

    #[test]
    fn takes_the_first_form_that_can_be_served() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(form(&headers(table)), Ok(Form::Table));
        for plain in [
            "application/json, */*",
            "*/*",
            "application/vnd.kubernetes.protobuf,application/json",
            "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
        ] {
            assert_eq!(form(&headers(plain)), Ok(Form::Plain), "{plain}");
        }
        assert_eq!(
            form(&headers(
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
            )),
            Ok(Form::Partial)
        );
        for wrong in [
            "application/cbor",
            "text/html",
            "application/vnd.kubernetes.protobuf",
        ] {
            assert_eq!(form(&headers(wrong)).unwrap_err().code, 406, "{wrong}");
        }
        assert_eq!(form(&HeaderMap::new()), Ok(Form::Plain));
    }

    #[test]
    fn aggregated_discovery_only_where_it_is_known() {
        let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert!(aggregated_discovery(&headers(v2)));
        let v2beta1 = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert!(!aggregated_discovery(&headers(v2beta1)));
        assert!(!aggregated_discovery(&headers("application/json")));
    }
}
