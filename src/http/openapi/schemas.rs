//! The schemas of what is asked and answered, as `schemars` makes them from the types.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Collects the schemas that have a name.
#[derive(Debug)]
pub struct Schemas {
    asked: SchemaGenerator,
    answered: SchemaGenerator,
}

impl Default for Schemas {
    fn default() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            asked: settings().for_deserialize().into_generator(),
            answered: settings().for_serialize().into_generator(),
        }
    }
}

impl Schemas {
    /// Of what is asked.
    pub fn asked<T: JsonSchema>(&mut self) -> Value {
        self.asked.subschema_for::<T>().into()
    }

    /// Of what is asked in a body, and whether there must be one: it may as well be nothing where
    /// nothing is needed.
    pub fn asked_in_body<T: JsonSchema>(&mut self) -> (Value, bool) {
        let members: Value = T::json_schema(&mut self.asked).into();
        let schema = self.asked::<T>();
        match &members["required"] {
            Value::Null => {
                let nothing = [
                    json!({"type": "null"}),
                    json!({"type": "array", "maxItems": 0}),
                ];
                (json!({"anyOf": [schema, nothing[0], nothing[1]]}), false)
            }
            _ => (schema, true),
        }
    }

    /// Of what is answered.
    pub fn answered<T: JsonSchema>(&mut self) -> Value {
        self.answered.subschema_for::<T>().into()
    }

    /// The members of what is asked, each with whether it is needed: for parameters, which have no
    /// null.
    pub fn members<T: JsonSchema>(&mut self) -> Vec<(String, Value, bool)> {
        let schema: Value = T::json_schema(&mut self.asked).into();
        let needed = |name: &String| contains(&schema["required"], name);
        let members = schema["properties"].as_object().into_iter().flatten();
        let members = members.map(|(name, member)| {
            let mut member = member.clone();
            without_null(&mut member);
            (name.clone(), member, needed(name))
        });
        members.collect()
    }

    /// All that have a name, by name.
    pub fn into_definitions(mut self) -> Map<String, Value> {
        let mut all = self.answered.take_definitions(true);
        for (name, mut schema) in self.asked.take_definitions(true) {
            with_null(&mut schema);
            let same = all.insert(name, schema.clone());
            debug_assert!(
                same.is_none_or(|same| same == schema),
                "asked and answered differ"
            );
        }
        all
    }
}

/// Lets null stand for each member that may be left out (`protocol/rest.md`, 1).
fn with_null(schema: &mut Value) {
    let required = schema["required"].clone();
    let Some(Value::Object(members)) = schema.get_mut("properties") else {
        return;
    };
    for (name, member) in members {
        if let Some(member) = member.as_object_mut() {
            // Not given is not given.
            member.retain(|key, value| key != "default" || !value.is_null());
        }
        if contains(&required, name) || allows_null(member) {
            continue;
        }
        let Some(object) = member.as_object_mut() else {
            continue;
        };
        if let Some(kind @ Value::String(_)) = object.get("type").cloned()
            && !object.contains_key("enum")
        {
            object.insert("type".into(), json!([kind, "null"]));
        } else {
            let inner = ["$ref", "type", "enum", "oneOf", "anyOf"];
            let inner = inner.into_iter().filter_map(|key| object.remove_entry(key));
            let inner: Map<_, _> = inner.collect();
            if inner.is_empty() {
                continue;
            }
            object.insert("anyOf".into(), json!([inner, {"type": "null"}]));
        }
    }
}

fn allows_null(schema: &Value) -> bool {
    let is_null = |schema: &Value| schema["type"] == "null";
    contains(&schema["type"], "null")
        || schema["anyOf"]
            .as_array()
            .is_some_and(|any| any.iter().any(is_null))
}

fn without_null(schema: &mut Value) {
    if let Some(kinds) = schema["type"].as_array() {
        let kind = kinds.iter().find(|kind| *kind != "null").cloned();
        schema["type"] = kind.unwrap_or_default();
    }
}

fn contains(list: &Value, text: &str) -> bool {
    list.as_array()
        .is_some_and(|list| list.iter().any(|item| item == text))
}
