//! Which events are put in force together. Nothing is waited for: the first event begins a round at once, and what comes while that is
//! written makes up the next. So bursts are coalesced as far as the agent is behind, and no event waits for more than the round that is
//! being written and its own, whatever follows.

use crate::watch::Batch;
use tokio::sync::mpsc;

/// Events that one round takes at most, but for those that come at once, as lists do.
const ROUND: usize = 16_384;

/// This batch and what waits behind it, in their order.
pub fn gather(first: Batch, waiting: &mut mpsc::Receiver<Batch>) -> Vec<Batch> {
    let mut events = first.events.len();
    let mut round = vec![first];
    while events < ROUND
        && let Ok(more) = waiting.try_recv()
    {
        events += more.events.len();
        round.push(more);
    }
    round
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Event;
    use crate::watch::objects::{Kind, ObjectName};

    fn event(number: usize) -> Event {
        Event::Delete(Kind::Service, ObjectName::new("default", &number.to_string()))
    }

    /// The numbers of events that come in batches of `batch`, by the round in which each is put in force.
    fn rounds(events: usize, batch: usize) -> Vec<Vec<Event>> {
        let all: Vec<Event> = (0..events).map(event).collect();
        let (sender, mut waiting) = mpsc::channel(events);
        all.chunks(batch).for_each(|batch| sender.try_send(Batch::just_came(batch.to_vec())).expect("room"));
        drop(sender);
        let next = |waiting: &mut mpsc::Receiver<Batch>| waiting.try_recv().ok();
        let events = |round: Vec<Batch>| round.into_iter().flat_map(|batch| batch.events).collect();
        std::iter::from_fn(|| Some(next(&mut waiting)?).map(|first| events(gather(first, &mut waiting)))).collect()
    }

    #[test]
    fn the_first_event_begins_a_round_at_once() {
        let (sender, mut waiting) = mpsc::channel(2);
        let batch = |number| Batch::just_came(vec![event(number)]);
        let (first, second) = (batch(0), batch(1));
        assert_eq!(gather(first.clone(), &mut waiting), std::slice::from_ref(&first), "more may come, and is not waited for");
        sender.try_send(second.clone()).expect("room");
        assert_eq!(gather(first.clone(), &mut waiting), [first, second]);
    }

    #[test]
    fn a_flood_delays_no_event_beyond_a_bounded_round() {
        for batch in [1, 100, 10_000] {
            let rounds = rounds(100_000, batch);
            assert!(rounds.iter().all(|round| round.len() < ROUND + batch), "rounds of {:?}", rounds.iter().map(Vec::len));
            assert!(rounds.len() <= 100_000_usize.div_ceil(ROUND) + 1, "{} rounds", rounds.len());
            assert!(rounds.concat().into_iter().eq((0..100_000).map(event)), "all of them, in their order");
        }
    }
}
