//! Limits and budgets: what a request takes from each level, and what it comes to in the end.
