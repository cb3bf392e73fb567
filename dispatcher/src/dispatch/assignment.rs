//! Which users a call puts on a channel, or takes off it.

use carillon_common::{errors::ProblemKind, ids::UserId};

use super::request::users;
use crate::{
    error::ApiError,
    extract::{FieldReader, Fields},
};

/// What is done with users of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Assigning {
    /// They are put on it.
    Add,
    /// They are taken off it.
    Remove,
}

/// Users to be put on a channel, or to be taken off it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AssignRequest {
    pub(crate) action: Assigning,
    pub(crate) users: Vec<UserId>,
}

impl AssignRequest {
    /// # Errors
    /// [`ApiError::InvalidFields`] with everything that is wrong.
    pub(crate) fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        let mut reader = FieldReader::new(fields);
        let action = reader.required_text("action");
        let action = match action.as_deref() {
            Some("add") => Some(Assigning::Add),
            Some("remove") => Some(Assigning::Remove),
            Some(_) => {
                let detail = "action must be \"add\" or \"remove\"".to_owned();
                reader.refuse(ProblemKind::InvalidField, "action", detail);
                None
            }
            None => None,
        };
        let users = users(&mut reader, "users");
        if !reader.has("users") {
            let detail = "users is missing".to_owned();
            reader.refuse(ProblemKind::MissingField, "users", detail);
        }
        let errors = reader.finish();
        match (action, users) {
            (Some(action), Some(users)) if errors.is_empty() => Ok(Self { action, users }),
            _ => Err(ApiError::InvalidFields(errors)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<AssignRequest, Vec<String>> {
        let fields = Fields::from_json(body.as_bytes()).unwrap();
        AssignRequest::read(&fields).map_err(|error| match error {
            ApiError::InvalidFields(errors) => {
                let wrong = errors.into_iter().map(|error| error.problem.pointer);
                wrong.collect()
            }
            error => panic!("{error}"),
        })
    }

    #[test]
    fn it_says_what_to_do_with_whom() {
        let request = read(r#"{"action":"remove","users":["alice","bob"]}"#).unwrap();
        assert_eq!(request.action, Assigning::Remove);
        assert_eq!(
            request.users,
            ["alice", "bob"].map(|it| it.parse().unwrap())
        );
        for (body, wrong) in [
            ("{}", vec!["/action", "/users"]),
            (r#"{"action":"put","users":["a"]}"#, vec!["/action"]),
            (r#"{"action":"add","users":[]}"#, vec!["/users"]),
            (r#"{"action":"add","users":"a"}"#, vec!["/users"]),
            (
                r#"{"action":"add","users":["a","","a"]}"#,
                vec!["/users/1", "/users/2"],
            ),
            (
                r#"{"action":"add","users":["a"],"user":"b"}"#,
                vec!["/user"],
            ),
        ] {
            let wrong = wrong.into_iter().map(str::to_owned).collect();
            assert_eq!(read(body), Err(wrong), "{body}");
        }
    }
}
