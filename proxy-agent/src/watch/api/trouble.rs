//! Errors of the API as troubles, and what to do about each.

use super::access::chain;
use crate::watch::objects::Kind;
use crate::watch::trouble::ApiTrouble;
use kube::runtime::watcher;
use std::io;

/// How to go on after an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Remedy {
    /// Wait, then let the watcher try again from where it was.
    Retry,
    /// Wait, then list afresh: what the watcher remembers is of no use to the server.
    List,
    /// Wait, then read the credentials afresh.
    Renew,
}

/// What the error means for the watch of this kind.
pub fn diagnose(kind: Kind, error: &watcher::Error) -> (ApiTrouble, Remedy) {
    let what = plural(kind);
    match error {
        watcher::Error::InitialListFailed(cause)
        | watcher::Error::WatchStartFailed(cause)
        | watcher::Error::WatchFailed(cause) => {
            match cause {
                kube::Error::Api(status) => refused(what, status),
                // The list under way is given up: only another request may be answered.
                kube::Error::Service(cause) if is_time_out(cause.as_ref()) => {
                    (ApiTrouble::Unreachable { what, error: chain(cause.as_ref()) }, Remedy::List)
                }
                // Making the request needed credentials that can't be had.
                kube::Error::Auth(_) => (ApiTrouble::Unauthorized { what, error: chain(cause) }, Remedy::Renew),
                _ => (ApiTrouble::Unreachable { what, error: chain(cause) }, Remedy::Retry),
            }
        }
        watcher::Error::WatchError(status) => refused(what, status),
        watcher::Error::NoResourceVersion => (ApiTrouble::Refused { what, error: error.to_string() }, Remedy::List),
    }
}

fn is_time_out(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

fn refused(what: &'static str, status: &kube::core::Status) -> (ApiTrouble, Remedy) {
    let error = if status.message.is_empty() { status.reason.clone() } else { status.message.clone() };
    match status.code {
        401 => (ApiTrouble::Unauthorized { what, error }, Remedy::Renew),
        403 => (ApiTrouble::Forbidden { what, error }, Remedy::Retry),
        429 | 500..=599 => (ApiTrouble::Refused { what, error }, Remedy::Retry),
        _ => (ApiTrouble::Refused { what, error }, Remedy::List),
    }
}

const fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::Service => "services",
        Kind::EndpointSlice => "endpointslices",
        Kind::Node => "nodes",
    }
}
