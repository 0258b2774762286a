"""GraphQL texts with which several programs ask the same."""

#: A project, by its `name`.
PROJECT = "query ($name: String) { project(where: {name: {_eq: $name}}) { id } }"
#: A `key` of the key-value store; one is set to a value, and one is forgotten by its id.
KEY = "query ($key: String) { key_value(where: {key: {_eq: $key}}) { id value } }"
SET_KEY = "mutation ($input: set_key_value_input!) { set_key_value(input: $input) { id } }"
DELETE_KEY = "mutation ($id: UUID!) { delete_key_value(input: {key_value_id: $id}) { success } }"
