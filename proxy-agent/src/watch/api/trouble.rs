//! Failures of attempts as troubles, and what to do about each.

use super::access::chain;
use super::attempt::{Failure, Start};
use crate::watch::objects::Kind;
use crate::watch::trouble::ApiTrouble;
use kube::core::Status;

/// How to go on after a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Remedy {
    /// Wait, then go on from where it was.
    Retry,
    /// The same; after several in a row it may be that the server is elsewhere, or is somebody else.
    Reach,
    /// Wait, then list afresh: the version that was reached is of no use to the server.
    List,
    /// The same, and no trouble unless it happens several times in a row: servers forget versions after some minutes.
    Relist,
    /// List page by page, at once: the server does not stream lists.
    Page,
    /// Read the credentials afresh.
    Renew,
    /// As `Retry`; after several in a row wait for long: only people can change it, and the kind can be done without.
    Rarely,
    /// Wait for very long: an API server that has the kind must be installed first.
    Absent,
}

/// What the failure of an attempt that began like this means for the kind.
pub fn diagnose(kind: Kind, start: &Start, failure: &Failure) -> (ApiTrouble, Remedy) {
    let what = kind.plural();
    match failure {
        Failure::Api(kube::Error::Api(status)) => refused(kind, start, status),
        // Making the request needed credentials that can't be had.
        Failure::Api(error @ kube::Error::Auth(_)) => (ApiTrouble::Unauthorized { what, error: chain(error) }, Remedy::Renew),
        Failure::Api(error) => (ApiTrouble::Unreachable { what, error: chain(error) }, Remedy::Reach),
        Failure::Torn | Failure::Silent(_) | Failure::Unanswered(_) => {
            (ApiTrouble::Unreachable { what, error: failure.to_string() }, Remedy::Reach)
        }
        Failure::NoVersion => (ApiTrouble::Refused { what, error: failure.to_string() }, Remedy::List),
    }
}

fn refused(kind: Kind, start: &Start, status: &Status) -> (ApiTrouble, Remedy) {
    let what = kind.plural();
    let error = if status.message.is_empty() { status.reason.clone() } else { status.message.clone() };
    match status.code {
        401 => (ApiTrouble::Unauthorized { what, error }, Remedy::Renew),
        403 if !kind.is_vital() => (ApiTrouble::Forbidden { what, error }, Remedy::Rarely),
        403 => (ApiTrouble::Forbidden { what, error }, Remedy::Retry),
        410 if matches!(start, Start::Resumed(_)) => (ApiTrouble::Refused { what, error }, Remedy::Relist),
        404 if !kind.is_vital() => (ApiTrouble::Refused { what, error }, Remedy::Absent),
        429 | 503 | 504 => (ApiTrouble::Refused { what, error }, Remedy::Retry),
        // 422 without the feature gate (and before Kubernetes 1.27), 500 over an etcd that can't tell its progress.
        400 | 422 | 500 if *start == Start::Streamed => (ApiTrouble::Refused { what, error }, Remedy::Page),
        500..=599 => (ApiTrouble::Refused { what, error }, Remedy::Retry),
        _ => (ApiTrouble::Refused { what, error }, Remedy::List),
    }
}
