//! Output of real test programs, whole, cut off and disturbed.

use super::{Ending, Outcome, Parser};

fn parse(text: &str, ending: Ending) -> Outcome {
    let mut parser = Parser::new();
    for line in text.lines() {
        parser.line(line);
    }
    parser.finish(ending)
}

fn names(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect()
}

#[test]
fn passed_failed_ignored_and_skipped_each_count_once() {
    let text = "\nrunning 5 tests\ntest a::good ... ok\ntest a::old ... ignored, needs a modem\n\
        test a::bad ... FAILED\ntest a::lame ... ok\ntest a::panics - should panic ... ok\n\nsuccesses:\n\n\
        ---- a::lame stdout ----\nSKIP: no netkit in this kernel\n---- a::good stdout ----\n\
        REPORT: 3 ms\nnoise\n\nsuccesses:\n    a::good\n    a::lame\n\nfailures:\n\n\
        ---- a::bad stdout ----\nassertion failed\n\nfailures:\n    a::bad\n\n\
        test result: FAILED. 3 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out\n";
    let outcome = parse(text, Ending::Bad);
    assert_eq!(outcome.passed, 2);
    assert_eq!(outcome.failed, ["a::bad"]);
    assert_eq!(names(&outcome.skipped), [("a::old", "needs a modem"), ("a::lame", "no netkit in this kernel")]);
    assert_eq!(names(&outcome.reports), [("a::good", "3 ms")]);
    assert!(outcome.details.iter().any(|line| line == "assertion failed"));
}

#[test]
fn a_child_that_writes_into_the_line_hides_no_verdict() {
    let outcome = parse("test a ... listening on 80\nok\ntest b ... \nmore noise\nFAILED\ntest result: FAILED.", Ending::Bad);
    assert_eq!(outcome.passed, 1);
    assert_eq!(outcome.failed, ["b"]);
}

#[test]
fn a_program_that_dies_is_a_failure() {
    let outcome = parse("test a ... ok\ntest b ... ", Ending::Bad);
    assert_eq!(outcome.passed, 1);
    assert_eq!(outcome.failed, ["b (the program ended in it)"]);
    assert_eq!(parse("", Ending::Bad).failed, ["(the program ended early)"]);
    assert_eq!(parse("running 0 tests\ntest result: ok. 0 passed", Ending::Good).failed, Vec::<String>::new());
}

#[test]
fn a_test_that_never_ends_is_named() {
    let alone = parse("test a ... ok\ntest b ... ", Ending::TooLong);
    assert_eq!(alone.passed, 1);
    assert_eq!(alone.failed, ["b (ended by the runner: it took too long)"]);
    let slow = "test c has been running for over 60 seconds\ntest d has been running for over 60 seconds\ntest d ... ok\n";
    let beside_others = parse(slow, Ending::TooLong);
    assert_eq!(beside_others.passed, 1);
    assert_eq!(beside_others.failed, ["c (ended by the runner: it took too long)"]);
    assert_eq!(parse("running 3 tests", Ending::TooLong).failed, ["(ended by the runner: it took too long)"]);
}
