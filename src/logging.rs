//! Log lines: to standard error, as text on a terminal and as JSON otherwise.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, dispatcher};
use tracing_subscriber::fmt::MakeWriter;

use crate::config::values::{LogFormat, LogLevel};

/// Sends the log lines of this process to standard error, from now on.
///
/// # Errors
/// Log lines already go somewhere.
pub fn start(format: LogFormat, level: LogLevel) -> Result<(), dispatcher::SetGlobalDefaultError> {
    let terminal = io::stderr().is_terminal();
    let json = match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !terminal,
    };
    dispatcher::set_global_default(dispatch(json, terminal, level, io::stderr))
}

/// `colour` is for text only.
fn dispatch<W>(json: bool, colour: bool, level: LogLevel, writer: W) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_max_level(filter(level)).with_writer(writer).with_target(false);
    match json {
        true => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).finish().into(),
        false => lines.with_ansi(colour).finish().into(),
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no writer panics").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(json: bool, level: LogLevel) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let dispatch = dispatch(json, false, level, move || writer.clone());
        dispatcher::with_default(&dispatch, || {
            tracing::info!(port = 6379, "listening");
            tracing::warn!("port 6379 is taken");
        });
        let bytes = kept.0.lock().expect("no writer panics").clone();
        String::from_utf8(bytes).expect("log lines are UTF-8")
    }

    #[test]
    fn json_lines_have_level_message_and_fields() {
        let text = lines(true, LogLevel::Info);
        let first: serde_json::Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
        assert_eq!(
            (&first["level"], &first["message"], &first["port"]),
            (&"INFO".into(), &"listening".into(), &6379.into())
        );
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn text_lines_below_the_level_are_left_out() {
        let text = lines(false, LogLevel::Warn);
        assert!(text.contains("WARN port 6379 is taken") && !text.contains("listening"), "{text}");
    }
}
