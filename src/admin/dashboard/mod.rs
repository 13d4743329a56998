//! The dashboard: what people look at in a browser.

#![expect(dead_code, reason = "nobody asks yet")]

mod view;
