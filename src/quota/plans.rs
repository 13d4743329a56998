//! Plans that are made already, by key and by session. Bounded: what is not used makes room.

use std::{num::NonZeroUsize, sync::Arc};

use lru::LruCache;
use parking_lot::Mutex;

use super::{
    line::Line,
    plan::{Plan, Session, Sheet},
};
use crate::{
    clock::UnixTime,
    types::{Allowance, Levels, Limits, ModelName, Scope, SessionKey, TenantId, VirtualKey},
};

/// Plans of keys that are kept: about a kilobyte each. Making one takes microseconds.
const PLANS: NonZeroUsize = NonZeroUsize::new(131_072).unwrap();
/// Sheets of everything else.
const SHEETS: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();
/// Sheets of sessions.
const SESSIONS: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

type Kept<K, V> = LruCache<K, V, ahash::RandomState>;

pub(super) struct Plans(Mutex<Made>);

/// What a request is counted in.
pub(super) struct Found {
    pub(super) plan: Arc<Plan>,
    pub(super) session: Option<Arc<Sheet>>,
    pub(super) model: Option<Arc<Sheet>>,
}

struct Made {
    levels: Arc<Levels>,
    plans: Kept<Scope, Arc<Plan>>,
    sheets: Kept<Scope, Arc<Sheet>>,
    /// With the plan that it was made for.
    sessions: Kept<SessionKey, (Arc<Plan>, Arc<Sheet>)>,
}

fn kept<K: std::hash::Hash + Eq, V>(most: NonZeroUsize) -> Kept<K, V> {
    // Grows as it fills.
    let mut kept = LruCache::unbounded_with_hasher(ahash::RandomState::default());
    kept.resize(most);
    kept
}

impl Default for Plans {
    fn default() -> Self {
        Self(Mutex::new(Made::new(Arc::default())))
    }
}

impl Plans {
    /// Other levels: everything is made anew.
    pub(super) fn configure(&self, levels: Arc<Levels>) {
        let old = std::mem::replace(&mut *self.0.lock(), Made::new(levels));
        // After the lock: there may be a lot to free.
        drop(old);
    }

    /// The plan of a key, or of callers without one; the sheet of the session, where sessions are counted,
    /// and of the model, where it has budgets.
    pub(super) fn find(
        &self,
        key: Option<&Arc<VirtualKey>>,
        tenant: &TenantId,
        session: Option<SessionKey>,
        model: Option<&ModelName>,
        at: UnixTime,
    ) -> Found {
        let mut made = self.0.lock();
        let plan = made.plan(key, tenant, at);
        let session = session.filter(|_| !plan.session.is_free()).map(|key| made.session(key, &plan, at));
        let model = model.filter(|model| made.levels.models.contains_key(*model));
        let model = model.map(|model| made.sheet(Scope::Model(model.clone()), at));
        Found { plan, session, model }
    }

    /// The sheet of a provider or an endpoint; `None` when it has no budgets.
    pub(super) fn sheet(&self, scope: Scope, at: UnixTime) -> Option<Arc<Sheet>> {
        let mut made = self.0.lock();
        made.has_budgets(&scope).then(|| made.sheet(scope, at))
    }

    /// The lines of every organisation, team, tag, model, provider and endpoint.
    pub(super) fn budgets(&self, at: UnixTime) -> Vec<Arc<Line>> {
        let mut made = self.0.lock();
        let levels = Arc::clone(&made.levels);
        let organisations = levels.organisations.keys().cloned().map(Scope::Organisation);
        let teams = levels.teams.keys().cloned().map(|(organisation, team)| Scope::Team(organisation, team));
        let tags = levels.tags.keys().cloned().map(Scope::Tag);
        let models = levels.models.keys().cloned().map(Scope::Model);
        let providers = levels.providers.keys().cloned().map(Scope::Provider);
        let endpoints = levels.endpoints.keys().cloned().map(Scope::Endpoint);
        let all = organisations.chain(teams).chain(tags).chain(models).chain(providers).chain(endpoints);
        all.flat_map(|scope| made.sheet(scope, at).lines.clone()).collect()
    }

    /// The sheet of any scope but a key's and a session's.
    pub(super) fn sheet_of(&self, scope: &Scope, at: UnixTime) -> Arc<Sheet> {
        self.0.lock().sheet(scope.clone(), at)
    }
}

