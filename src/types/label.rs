//! Closed sets of labels: for people a text, for machines one of these.

use std::fmt;

/// An enum whose variants are labels of metrics, logs and receipts.
macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident => $label:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)+
        }

        impl $name {
            /// Every variant, for tables and tests.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The label in metrics, logs and receipts.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.label())
            }
        }
    };
}

labels! {
    /// Whose fault it was.
    Blame {
        /// The request or the client's behaviour.
        Caller => "caller",
        /// Us, or how we are configured.
        Gateway => "gateway",
        /// The provider.
        Upstream => "upstream",
    }
}

labels! {
    /// Why we said no, or why an answer ended early.
    Reason {
        /// No such path here.
        UnknownPath => "unknown_path",
        /// The path is known, the method is not.
        MethodNotAllowed => "method_not_allowed",
        /// No credential, or one we do not know.
        Unauthenticated => "unauthenticated",
        /// The store of keys was never reached, so nobody can be told from anybody.
        KeysUnready => "keys_unready",
        /// The caller may not use this.
        Forbidden => "forbidden",
        /// Malformed JSON, wrong types, contradictory framing, duplicate keys.
        BadRequest => "bad_request",
        /// A content type or encoding that we do not read.
        UnsupportedMedia => "unsupported_media",
        /// More headers, or larger ones, than we read.
        HeadersTooLarge => "headers_too_large",
        /// The body is over the limit.
        BodyTooLarge => "body_too_large",
        /// The body took too long to arrive.
        UploadTimeout => "upload_timeout",
        /// The configuration offers no such model.
        UnknownModel => "unknown_model",
        /// The model is not served in the dialect that was spoken.
        WrongDialect => "wrong_dialect",
        /// The request holds something that the model's provider has no words for.
        Untranslatable => "untranslatable",
        /// The object is not known, or not this tenant's.
        UnknownObject => "unknown_object",
        /// The account that owns the object is gone from the configuration.
        OwnerGone => "owner_gone",
        /// Too many bytes are buffered already.
        BuffersFull => "buffers_full",
        /// Too many requests wait already.
        WaitersFull => "waiters_full",
        /// A limit of the caller's: requests, tokens, sessions.
        LimitReached => "limit_reached",
        /// A budget of the caller's is spent.
        BudgetExceeded => "budget_exceeded",
        /// What may be spent at every account is spent.
        AccountsSpent => "accounts_spent",
        /// The ledger cannot take any more, and is told to refuse then.
        LedgerFull => "ledger_full",
        /// Every rate domain is cooling.
        RateLimited => "rate_limited",
        /// Every endpoint is failing, quarantined or drained.
        NoEndpoint => "no_endpoint",
        /// Our accounts' own trouble: credentials, billing, spend.
        UpstreamAuth => "upstream_auth",
        /// The provider could not be reached.
        UpstreamUnreachable => "upstream_unreachable",
        /// The provider answered with an error.
        UpstreamError => "upstream_error",
        /// The provider did not answer, or fell silent.
        UpstreamTimeout => "upstream_timeout",
        /// The provider's stream broke after content.
        StreamBroken => "stream_broken",
        /// The client left.
        ClientGone => "client_gone",
        /// The client stopped reading.
        ClientStalled => "client_stalled",
        /// The gateway is shutting down.
        Draining => "draining",
        /// A fault of ours.
        Internal => "internal",
    }
}

labels! {
    /// How a request ended, as the client saw it.
    Outcome {
        /// A complete answer.
        Ok => "ok",
        /// We said no before any provider saw it.
        Denied => "denied",
        /// The provider refused the request itself (4xx); passed on verbatim.
        Refused => "refused",
        /// No provider could answer.
        Failed => "failed",
        /// The answer broke off after content.
        Interrupted => "interrupted",
        /// The client left first.
        Cancelled => "cancelled",
        /// The gateway died while it ran: how far it got is not known. Only in the ledger.
        Crashed => "crashed",
    }
}

labels! {
    /// How one try at an endpoint ended.
    AttemptOutcome {
        /// An answer, streamed to its end.
        Ok => "ok",
        /// 4xx about the request itself.
        Refused => "refused",
        /// 429 that cools its rate domain.
        RateLimited => "rate_limited",
        /// 529, 503.
        Overloaded => "overloaded",
        /// Any other 5xx, or an error event in place of content.
        ServerError => "server_error",
        /// 401, 402, 403, a spend cap.
        Unauthorized => "unauthorized",
        /// No connection.
        ConnectError => "connect_error",
        /// No first byte, or silence.
        Timeout => "timeout",
        /// The connection broke before content.
        Broken => "broken",
        /// The stream broke after content.
        Interrupted => "interrupted",
        /// A pooled connection that the provider had closed already.
        Stale => "stale",
        /// We dropped it: the client left, or the gateway drains.
        Cancelled => "cancelled",
    }
}

labels! {
    /// Whether a session stayed in place.
    AffinityResult {
        /// It went where it is warm.
        Hit => "hit",
        /// It was warm elsewhere and had to move.
        Moved => "moved",
        /// It was warm nowhere.
        New => "new",
    }
}

labels! {
    /// Why a session went where it went.
    AffinityReason {
        /// Where it is warm.
        Warm => "warm",
        /// Where it is warm, after waiting for it.
        Waited => "waited",
        /// Where another request has just made it warm, after waiting for that.
        Coalesced => "coalesced",
        /// Another place costs less at the moment.
        Cheaper => "cheaper",
        /// Only this account can serve it.
        HardPin => "hard_pin",
        /// First request of the session: rendezvous placement.
        First => "first",
        /// Cold again: placed anew, free of charge.
        Expired => "expired",
        /// Nothing identifies it.
        Anonymous => "anonymous",
        /// Its account is rate limited for longer than it is worth waiting.
        RateLimited => "rate_limited",
        /// Its account fails.
        Unavailable => "unavailable",
        /// Its account was quarantined, drained or removed.
        Withdrawn => "withdrawn",
        /// An earlier try of this request failed there.
        Fallback => "fallback",
    }
}

labels! {
    /// Why a session's prompt no longer begins as its last one did.
    BreakCause {
        /// Only digits and dates differ: the time of day in the prompt.
        Timestamp => "timestamp",
        /// The same members or lines in another order.
        ReorderedKeys => "reordered_keys",
        /// Claude Code's attribution block, where the provider takes it for a part of the prompt.
        Attribution => "attribution",
        /// An earlier message reads differently now.
        EditedHistory => "edited_history",
        /// The history was summed up or cut.
        Compaction => "compaction",
        /// Tools were added, removed, reordered or changed.
        ToolsChanged => "tools_changed",
        /// The system prompt reads differently now.
        SystemChanged => "system_changed",
        /// Settings that belong to the provider's cache key.
        SettingsChanged => "settings_changed",
        /// The prompt goes on as it should, but no breakpoint is near enough to find what was cached.
        MarkerMissing => "marker_missing",
    }
}
