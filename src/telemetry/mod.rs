//! Metric families and the log.
//!
//! Counters and histograms are fed once a request, from its receipt (`proxy/settle.rs`); gauges are
//! read off the live state when somebody scrapes, those of endpoints and domains straight into the text. Labels are closed sets or configured names, so a
//! scrape cannot grow with traffic. Prompt text, answers and secrets never come here.

mod exemplars;
mod family;
mod latency;
mod log;
mod metrics;
mod openmetrics;
pub mod otlp;
mod readings;
mod spending;
mod trace;

pub use log::{LogFormat, LogParams, start_log};
pub use metrics::Metrics;
pub use openmetrics::{Scrape, scrape};
pub use readings::{Reading, Readings};
pub use spending::Spending;
pub use trace::{Ticket, TraceParams, Traced, Tracer};
