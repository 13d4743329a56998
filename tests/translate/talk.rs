//! Conversations made by chance, of what all dialects can say.

use proptest::{collection::vec, option, prelude::*};
use serde_json::{Map, Value, json};

/// A request, in nobody's words.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    pub system: Option<String>,
    pub tools: Vec<Tool>,
    pub choice: Choice,
    pub turns: Vec<Turn>,
    pub max_output: u64,
    pub temperature: Option<f64>,
    pub stop: Vec<String>,
}

/// Which tool must be called.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Choice {
    Auto,
    Any,
    Named(String),
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Tool {
    pub name: String,
    pub description: String,
    pub schema: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Turn {
    User(Vec<Item>),
    /// What is said, and then what is called.
    Assistant(Option<String>, Vec<Item>),
    Results(Vec<Item>),
}

/// One thing in a conversation.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Item {
    User(String),
    /// A picture's bytes in base64; all are PNG.
    Image(String),
    Said(String),
    Call {
        id: String,
        name: String,
        arguments: Value,
    },
    Result {
        id: String,
        text: String,
    },
}

impl Talk {
    /// The items in order, as every reader must find them.
    pub(crate) fn items(&self) -> Vec<Item> {
        let items = self.turns.iter().flat_map(|turn| match turn {
            Turn::User(items) | Turn::Results(items) => items.clone(),
            Turn::Assistant(said, calls) => {
                said.iter().cloned().map(Item::Said).chain(calls.iter().cloned()).collect()
            }
        });
        items.collect()
    }

    /// The same after so many turns; `None` where it is not the model's turn then.
    pub(crate) fn after(&self, turns: usize) -> Option<Self> {
        let turns = self.turns.get(..turns)?.to_vec();
        matches!(turns.last()?, Turn::User(_) | Turn::Results(_)).then(|| Self { turns, ..self.clone() })
    }
}

/// Words with what needs an escape in JSON, and what needs several bytes or a surrogate pair.
fn words() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9]([ -~éЖ漢🙂\n\t\u{1}\u{7f}\u{2028}\"\\\\]{0,40}[a-z.\"\\\\}])?"
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        words().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
        Just(json!(0.25)),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            vec(("[a-z_]{1,8}", inner), 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn arguments() -> impl Strategy<Value = Value> {
    vec(("[a-zA-Z_]{1,8}", value()), 0..4)
        .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>()))
}

fn tools() -> impl Strategy<Value = Vec<Tool>> {
    vec((words(), vec("[a-z_]{1,10}", 0..4)), 1..4).prop_map(|tools| {
        let tool = |(n, (description, members)): (usize, (String, Vec<String>))| {
            let properties: Map<_, _> = members
                .iter()
                .map(|name| {
                    (name.clone(), json!({ "type": "string", "description": format!("The {name}.") }))
                })
                .collect();
            let required: Vec<_> = properties.keys().cloned().collect();
            let schema = json!({ "type": "object", "properties": properties, "required": required });
            Tool { name: format!("tool_{n}"), description, schema }
        };
        tools.into_iter().enumerate().map(tool).collect()
    })
}

fn user() -> impl Strategy<Value = Turn> {
    let image = "[A-Za-z0-9+/]{8}".prop_map(|data| Item::Image(format!("{data}iVBORw==")));
    vec(prop_oneof![3 => words().prop_map(Item::User), 1 => image], 1..3).prop_map(Turn::User)
}

type Round = (Option<String>, Vec<(usize, Value, String)>);

/// A round of calls and their results.
fn round() -> impl Strategy<Value = Round> {
    (option::of(words()), vec((0..3_usize, arguments(), words()), 1..4))
}

fn exchange() -> impl Strategy<Value = (Turn, Vec<Round>, String)> {
    (user(), vec(round(), 0..3), words())
}

/// Conversations; it is the model's turn.
pub(crate) fn talks() -> impl Strategy<Value = Talk> {
    let settings =
        (16..100_000_u64, option::of(Just(0.25)), vec("[a-z]{1,6}", 0..3), 0..4_usize, any::<u32>());
    (option::of(words()), tools(), vec(exchange(), 0..4), user(), settings).prop_map(
        |(system, tools, exchanges, last, (max_output, temperature, stop, choice, salt))| {
            let mut turns = Vec::new();
            for (user, rounds, said) in exchanges {
                turns.push(user);
                for (text, calls) in rounds {
                    let made = calls.into_iter().enumerate().map(|(n, (tool, arguments, text))| {
                        let id = format!("call_{salt:08x}{:03}{n}", turns.len());
                        let name = tools[tool % tools.len()].name.clone();
                        (Item::Call { id: id.clone(), name, arguments }, Item::Result { id, text })
                    });
                    let (calls, results) = made.unzip();
                    turns.push(Turn::Assistant(text, calls));
                    turns.push(Turn::Results(results));
                }
                turns.push(Turn::Assistant(Some(said), Vec::new()));
            }
            turns.push(last);
            let choice = match choice {
                0 => Choice::Any,
                1 => Choice::Named(tools[0].name.clone()),
                _ => Choice::Auto,
            };
            Talk { system, tools, choice, turns, max_output, temperature, stop }
        },
    )
}
