//! This engine's own API: one table of operations, of which both the routes and the OpenAPI document are made, so that
//! neither has what the other lacks.

mod components;
mod operations;
mod schema;

use axum::Router;
use axum::http::Method;
use axum::response::Json;
use axum::routing::{MethodRouter, get};
use serde_json::{Map, Value, json};

use crate::App;
use crate::auth::needed;

/// Where the document is.
pub(crate) const DOCUMENT: &str = "/api/watchfire/v1/openapi.json";

/// A parameter in the path or the query.
struct Parameter {
    name: &'static str,
    place: &'static str,
    what: &'static str,
    schema: Value,
    /// Whether it may stand several times.
    repeats: bool,
}

/// What is sent or answered: a media type and a schema.
struct Content(&'static str, Value);

/// One operation.
struct Operation {
    method: Method,
    path: &'static str,
    /// Its name for generated clients.
    id: &'static str,
    summary: &'static str,
    parameters: Vec<Parameter>,
    body: Option<Content>,
    /// The answer to success; `None` if it says nothing but that.
    answer: Option<Content>,
    /// The status of success with an answer.
    success: u16,
    /// How else it may be answered.
    refusals: &'static [u16],
    handler: MethodRouter<App>,
}

impl Operation {
    fn new(method: Method, path: &'static str, id: &'static str, summary: &'static str) -> Operation {
        Operation {
            method,
            path,
            id,
            summary,
            parameters: Vec::new(),
            body: None,
            answer: None,
            success: 200,
            refusals: &[],
            handler: MethodRouter::new(),
        }
    }

    /// Takes this JSON.
    fn takes(mut self, schema: Value) -> Operation {
        self.body = Some(Content("application/json", schema));
        self
    }

    /// Answers this JSON.
    fn answers(mut self, schema: Value) -> Operation {
        self.answer = Some(Content("application/json", schema));
        self
    }

    fn parameter(
        mut self,
        place: &'static str,
        name: &'static str,
        schema: Value,
        repeats: bool,
        what: &'static str,
    ) -> Operation {
        self.parameters.push(Parameter { name, place, what, schema, repeats });
        self
    }

    fn refuses(mut self, statuses: &'static [u16]) -> Operation {
        self.refusals = statuses;
        self
    }

    fn by(mut self, handler: MethodRouter<App>) -> Operation {
        self.handler = handler;
        self
    }

    fn document(&self) -> Value {
        let mut responses = Map::new();
        match &self.answer {
            Some(Content(media, schema)) => {
                responses.insert(
                    self.success.to_string(),
                    json!({"description": "Done", "content": {*media: {"schema": schema}}}),
                );
            }
            None => drop(responses.insert("204".to_owned(), json!({"description": "Done"}))),
        }
        for status in self.refusals {
            responses.insert(status.to_string(), json!({"$ref": format!("#/components/responses/{status}")}));
        }
        let too_large = self.body.as_ref().map(|_| 413);
        for status in [401, 403, 429, 503].into_iter().chain(too_large) {
            responses.insert(status.to_string(), json!({"$ref": format!("#/components/responses/{status}")}));
        }
        let mut operation = json!({
            "operationId": self.id,
            "summary": self.summary,
            "responses": responses,
        });
        if !self.parameters.is_empty() {
            operation["parameters"] = self.parameters.iter().map(Parameter::document).collect();
        }
        if let Some(Content(media, schema)) = &self.body {
            operation["requestBody"] = json!({"required": true, "content": {*media: {"schema": schema}}});
        }
        if crate::inbound::SIGNED.contains(&self.path) {
            // The sender's signature stands for credentials.
            operation["security"] = json!([]);
        } else {
            operation["x-role"] = needed(&self.method, self.path).as_str().into();
        }
        operation
    }
}

impl Parameter {
    fn document(&self) -> Value {
        let schema = if self.repeats { schema::list(self.schema.clone()) } else { self.schema.clone() };
        json!({
            "name": self.name,
            "in": self.place,
            "description": self.what,
            "required": self.place == "path",
            "schema": schema,
        })
    }
}

/// The routes of the table, and that of its document.
pub(crate) fn router() -> Router<App> {
    let operations = operations::all();
    let document = document(&operations);
    let table = operations.into_iter().fold(Router::new(), |router, one| router.route(one.path, one.handler));
    table.route(DOCUMENT, get(async move || Json(document)))
}

/// The document in OpenAPI 3.1.
fn document(operations: &[Operation]) -> Value {
    let mut paths = Map::new();
    for operation in operations {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_ascii_lowercase()] = operation.document();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Watchfire",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What Watchfire adds to the APIs of Prometheus (/api/v1) and Alertmanager (/api/v2). \
                            `x-role` says who may: a viewer reads, an operator acts on alerts, an administrator on the engine.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"basic": []}],
        "paths": paths,
        "components": {
            "schemas": components::schemas(),
            "responses": components::responses(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
    })
}
