//! The OpenAPI document of the API, version 3.1.

use super::handlers::OPERATIONS;
use super::{Method, Operation, Parameter};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

const SAYS: &str = "The operators' API of a Ringback instance. Every path needs the token of `[http] token`, if there is \
                    one, as `Authorization: Bearer …`. The header `x-ringback-operator` names the operator in audit \
                    events. Any instance answers for the whole group; the figures of webhooks are those of the \
                    instance that answers. Readings of Kafka that take longer than `wait_s` are answered with 202.";

/// Returns the OpenAPI document, which `schemas/openapi.json` contains.
#[must_use]
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut schemas = settings.into_generator();
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let answer = (operation.answer)(&mut schemas).to_value();
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(operation.method.as_str().to_owned(), described(operation, &answer));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Ringback",
            "version": "1",
            "description": SAYS,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn described(operation: &Operation, answer: &Value) -> Value {
    let is_in_path = |name: &str| operation.path.contains(&format!("{{{name}}}"));
    let (in_path, others): (Vec<&Parameter>, Vec<&Parameter>) =
        operation.parameters.iter().partition(|parameter| is_in_path(parameter.name));
    let in_path = in_path.into_iter().map(|it| placed(it, "path"));
    let error = json!({
        "type": "object",
        "properties": {"error": {"type": "string"}},
        "required": ["error"],
    });
    let responses = json!({
        "200": {"description": "The answer.", "content": content(answer)},
        "default": {"description": "The reason why there is no answer.", "content": content(&error)},
    });
    if operation.method != Method::Post {
        let parameters = in_path.chain(others.into_iter().map(|it| placed(it, "query")));
        let parameters: Vec<Value> = parameters.collect();
        return json!({
            "summary": operation.says, "parameters": parameters, "responses": responses,
        });
    }
    let member =
        |it: &Parameter| (it.name.to_owned(), json!({"type": it.kind, "description": it.says}));
    let members: Map<String, Value> = others.into_iter().map(member).collect();
    let body = json!({"type": "object", "properties": members, "additionalProperties": false});
    json!({
        "summary": operation.says,
        "parameters": in_path.collect::<Vec<_>>(),
        "requestBody": {"required": false, "content": content(&body)},
        "responses": responses,
    })
}

fn placed(parameter: &Parameter, place: &str) -> Value {
    json!({
        "name": parameter.name,
        "in": place,
        "required": place == "path",
        "description": parameter.says,
        "schema": {"type": parameter.kind},
    })
}

fn content(schema: &Value) -> Value {
    json!({"application/json": {"schema": schema}})
}
