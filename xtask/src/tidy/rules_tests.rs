//! Each rule with a text that keeps it and one that breaks it.

use super::{breaches, unsafe_files};

fn whats(path: &str, text: &str) -> Vec<String> {
    let listed = ["proxy-agent/src/maps/raw.rs".to_owned(), "proxy-ebpf/src/".to_owned()];
    breaches(path, text, &listed).into_iter().map(|(line, what)| format!("{line} {what}")).collect()
}

fn kept(path: &str, text: &str) {
    assert_eq!(whats(path, text), Vec::<String>::new());
}

fn broken(path: &str, text: &str, start: &str) {
    let found = whats(path, text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with(start), "{found:?}");
}

#[test]
fn a_file_opens_with_its_documentation_and_ends_in_time() {
    kept("xtask/src/a.rs", "//! A.\n");
    broken("xtask/src/a.rs", "use std::fs;\n", "1 does not open");
    broken("xtask/src/a.rs", &format!("//! A.\n{}", "\n".repeat(500)), "501 501 lines");
}

#[test]
fn an_index_holds_no_code() {
    kept("tests/src/lib.rs", "//! A.\n#![no_std]\n\npub mod a;\n#[cfg(test)]\nmod b;\npub use a::{\n    B,\n    C,\n};\n");
    broken("tests/src/a/mod.rs", "//! A.\nmod a;\n\npub fn f() {}\n", "4 lib.rs and mod.rs");
}

#[test]
fn unsafe_code_is_where_the_list_says() {
    let text = "//! A.\nfn f() { unsafe { g() } }\nfn h() { unsafe { g() } }\n";
    broken("tests/src/a.rs", text, "2 unsafe code");
    kept("proxy-agent/src/maps/raw.rs", text);
    kept("proxy-ebpf/src/tc.rs", text);
    kept("tests/src/a.rs", "//! A.\n#![deny(unsafe_code)] // no unsafe\nconst A: &str = \"unsafe\";\n");
    let page = "# A\n\n## Unsafe code\n\nDenied but in:\n- `a/b.rs`: why\n- `c/`: why\n\n## More\n- `d.rs`: no\n";
    assert_eq!(unsafe_files(page), ["a/b.rs", "c/"]);
}

#[test]
fn foreign_types_stay_behind_their_borders() {
    broken("proxy-agent/src/sync/a.rs", "//! A.\nuse aya::maps::Map;\n", "2 only maps and attach");
    kept("proxy-agent/src/attach/tc.rs", "//! A.\nuse aya::maps::Map;\n");
    broken("proxy-agent/src/compile/a.rs", "//! A.\nfn f(s: k8s_openapi::Service) {}\n", "2 only watch and state");
    kept("proxy-agent/src/app.rs", "//! Not kube::Client.\nuse crate::kube::a;\nuse crate::maya::b;\n");
    broken("proxy-agent/src/compile/a.rs", "//! A.\nuse std::fs;\n", "2 compile does no IO");
    kept("tests/tests/kernel_a.rs", "//! A.\nuse aya::maps::Map;\n");
}

#[test]
fn nothing_unfinished_and_no_lint_silenced() {
    broken("xtask/src/a.rs", concat!("//! A.\n// TO", "DO\n"), "2 TO");
    broken("xtask/src/a.rs", concat!("//! A.\nfn f() { unimplemented", "!() }\n"), "2 unimpl");
    broken("xtask/src/a.rs", concat!("//! A.\n#[al", "low(dead_code)]\n"), "2 a bare");
    kept("xtask/src/a.rs", "//! A.\n#[expect(dead_code, reason = \"why\")]\n");
}
