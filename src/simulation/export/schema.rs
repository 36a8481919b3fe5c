//! The JSON of a report, described.

/// A JSON Schema (draft 2020-12) of what a [`Report`](crate::simulation::report::Report) is as JSON, from the documentation of its types. Fields
/// may be added to a report within a version, so it allows more than it lists.
pub const JSON_SCHEMA: &str = include_str!("report.schema.json");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::export::fixture::{full, hostile, large, small};
    use crate::simulation::report::{Report, SCHEMA};
    use serde_json::{Value, json};
    use std::collections::BTreeSet;

    /// KEYWAY_UPDATE_SCHEMA=1 writes it anew.
    #[test]
    fn the_schema_is_what_the_types_say() {
        let mut schema = serde_json::to_value(schemars::schema_for!(Report)).unwrap();
        schema["$id"] = json!("urn:keyway:simulation:1");
        schema["title"] = json!(SCHEMA);
        schema["properties"]["schema"] = json!({
            "const": SCHEMA,
            "description": "The version of this schema. Fields may be added within a version; none changes its meaning.",
            "type": "string",
        });
        plain(&mut schema);
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var("KEYWAY_UPDATE_SCHEMA").is_ok() {
            let file = concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/src/simulation/export/report.schema.json"
            );
            std::fs::write(file, &text).unwrap();
        }
        assert_eq!(
            text, JSON_SCHEMA,
            "run the test with KEYWAY_UPDATE_SCHEMA=1, and look at what has changed"
        );
    }

    /// Descriptions are for people who read no Rust: without its links, and on one line.
    fn plain(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    match field {
                        Value::String(text) if name == "description" => {
                            *text = text
                                .replace("[`", "`")
                                .replace("`]", "`")
                                .replace("`None`", "`null`")
                                .replace('\n', " ");
                        }
                        _ => plain(field),
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(plain),
            _ => {}
        }
    }

    #[test]
    fn every_report_is_as_the_schema_says() {
        let schema: Value = serde_json::from_str(JSON_SCHEMA).unwrap();
        for report in [full(), small(), large(), hostile()] {
            let report = serde_json::to_value(report).unwrap();
            let mut walk = Walk::new(&schema);
            walk.check(&schema, &report, "report");
            assert_eq!(walk.problems, [""; 0]);
        }
    }

    #[test]
    fn the_schema_describes_every_field_and_the_full_report_has_every_field_that_it_describes() {
        let schema: Value = serde_json::from_str(JSON_SCHEMA).unwrap();
        let report = serde_json::to_value(full()).unwrap();
        let mut walk = Walk::new(&schema);
        walk.check(&schema, &report, "report");
        let mut described = BTreeSet::new();
        let types = schema["$defs"].as_object().unwrap();
        for (name, one) in types
            .iter()
            .map(|(name, one)| (name.as_str(), one))
            .chain([("", &schema)])
        {
            for (field, its) in one["properties"].as_object().into_iter().flatten() {
                assert!(
                    its["description"].is_string(),
                    "{name}.{field} has no description"
                );
                described.insert(format!("{name}.{field}"));
            }
        }
        assert_eq!(walk.seen, described);
    }

    #[test]
    fn what_is_not_as_the_schema_says_is_found() {
        let schema: Value = serde_json::from_str(JSON_SCHEMA).unwrap();
        let right = serde_json::to_value(full()).unwrap();
        let wrong = |change: fn(&mut Value)| {
            let mut report = right.clone();
            change(&mut report);
            let mut walk = Walk::new(&schema);
            walk.check(&schema, &report, "report");
            walk.problems
        };
        assert_eq!(wrong(|_| ()), [""; 0]);
        assert_eq!(
            wrong(|r| r["seed"] = json!(-1)),
            ["report.seed: less than 0"]
        );
        assert_eq!(
            wrong(|r| r["seed"] = json!("1")),
            ["report.seed: not of type \"integer\""]
        );
        assert_eq!(
            wrong(|r| r["new"] = json!(1)),
            ["report.new: not described"]
        );
        assert_eq!(
            wrong(|r| drop(r.as_object_mut().unwrap().remove("title"))),
            ["report.title: missing"]
        );
        assert_eq!(
            wrong(|r| r["courses"][0]["moves"][0]["kind"] = json!("jump")),
            ["report.courses[0].moves[0].kind: none of the alternatives"]
        );
    }

    /// Checks a value by a schema, as far as this schema goes; a word that it does not know is a problem too.
    struct Walk<'a> {
        types: &'a Value,
        problems: Vec<String>,
        /// Fields that were there, by their type.
        seen: BTreeSet<String>,
    }

    impl<'a> Walk<'a> {
        fn new(schema: &'a Value) -> Self {
            Walk {
                types: &schema["$defs"],
                problems: Vec::new(),
                seen: BTreeSet::new(),
            }
        }

        fn check(&mut self, schema: &Value, value: &Value, at: &str) {
            self.check_type("", schema, value, at);
        }

        fn check_type(&mut self, name: &str, schema: &Value, value: &Value, at: &str) {
            for (word, rule) in schema.as_object().unwrap() {
                match word.as_str() {
                    "$schema" | "$id" | "title" | "description" | "default" | "format"
                    | "$defs" | "required" => {}
                    "$ref" => {
                        let target = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                        self.check_type(target, &self.types[target].clone(), value, at);
                    }
                    "type" => {
                        let types = rule
                            .as_array()
                            .cloned()
                            .unwrap_or_else(|| vec![rule.clone()]);
                        if !types.iter().any(|one| is_of(one.as_str().unwrap(), value)) {
                            self.problems.push(format!("{at}: not of type {rule}"));
                        }
                    }
                    "minimum" => {
                        let least = rule.as_f64().unwrap();
                        if value.as_f64().is_some_and(|number| number < least) {
                            self.problems.push(format!("{at}: less than {least}"));
                        }
                    }
                    "maximum" => {
                        let most = rule.as_f64().unwrap();
                        if value.as_f64().is_some_and(|number| number > most) {
                            self.problems.push(format!("{at}: more than {most}"));
                        }
                    }
                    "const" => {
                        if value != rule {
                            self.problems.push(format!("{at}: not {rule}"));
                        }
                    }
                    "items" => {
                        for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                            self.check(rule, item, &format!("{at}[{number}]"));
                        }
                    }
                    "properties" => self.fields(name, schema, value, at),
                    "anyOf" | "oneOf" => {
                        let fits = rule.as_array().unwrap().iter().any(|one| {
                            let mut walk = Walk {
                                types: self.types,
                                problems: Vec::new(),
                                seen: BTreeSet::new(),
                            };
                            walk.check(one, value, at);
                            let fits = walk.problems.is_empty();
                            if fits {
                                self.seen.extend(walk.seen);
                            }
                            fits
                        });
                        if !fits {
                            self.problems
                                .push(format!("{at}: none of the alternatives"));
                        }
                    }
                    _ => self.problems.push(format!(
                        "{at}: the schema says {word}, which is not known here"
                    )),
                }
            }
        }

        fn fields(&mut self, name: &str, schema: &Value, value: &Value, at: &str) {
            let Some(fields) = value.as_object() else {
                return;
            };
            for required in schema["required"].as_array().into_iter().flatten() {
                let required = required.as_str().unwrap();
                if !fields.contains_key(required) {
                    self.problems.push(format!("{at}.{required}: missing"));
                }
            }
            for (field, value) in fields {
                match schema["properties"].get(field) {
                    Some(rule) => {
                        self.seen.insert(format!("{name}.{field}"));
                        self.check(rule, value, &format!("{at}.{field}"));
                    }
                    None => self.problems.push(format!("{at}.{field}: not described")),
                }
            }
        }
    }

    fn is_of(kind: &str, value: &Value) -> bool {
        match kind {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "string" => value.is_string(),
            "integer" => value.is_u64() || value.is_i64(),
            "number" => value.is_number(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            _ => false,
        }
    }
}
