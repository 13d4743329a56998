//! Metric families of limits, budgets and the ledger.

use pingora_prometheus::prometheus::{GaugeVec, IntCounterVec, IntGauge};

use super::family::Family;

/// Limits, budgets and the ledger.
pub struct Spending {
    limit_denials: IntCounterVec,
    budget_alerts: IntCounterVec,
    webhook: IntCounterVec,
    /// How much of each configured budget is used: 1 is all of it.
    pub budget_used: GaugeVec,
    /// Entries that wait for the ledger's disk.
    pub ledger_queued: IntGauge,
    /// Receipts and open records that were dropped because the ledger could not be written.
    pub ledger_dropped: IntGauge,
    /// Receipts in the ledger's file since the start.
    pub ledger_written: IntGauge,
    /// 1 while the ledger cannot be written.
    pub ledger_failing: IntGauge,
    /// 1 while a shared server (`redis`, `postgres`) can be reached.
    pub shared_up: GaugeVec,
    /// Gateways that live, as the shared counters know it.
    pub shared_gateways: IntGauge,
    /// Calls that wait to be told to the shared counters.
    pub shared_undelivered: IntGauge,
    /// Receipts that are not in the shared ledger yet.
    pub ledger_spooled: IntGauge,
    /// Receipts that the shared ledger refused.
    pub ledger_refused: IntGauge,
}

impl Spending {
    pub(super) fn register(r: Family<'_>) -> Self {
        Self {
            limit_denials: r.counters(
                "limit_denials_total",
                "Requests that a limit or budget refused, or streams that it ended, by whose and which.",
                &["level", "limit"],
            ),
            budget_alerts: r.counters(
                "budget_alerts_total",
                "Budgets that reached 50, 80 or 100 percent, by whose and which.",
                &["level", "budget", "percent"],
            ),
            webhook: r.counters("alert_webhook_total", "Messages for the alert webhook.", &["result"]),
            budget_used: r.gauges(
                "budget_used_ratio",
                "Spent and reserved over the budget, of what the configuration names.",
                &["level", "name", "budget"],
            ),
            ledger_queued: r.level("ledger_queued", "Entries that wait for the ledger's disk."),
            ledger_dropped: r.level("ledger_dropped", "Entries dropped since the start: buffer full."),
            ledger_written: r.level("ledger_written", "Receipts written to the ledger since the start."),
            ledger_failing: r.level("ledger_failing", "1 while the ledger cannot be written."),
            shared_up: r.gauges("shared_up", "1 while a shared server can be reached.", &["server"]),
            shared_gateways: r
                .level("shared_gateways", "Gateways that live, as the shared counters know it."),
            shared_undelivered: r.level("shared_undelivered", "Calls that wait for the shared counters."),
            ledger_spooled: r.level("ledger_spooled", "Receipts that are not in the shared ledger yet."),
            ledger_refused: r.level("ledger_refused", "Receipts that the shared ledger refused."),
        }
    }

    /// A limit or a budget refused a request, or ended a stream.
    pub fn refused(&self, level: &str, limit: &str) {
        self.limit_denials.with_label_values(&[level, limit]).inc();
    }

    /// A budget has reached so many percent.
    pub fn alerted(&self, level: &str, budget: &str, percent: u8) {
        self.budget_alerts.with_label_values(&[level, budget, &percent.to_string()]).inc();
    }

    /// What became of a message for the webhook.
    pub fn webhook(&self, result: &str) {
        self.webhook.with_label_values(&[result]).inc();
    }
}
