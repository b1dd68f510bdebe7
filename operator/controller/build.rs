//! How the binary is linked. Touches nothing but the linker's arguments.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // A static binary that can be loaded at any address adjusts itself at every start, from a table that is read whole: 1.5 MB of
    // file and of memory as a plain list, 15 kB packed.
    if cfg("TARGET_ENV") == "gnu"
        && cfg("TARGET_FEATURE").split(',').any(|f| f == "crt-static")
        && glibc().is_some_and(|version| version >= (2, 36))
    {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

fn cfg(name: &str) -> String {
    std::env::var(format!("CARGO_CFG_{name}")).unwrap_or_default()
}

/// The version of the C library whose start code goes into the binary. It reads packed tables since 2.36
/// (glibc's NEWS for that release: DT_RELR).
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf")
        .arg("GNU_LIBC_VERSION")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
