//! Which fault strikes which request.

use http::HeaderMap;

use super::{
    fault::{Fault, Rule, Scope},
    params::Account,
};

/// The rules in force, in the order they were written.
#[derive(Default, Debug)]
pub(super) struct Script {
    rules: Vec<Rule>,
}

/// What a rule is held against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) account: &'a Account,
    pub(super) path: &'a str,
    pub(super) headers: &'a HeaderMap,
    /// Whether this is a call that produces a model's answer.
    pub(super) generating: bool,
    /// Known only when the body has been read; rules about a model wait for it.
    pub(super) model: Option<&'a str>,
    pub(super) has_stream_options: bool,
}

impl Script {
    pub(super) fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    /// The first rule that matches, if it is its turn. A rule that only counts down lets the next one
    /// have a look.
    pub(super) fn take(&mut self, facts: Facts<'_>) -> Option<Fault> {
        for n in 0..self.rules.len() {
            let rule = &mut self.rules[n];
            if !matches(rule, facts) {
                continue;
            }
            if rule.nth > 1 {
                rule.nth -= 1;
                continue;
            }
            let fault = rule.fault.clone();
            match &mut rule.left {
                None => {}
                Some(0) => continue,
                Some(left) => {
                    *left -= 1;
                    if *left == 0 {
                        self.rules.remove(n);
                    }
                }
            }
            return Some(fault);
        }
        None
    }
}

fn matches(rule: &Rule, facts: Facts<'_>) -> bool {
    let late = rule.model.is_some() || rule.fault == Fault::StreamOptionsUnknown;
    if late != facts.model.is_some() {
        return false;
    }
    let scope = match &rule.scope {
        Scope::Generating => facts.generating,
        Scope::Everything => true,
        Scope::Path(start) => facts.path.starts_with(start.as_str()),
    };
    let header = rule.header.as_ref().is_none_or(|(name, value)| {
        facts.headers.get(name).is_some_and(|seen| seen.as_bytes() == value.as_bytes())
    });
    let options = rule.fault != Fault::StreamOptionsUnknown || facts.has_stream_options;
    scope
        && header
        && options
        && rule.key.as_ref().is_none_or(|key| *key == facts.account.key)
        && rule.organization.as_ref().is_none_or(|organization| *organization == facts.account.organization)
        && rule.model.as_ref().is_none_or(|model| facts.model == Some(model.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(script: &mut Script, key: &str, path: &str, model: Option<&str>) -> Option<Fault> {
        let (account, headers) = (Account::new(key, "o", "w"), HeaderMap::new());
        let generating = path == "/v1/messages";
        let facts = Facts {
            account: &account,
            path,
            headers: &headers,
            generating,
            model,
            has_stream_options: false,
        };
        script.take(facts)
    }

    #[test]
    fn a_plain_fault_strikes_the_next_generating_request_once() {
        let mut script = Script::default();
        script.add(Fault::ServerError.into());
        assert_eq!(take(&mut script, "a", "/v1/models", None), None);
        assert_eq!(take(&mut script, "a", "/v1/messages", None), Some(Fault::ServerError));
        assert_eq!(take(&mut script, "a", "/v1/messages", None), None);
    }

    #[test]
    fn a_rule_for_a_key_spares_the_others_and_may_last() {
        let mut script = Script::default();
        script.add(Fault::KeyRejected.on_key("a").everywhere().always());
        for _ in 0..3 {
            assert_eq!(take(&mut script, "a", "/v1/models", None), Some(Fault::KeyRejected));
            assert_eq!(take(&mut script, "b", "/v1/messages", None), None);
        }
    }

    #[test]
    fn the_nth_request_is_counted_among_the_matching_ones() {
        let mut script = Script::default();
        script.add(Fault::Overloaded.on_key("a").from_nth(3).times(2));
        let struck: Vec<bool> =
            (0..6).map(|_| take(&mut script, "a", "/v1/messages", None).is_some()).collect();
        assert_eq!(struck, [false, false, true, true, false, false]);
    }

    #[test]
    fn a_rule_about_a_model_waits_for_the_body() {
        let mut script = Script::default();
        script.add(Fault::ModelForbidden.always().on_model("m"));
        assert_eq!(take(&mut script, "a", "/v1/messages", None), None);
        assert_eq!(take(&mut script, "a", "/v1/messages", Some("n")), None);
        assert_eq!(take(&mut script, "a", "/v1/messages", Some("m")), Some(Fault::ModelForbidden));
    }

    #[test]
    fn faults_strike_in_the_order_they_were_written() {
        let mut script = Script::default();
        script.add(Fault::ServerError.into());
        script.add(Fault::Overloaded.into());
        assert_eq!(take(&mut script, "a", "/v1/messages", None), Some(Fault::ServerError));
        assert_eq!(take(&mut script, "a", "/v1/messages", None), Some(Fault::Overloaded));
    }
}
