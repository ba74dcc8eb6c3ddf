//! INFO: figures by section, in the names that Redis gives them. Exact for the worker that answers; what other workers
//! counted is at most a tenth of a second behind (a second while they are idle).

pub mod process;
mod sections;
mod text;

use swell_wire::{Args, Out};

use crate::core::Core;
use crate::others::{self, Answers, Question};
use crate::session::{Flow, SessionCx, remote};
use crate::shared::unix_ms;
use text::Text;

/// When a section is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Without arguments too.
    ByDefault,
    /// With `all`, or when it is named.
    WithAll,
}

struct Section {
    /// As clients name it, in lower case.
    name: &'static str,
    title: &'static str,
    shown: Shown,
    write: fn(&Figures<'_>, &mut Text),
}

/// What the sections are written from: looked up once for all of them.
struct Figures<'a> {
    core: &'a Core,
    /// Of all proxies.
    all: others::Figures,
    node: swell_node::metrics::Figures,
    now_ms: u64,
}

/// In the order in which they are shown.
static SECTIONS: &[Section] = &[
    Section { name: "server", title: "Server", shown: Shown::ByDefault, write: sections::server },
    Section { name: "tls", title: "TLS", shown: Shown::WithAll, write: sections::tls },
    Section { name: "clients", title: "Clients", shown: Shown::ByDefault, write: sections::clients },
    Section { name: "memory", title: "Memory", shown: Shown::ByDefault, write: sections::memory },
    Section { name: "persistence", title: "Persistence", shown: Shown::ByDefault, write: sections::persistence },
    Section { name: "stats", title: "Stats", shown: Shown::ByDefault, write: sections::stats },
    Section { name: "replication", title: "Replication", shown: Shown::ByDefault, write: sections::replication },
    Section { name: "cpu", title: "CPU", shown: Shown::ByDefault, write: sections::cpu },
    Section { name: "modules", title: "Modules", shown: Shown::ByDefault, write: |_, _| {} },
    Section { name: "commandstats", title: "Commandstats", shown: Shown::WithAll, write: sections::command_stats },
    Section { name: "errorstats", title: "Errorstats", shown: Shown::ByDefault, write: sections::error_stats },
    Section { name: "latencystats", title: "Latencystats", shown: Shown::WithAll, write: sections::latency_stats },
    Section { name: "swell", title: "Swell", shown: Shown::ByDefault, write: sections::swell },
    Section { name: "cluster", title: "Cluster", shown: Shown::ByDefault, write: sections::cluster },
    Section { name: "keyspace", title: "Keyspace", shown: Shown::ByDefault, write: sections::keyspace },
];

pub fn info(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let times = SECTIONS.iter().any(|section| section.has_times() && section.is_wanted(args));
    // A transaction does not wait: there it speaks for this proxy.
    let told = match cx.session.in_exec {
        true => Answers::default(),
        false => match others::ask(cx, args, out, || Question::Figures { times }) {
            Ok(told) => told,
            Err(flow) => return flow,
        },
    };
    if !cx.is_informed() {
        return remote::after_reports(cx, args);
    }
    cx.core.report();
    let now_ms = unix_ms();
    cx.core.shared.observe_stored(now_ms);
    let (all, node) = (others::Figures::all(cx.core, now_ms, times, &told), cx.core.shared.figures());
    let figures = Figures { core: cx.core, all, node, now_ms };
    let mut text = Text::default();
    for section in SECTIONS.iter().filter(|section| section.is_wanted(args)) {
        text.title(section.title);
        (section.write)(&figures, &mut text);
    }
    out.verbatim(text.as_bytes());
    Flow::Done
}

impl Section {
    /// Whether it tells how long commands take.
    fn has_times(&self) -> bool {
        matches!(self.name, "commandstats" | "latencystats")
    }

    /// Words that name nothing are passed over.
    fn is_wanted(&self, args: Args<'_>) -> bool {
        let names = |word: &[u8]| match word.to_ascii_lowercase().as_slice() {
            b"default" => self.shown == Shown::ByDefault,
            b"all" | b"everything" => true,
            word => word == self.name.as_bytes(),
        };
        if args.len() == 1 { self.shown == Shown::ByDefault } else { args.from(1).iter().any(names) }
    }
}
