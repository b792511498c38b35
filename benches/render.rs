//! Renders a JSON body of 2 KB with 20 variables, and compares this with writing the same body with `serde_json`.
#![expect(clippy::expect_used, reason = "a benchmark ends by panicking")]

use criterion::Criterion;
use ringback::definition::template::{JsonTemplate, Tokens, Values, Variable};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::hint::black_box;

const FIXED: &str =
    "Thank you for calling. Your request was received and will be answered within a day.";

struct Given(BTreeMap<Variable, String>);

impl Values for Given {
    fn get(&self, variable: &Variable) -> Option<Cow<'_, str>> {
        self.0.get(variable).map(|json| Cow::Borrowed(json.as_str()))
    }
}

#[derive(Serialize)]
struct Body {
    items: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    label: &'static str,
    text: String,
    amount: u32,
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let (mut text, mut values, mut items) =
        (String::from("{\"items\":["), BTreeMap::new(), Vec::new());
    for index in 0..10 {
        let comma = if index == 0 { "" } else { "," };
        write!(
            text,
            r#"{comma}{{"label":"{FIXED}","text":"Dear $flow.key.name{index}, {FIXED}","amount":$sms.cost.amount{index}}}"#
        )
        .expect("memory");
        let name = format!("Ramesh Kumar of Ahmedabad {index}");
        let amount = 75 + index;
        let variables = [
            (format!("$flow.key.name{index}"), format!("\"{name}\"")),
            (format!("$sms.cost.amount{index}"), amount.to_string()),
        ];
        values.extend(
            variables.map(|(variable, json)| (variable.parse().expect("a variable"), json)),
        );
        items.push(Item { label: FIXED, text: format!("Dear {name}, {FIXED}"), amount });
    }
    text.push_str("]}");
    let values = Given(values);
    let body = Body { items };
    for (kind, optional) in [("mandatory", false), ("optional", true)] {
        let template =
            JsonTemplate::parse(&text, &Tokens::new(), &|_| !optional).expect("a template");
        let mut out = Vec::new();
        template.render(&values, &mut out).expect("all values");
        let typed = serde_json::to_string(&body).expect("a body");
        assert_eq!(String::from_utf8(out).expect("text"), typed, "both bodies are the same");
        criterion.bench_function(
            &format!("template, {kind} variables, {} bytes", typed.len()),
            |bencher| {
                bencher.iter(|| {
                    let mut out = Vec::new();
                    template.render(black_box(&values), &mut out).expect("all values");
                    out
                });
            },
        );
    }
    criterion.bench_function("serde_json, typed", |bencher| {
        bencher.iter(|| serde_json::to_vec(black_box(&body)));
    });
    let value = serde_json::to_value(&body).expect("a body");
    criterion.bench_function("serde_json, Value", |bencher| {
        bencher.iter(|| serde_json::to_vec(black_box(&value)));
    });
    criterion.final_summary();
}
