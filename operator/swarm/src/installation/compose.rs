//! The operator's service as a compose file for `docker stack deploy`. Pure.

use std::fmt::Write;

use super::service::{
    AUTHORITY_FILE, LOG_FILES, LOG_SIZE, MEMORY_LIMIT, MEMORY_RESERVATION, MONITOR, RESTART_DELAY,
    SEALING_FILE, STOP_GRACE,
};
use super::{OperatorService, SEALING_SECRET, SOCKET_IN_TASK, authority_secret};

/// The stack file. Deployed under the name [`super::STACK`] it gives the very service that
/// [`super::Installation::apply`] makes.
pub fn compose(service: &OperatorService) -> String {
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = write(&mut text, service);
    text
}

fn write(out: &mut String, service: &OperatorService) -> std::fmt::Result {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    writeln!(out, "version: \"3.9\"\n")?;
    writeln!(out, "services:\n  operator:")?;
    writeln!(out, "    image: {}", quoted(&service.image))?;
    writeln!(out, "    command:")?;
    for arg in &service.args {
        writeln!(out, "      - {}", quoted(arg))?;
    }
    writeln!(out, "    user: \"0:0\"")?;
    writeln!(out, "    read_only: true\n    cap_drop: [ALL]")?;
    writeln!(out, "    stop_grace_period: {STOP_GRACE}s")?;
    writeln!(out, "    networks: [host]")?;
    writeln!(out, "    volumes:")?;
    writeln!(
        out,
        "      - type: bind\n        source: {}",
        quoted(&service.docker_socket)
    )?;
    writeln!(out, "        target: {SOCKET_IN_TASK}")?;
    writeln!(out, "    secrets:")?;
    for (source, target) in [("keys", AUTHORITY_FILE), ("seal", SEALING_FILE)] {
        writeln!(out, "      - source: {source}\n        target: {target}")?;
        writeln!(
            out,
            "        uid: \"0\"\n        gid: \"0\"\n        mode: 0400"
        )?;
    }
    writeln!(out, "    logging:\n      driver: json-file\n      options:")?;
    writeln!(
        out,
        "        max-size: {LOG_SIZE}\n        max-file: \"{LOG_FILES}\""
    )?;
    writeln!(
        out,
        "    deploy:\n      endpoint_mode: dnsrr\n      replicas: 1\n      labels:"
    )?;
    for (key, value) in service.labels() {
        if key != crate::labels::STACK {
            writeln!(out, "        {key}: {}", quoted(&value))?;
        }
    }
    writeln!(out, "      placement:\n        constraints:")?;
    for constraint in service.all_constraints() {
        writeln!(out, "          - {}", quoted(&constraint))?;
    }
    writeln!(out, "      resources:")?;
    writeln!(
        out,
        "        limits:\n          cpus: \"1\"\n          memory: {}M",
        MEMORY_LIMIT >> 20
    )?;
    writeln!(
        out,
        "        reservations:\n          memory: {}M",
        MEMORY_RESERVATION >> 20
    )?;
    writeln!(out, "      restart_policy:\n        condition: any")?;
    writeln!(
        out,
        "        delay: {RESTART_DELAY}s\n        max_attempts: 0"
    )?;
    for (name, on_failure) in [("update_config", "rollback"), ("rollback_config", "pause")] {
        writeln!(
            out,
            "      {name}:\n        parallelism: 1\n        order: stop-first"
        )?;
        writeln!(
            out,
            "        failure_action: {on_failure}\n        monitor: {MONITOR}s"
        )?;
    }
    writeln!(
        out,
        "\nnetworks:\n  host:\n    external: true\n    name: host"
    )?;
    writeln!(out, "\nsecrets:")?;
    let authority = authority_secret(service.authority_generation);
    for (key, name) in [("keys", authority.as_str()), ("seal", SEALING_SECRET)] {
        writeln!(out, "  {key}:\n    external: true\n    name: {name}")?;
    }
    Ok(())
}
