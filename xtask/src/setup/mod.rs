//! Installs what a task needs and the machine lacks. Asks nothing, says what and why, changes
//! nothing that is there already; without root it says which command to run.

mod bpf_linker;
mod cargo_deny;
mod cargo_fuzz;
mod everything;
mod go;
mod packages;
mod toolchain;
mod unpacked;

pub use bpf_linker::bpf_linker;
pub use cargo_deny::cargo_deny;
pub use cargo_fuzz::cargo_fuzz;
pub use everything::everything;
pub use go::go;
pub use packages::{CONTROL_PLANE, FUZZ, NETWORK, OLD_ETCD, Package, packages};
pub use toolchain::{EbpfToolchain, ebpf_toolchain};
pub use unpacked::unpacked;
