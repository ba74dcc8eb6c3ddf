//! What a proxy asks of nodes in other processes without any client: their figures now and then, and memcached's
//! `flush_all` when its time has come.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use swell_engine::spec::Merge;
use swell_ring::SlotSet;
use swell_wire::{OwnedArgs, Proto};

use crate::error::ProxyError;
use crate::upstream::flights::Framing;
use crate::upstream::job::{self, Job, JobAnswer};
use crate::upstream::{NOBODY, encode};
use crate::worker::Worker;

/// Between two looks at the nodes' figures.
const LOOK: Duration = Duration::from_millis(500);

/// Looks at the nodes' figures for as long as the worker lives; while everything is in this process there is nothing to
/// ask, until a map says otherwise.
pub async fn watch_nodes(worker: Rc<Worker>) {
    loop {
        if worker.shared.route.is_direct() {
            until_change(&worker).await;
            continue;
        }
        match run(&worker, Job::Reports).await {
            Ok(JobAnswer::Reports(reports)) => worker.shared.set_reports(reports),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "a node does not say how it is"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Until the map, the state or a link changes.
async fn until_change(worker: &Worker) {
    let mut is_waiting = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut is_waiting, true) {
            return Poll::Ready(());
        }
        worker.upstreams.wait_for_change(NOBODY, cx.waker());
        Poll::Pending
    })
    .await;
}

/// Flushes memcached's one key space on all nodes.
pub async fn flush(worker: Rc<Worker>) {
    let mut request = Vec::new();
    encode::args(OwnedArgs::from_slices(&["flushdb"]).as_args(), &mut request);
    let job = Job::Walk { request, merge: Merge::Ok, slots: SlotSet::all(), repeatable: false };
    if let Err(error) = run(&worker, job).await {
        tracing::error!(%error, "a delayed flush_all did not reach every slot");
    }
}

/// Runs a job for nobody.
async fn run(worker: &Rc<Worker>, job: Job) -> Result<JobAnswer, ProxyError> {
    let flights = worker.upstreams.take_seat();
    let framing = {
        let worker = worker.clone();
        move || Framing {
            epoch: worker.lines().map().epoch().0,
            state: worker.shared.route.state_version(),
            ..Framing::default()
        }
    };
    let answer = job::start(worker.clone(), flights.clone(), framing, Proto::Resp2, job).await;
    worker.upstreams.leave_seat(&flights);
    answer
}
