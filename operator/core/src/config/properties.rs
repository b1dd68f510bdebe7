//! Files of `key=value` lines. Pure.

use std::collections::BTreeMap;

/// The text of a file: what the operator writes, then the user's settings over it, sorted by key.
pub(crate) fn write(ours: &[(&str, String)], users: &BTreeMap<String, String>) -> String {
    let mut all: BTreeMap<&str, &str> = ours.iter().map(|(k, v)| (*k, v.as_str())).collect();
    all.extend(users.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    all.into_iter()
        .map(|(key, value)| format!("{key}={value}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_settings_win() {
        let users = BTreeMap::from([("b".to_owned(), "9".to_owned())]);
        let ours = [("b", "1".to_owned()), ("a", "2".to_owned())];
        assert_eq!(write(&ours, &users), "a=2\nb=9\n");
    }
}
