//! The binary `milvus-operator`; everything is in the library of this crate.

fn main() -> std::process::ExitCode {
    milvus_operator::main()
}
