//! What can be asked next, with what an operation answers.

use serde_json::{Value, json};

/// An operation that answers with what others ask for, as a parameter of this name; and where it is
/// in the answer.
struct Link {
    from: &'static str,
    member: &'static str,
    parameter: &'static str,
    to: &'static [&'static str],
}

const LINKS: [Link; 3] = [
    Link {
        from: "sessions::create",
        member: "/0/session_id",
        parameter: "session",
        to: &["streams::list", "connections::list", "statistics::list"],
    },
    Link {
        from: "callbacks::register",
        member: "/id",
        parameter: "id",
        to: &["callbacks::unregister"],
    },
    Link {
        from: "projects::create",
        member: "/id",
        parameter: "api_key",
        to: &[
            "projects::find",
            "projects::set_status",
            "projects::refresh_secret",
            "projects::delete",
        ],
    },
];

/// Adds to an operation what can be asked next with what it answers.
pub(super) fn add(operation: &mut Value, handler: &str) {
    let links = LINKS.iter().filter(|link| link.from == handler);
    for Link {
        member,
        parameter,
        to,
        ..
    } in links
    {
        for handler in *to {
            let id = handler.replace("::", ".");
            let found = format!("$response.body#{member}");
            operation["responses"]["200"]["links"][&id] =
                json!({"operationId": id, "parameters": {*parameter: found}});
        }
    }
}
