//! What proxies have charged goes through here to the ledger, which is not the scaler's: it is passed on unread.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use swell_node::control::{Account, ToMember};
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use crate::members::Link;

/// Tells a proxy that its charge is in the ledger durably. Dropped without that, the proxy says it again.
pub type Stored = oneshot::Sender<()>;

/// Takes charges to the ledger, at once or not at all: it is called on the scaler's thread.
type Take = dyn Fn(Account, Stored) + Send + Sync;

/// The way to the ledger, if there is one. Without one proxies keep what they have charged.
#[derive(Clone, Default)]
pub struct Charges(Option<Arc<Take>>);

impl Charges {
    /// To this ledger.
    pub fn to(take: impl Fn(Account, Stored) + Send + Sync + 'static) -> Charges {
        Charges(Some(Arc::new(take)))
    }

    /// Passes a charge on, and acknowledges it over its link when it is stored.
    pub(crate) fn pass_on(&self, link: &Rc<Link>, charged: Account) {
        let Some(take) = &self.0 else { return };
        let ack = ToMember::AccountStored { boot: charged.boot.clone(), sequence: charged.sequence };
        let (stored, is_stored) = oneshot::channel();
        take(charged, stored);
        let link = link.clone();
        spawn_local(async move {
            if is_stored.await.is_ok() {
                link.send(&ack);
            }
        });
    }
}

impl fmt::Debug for Charges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Charges(to a ledger)" } else { "Charges(to nobody)" })
    }
}