impl Made {
    fn new(levels: Arc<Levels>) -> Self {
        Self { levels, plans: kept(PLANS), sheets: kept(SHEETS), sessions: kept(SESSIONS) }
    }

    fn plan(&mut self, key: Option<&Arc<VirtualKey>>, tenant: &TenantId, at: UnixTime) -> Arc<Plan> {
        let scope = key.map_or_else(|| Scope::Organisation(tenant.clone()), |key| Scope::Key(key.id.clone()));
        if let Some(plan) = self.plans.get(&scope)
            && plan.valid.contains(&at.0.as_secs())
            && same(plan.key.as_ref(), key)
        {
            return Arc::clone(plan);
        }
        let levels = Arc::clone(&self.levels);
        let mut sheets = vec![self.sheet(Scope::Organisation(tenant.clone()), at)];
        let mut allowances: Vec<&Allowance> = levels.organisations.get(tenant).into_iter().collect();
        if let Some(key) = key {
            if let Some(team) = &key.team {
                allowances.extend(levels.teams.get(&(tenant.clone(), team.clone())));
                sheets.push(self.sheet(Scope::Team(tenant.clone(), team.clone()), at));
            }
            allowances.push(&key.allowance);
            let own = Sheet::new(&scope, &key.allowance.limits, &key.allowance.budgets, at);
            sheets.push(Arc::new(own));
            for tag in &key.tags {
                let tag = Scope::Tag(tag.clone());
                if self.has_budgets(&tag) {
                    sheets.push(self.sheet(tag, at));
                }
            }
        }
        let session = Session::new(&levels.sessions, allowances.into_iter());
        let plan = Arc::new(Plan::new(key.map(Arc::clone), session, &sheets, at));
        self.plans.put(scope, Arc::clone(&plan));
        plan
    }

    fn session(&mut self, key: SessionKey, plan: &Arc<Plan>, at: UnixTime) -> Arc<Sheet> {
        if let Some((of, sheet)) = self.sessions.get(&key)
            && Arc::ptr_eq(of, plan)
            && sheet.valid.contains(&at.0.as_secs())
        {
            return Arc::clone(sheet);
        }
        let sheet = Arc::new(Sheet::of_session(key, &plan.session, at));
        self.sessions.put(key, (Arc::clone(plan), Arc::clone(&sheet)));
        sheet
    }

    fn has_budgets(&self, scope: &Scope) -> bool {
        let levels = &self.levels;
        match scope {
            Scope::Tag(name) => levels.tags.contains_key(name),
            Scope::Model(name) => levels.models.contains_key(name),
            Scope::Provider(name) => levels.providers.contains_key(name),
            Scope::Endpoint(name) => levels.endpoints.contains_key(name),
            Scope::Organisation(_) | Scope::Team(..) | Scope::Key(_) | Scope::Session(_) => true,
        }
    }

    fn sheet(&mut self, scope: Scope, at: UnixTime) -> Arc<Sheet> {
        if let Some(sheet) = self.sheets.get(&scope)
            && sheet.valid.contains(&at.0.as_secs())
        {
            return Arc::clone(sheet);
        }
        let levels = &self.levels;
        let none = Allowance::default();
        let allowance = match &scope {
            Scope::Organisation(name) => levels.organisations.get(name).unwrap_or(&none),
            Scope::Team(organisation, name) => {
                levels.teams.get(&(organisation.clone(), name.clone())).unwrap_or(&none)
            }
            Scope::Key(_)
            | Scope::Session(_)
            | Scope::Tag(_)
            | Scope::Model(_)
            | Scope::Provider(_)
            | Scope::Endpoint(_) => &none,
        };
        let budgets = match &scope {
            Scope::Tag(name) => levels.tags.get(name),
            Scope::Model(name) => levels.models.get(name),
            Scope::Provider(name) => levels.providers.get(name),
            Scope::Endpoint(name) => levels.endpoints.get(name),
            Scope::Organisation(_) | Scope::Team(..) | Scope::Key(_) | Scope::Session(_) => None,
        };
        let limits: &Limits = &allowance.limits;
        let sheet = Sheet::new(&scope, limits, budgets.unwrap_or(&allowance.budgets), at);
        let sheet = Arc::new(sheet);
        self.sheets.put(scope, Arc::clone(&sheet));
        sheet
    }
}

fn same(one: Option<&Arc<VirtualKey>>, other: Option<&Arc<VirtualKey>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}
