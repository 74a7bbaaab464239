//! Lets the agent compile where no eBPF object has been built: an empty file stands in for it, which `sluice run` refuses to load.

use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-env-changed=SLUICE_EBPF_OBJECT");
    let Some(object) = std::env::var_os("SLUICE_EBPF_OBJECT").map(PathBuf::from) else {
        println!("cargo::error=SLUICE_EBPF_OBJECT is not set: build inside the repository, where .cargo/config.toml sets it");
        return;
    };
    println!("cargo::rerun-if-changed={}", object.display());
    let made = object.parent().map_or(Ok(()), std::fs::create_dir_all);
    if !object.exists()
        && let Err(error) = made.and_then(|()| std::fs::write(&object, []))
    {
        println!("cargo::error={}: {error}; make the folder writable", object.display());
    }
}
