//! JSON Schema as it is written, for what no `derive` can tell.

use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{
    ObjectBuilder, RefOr, Required, Schema,
    extensions::Extensions,
    path::{Parameter, ParameterBuilder, ParameterIn},
    schema::SchemaType,
};

/// Gives a type the schema that is written for it, under the type's name.
macro_rules! described {
    ($($(#[$doc:meta])* $name:ident: $schema:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) enum $name {}

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::contract::raw($schema)
            }
        }

        impl utoipa::ToSchema for $name {}
    )*};
}
pub(crate) use described;

/// A schema as it stands. The types of the library lack words of JSON Schema (`not`, `const`), so all of it goes
/// in as what they let through unread.
pub(crate) fn raw(schema: Value) -> RefOr<Schema> {
    let members = match schema {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    let all: Extensions = members.into_iter().collect();
    let object = ObjectBuilder::new().schema_type(SchemaType::AnyValue);
    object.extensions(Some(all)).build().into()
}

/// A schema that has a name, by that name.
pub(crate) fn refer<T: ToSchema>() -> Value {
    json!({ "$ref": format!("#/components/schemas/{}", T::name()) })
}

/// A field of a request.
pub(crate) struct Field {
    name: &'static str,
    schema: Value,
    required: bool,
}

/// A field that must be there.
pub(crate) fn required(name: &'static str, schema: Value) -> Field {
    Field {
        name,
        schema,
        required: true,
    }
}

/// A field that may be absent, or null, which counts as absent.
pub(crate) fn optional(name: &'static str, schema: Value) -> Field {
    Field {
        name,
        schema,
        required: false,
    }
}

/// The same schema, or null; what it says of itself is said of both.
fn nullable(mut schema: Value) -> Value {
    let about = schema
        .as_object_mut()
        .and_then(|it| it.remove("description"));
    let mut either = json!({ "anyOf": [schema, { "type": "null" }] });
    if let Some(about) = about {
        either["description"] = about;
    }
    either
}

/// An object with these fields and no others: what is unknown is refused.
pub(crate) fn fields(fields: Vec<Field>) -> Value {
    let required = fields.iter().filter(|field| field.required);
    let required: Vec<_> = required.map(|field| field.name).collect();
    let property = |field: Field| match field.required {
        true => (field.name.to_owned(), field.schema),
        false => (field.name.to_owned(), nullable(field.schema)),
    };
    let properties: Map<_, _> = fields.into_iter().map(property).collect();
    json!({
        "type": "object", "additionalProperties": false, "required": required, "properties": properties,
    })
}

/// Parameters of the query, any of which may be absent: the fields may be in the body.
pub(crate) fn query(fields: Vec<Field>) -> Vec<Parameter> {
    let parameter = |field: Field| {
        ParameterBuilder::new()
            .name(field.name)
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .schema(Some(raw(field.schema)))
            .build()
    };
    fields.into_iter().map(parameter).collect()
}
