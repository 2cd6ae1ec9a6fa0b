//! The words of the document: what each operation is for, by the name of its handler.

/// About the API as a whole, in Markdown.
pub const INTRODUCTION: &str = "\
The REST API of a video session server that speaks OpenTok's: an application changes the API URL \
of its OpenTok SDK and keeps everything else.

**Signing.** Each call carries a JWT in `X-OPENTOK-AUTH`, signed with the project's secret, or \
with an account's for managing projects. What is not signed well is answered with 403, \
never with 401, because SDKs know 403 only.

**Tolerance.** SDKs differ in how they write things, and all of them are understood: members are \
found in any case and with underscores (`has_audio`), unknown ones are passed over, `null` is a \
member that was not given, `[]` is an empty object, a missing body is an empty one, booleans and \
whole numbers may come as texts, slashes may be doubled or at the end of the path.

**Errors.** Every refusal has `code`, `message` and `description`. A path that does not exist is \
404, a method that it has not is 405.

**Other paths.** All of `/v2/project/…` is also at `/v2/partner/…` where the operator has \
switched that on (`auth.legacy_header`), as SDKs before 2017 call it. What clients fetch is also \
served with the host in front that they meant, as `OT.setProxyUrl` makes them ask. A websocket is \
welcome at any path.

**Not there yet.** Operations that answer 501 check everything that they are asked, as they will \
when they can do it.";

/// A group of operations, and the modules whose handlers belong to it.
#[derive(Debug, Clone, Copy)]
pub struct Tag {
    /// Its heading.
    pub name: &'static str,
    /// What it is about.
    pub description: &'static str,
    modules: &'static [&'static str],
}

const fn tag(
    name: &'static str,
    description: &'static str,
    modules: &'static [&'static str],
) -> Tag {
    Tag {
        name,
        description,
        modules,
    }
}

/// All groups, in the order in which one gets to know them.
pub const TAGS: &[Tag] = &[
    tag("Sessions", "What clients join.", &["sessions"]),
    tag("Streams", "What is published in a session.", &["streams"]),
    tag("Connections", "Who is in a session.", &["connections"]),
    tag(
        "Signals",
        "Messages of the application to its clients.",
        &["signals"],
    ),
    tag(
        "Moderation",
        "Asking publishers to be silent.",
        &["moderation"],
    ),
    tag(
        "Archives",
        "Recordings, and where they go.",
        &["archives", "storage"],
    ),
    tag(
        "Broadcasts",
        "Live output to HLS and RTMP.",
        &["broadcasts"],
    ),
    tag("Telephony", "SIP calls and their tones.", &["sip"]),
    tag(
        "Experience Composer",
        "Web pages that take part in a session.",
        &["renders"],
    ),
    tag(
        "Audio Connector",
        "The sound of a session over a websocket.",
        &["connect"],
    ),
    tag("Captions", "What is said, as text.", &["captions"]),
    tag(
        "Callbacks",
        "Whom a project wants to be told of what happens.",
        &["callbacks"],
    ),
    tag(
        "Projects",
        "Tenants, managed with an account's key and secret.",
        &["projects"],
    ),
    tag(
        "Clients",
        "What the browser client fetches before its websocket.",
        &["bootstrap"],
    ),
    tag(
        "Server",
        "The process, and this document.",
        &["health", "openapi", "demo"],
    ),
];

/// What an operation is for.
#[derive(Debug, Clone, Copy)]
pub struct Text {
    /// Module and name of the handler.
    pub handler: &'static str,
    /// A few words.
    pub summary: &'static str,
    /// What the words do not say; may be empty.
    pub description: &'static str,
}

const fn text(handler: &'static str, summary: &'static str, description: &'static str) -> Text {
    Text {
        handler,
        summary,
        description,
    }
}

/// The words of all operations.
pub const TEXTS: &[Text] = &[
    text(
        "sessions::create",
        "Create a session",
        "Sessions are free until a client joins, and never expire. The answer is XML unless \
         `Accept` names `application/json`: three of six SDKs read nothing else.",
    ),
    text(
        "streams::list",
        "List the streams of a session",
        "A session in which nobody publishes has an empty list.",
    ),
    text("streams::find", "Find a stream", ""),
    text(
        "streams::set_classes",
        "Set the layout classes of several streams",
        "Each list replaces the one before it: for all of the streams, or for none if one of \
         them is not in the session.",
    ),
    text(
        "streams::set_classes_of_one",
        "Set the layout classes of one stream",
        "The list replaces the one before it.",
    ),
    text("connections::list", "List the connections of a session", ""),
    text(
        "connections::disconnect",
        "Put a client out",
        "The client sees `sessionDisconnected`, the others `connectionDestroyed`, both with the \
         reason `forceDisconnected`. It may connect again as long as its token is good.",
    ),
    text(
        "signals::to_all",
        "Send a signal to everybody in a session",
        "Clients get it without a sender.",
    ),
    text(
        "signals::to_one",
        "Send a signal to one client",
        "The client gets it without a sender.",
    ),
    text(
        "moderation::mute_stream",
        "Mute a stream",
        "The publisher is asked to switch its sound off, and may switch it on again. There is \
         nothing to say in a body.",
    ),
    text(
        "moderation::mute_session",
        "Mute a session, or let newcomers speak again",
        "With `active` true all publishers but the excluded are asked to switch their sound off, \
         and so is who publishes later. With false that is lifted; who is silent stays silent.",
    ),
    text(
        "archives::start",
        "Start to record a session",
        "Somebody must be connected.",
    ),
    text("archives::list", "List archives", "The newest first."),
    text("archives::find", "Find an archive", ""),
    text("archives::delete", "Delete an archive", ""),
    text(
        "archives::stop",
        "Stop to record",
        "There is nothing to say in a body.",
    ),
    text("archives::layout", "Find the layout of an archive", ""),
    text(
        "archives::set_layout",
        "Change the layout of an archive",
        "",
    ),
    text(
        "archives::select_stream",
        "Add a stream to an archive or remove it",
        "For archives with `streamMode` `manual`.",
    ),
    text("storage::set", "Set where finished archives go", ""),
    text("storage::delete", "Keep finished archives here", ""),
    text(
        "broadcasts::start",
        "Start to send a session",
        "Somebody must be connected.",
    ),
    text("broadcasts::list", "List broadcasts", "The newest first."),
    text("broadcasts::find", "Find a broadcast", ""),
    text(
        "broadcasts::stop",
        "Stop to send",
        "There is nothing to say in a body.",
    ),
    text("broadcasts::layout", "Find the layout of a broadcast", ""),
    text(
        "broadcasts::set_layout",
        "Change the layout of a broadcast",
        "",
    ),
    text(
        "broadcasts::select_stream",
        "Add a stream to a broadcast or remove it",
        "For broadcasts with `streamMode` `manual`.",
    ),
    text("sip::dial", "Call somebody into a session", ""),
    text(
        "sip::dtmf_to_all",
        "Send tones to all calls of a session",
        "",
    ),
    text("sip::dtmf_to_one", "Send tones to one call", ""),
    text(
        "renders::start",
        "Let a web page take part in a session",
        "",
    ),
    text("renders::list", "List renders", "The newest first."),
    text("renders::find", "Find a render", ""),
    text("renders::stop", "End a render", ""),
    text(
        "connect::start",
        "Connect the sound of a session to a websocket",
        "",
    ),
    text("connect::stop", "End a connection to a websocket", ""),
    text("captions::start", "Start captions", ""),
    text("captions::find", "Find captions", ""),
    text("captions::stop", "Stop captions", ""),
    text(
        "callbacks::register",
        "Register a callback",
        "The same once more is answered with what there is. A project has at most 100. The URL \
         must not be an internal address, unless the operator has allowed its network.",
    ),
    text("callbacks::list", "List the callbacks of a project", ""),
    text(
        "callbacks::unregister",
        "Remove a callback",
        "What its URL has yet to be told is forgotten.",
    ),
    text(
        "callbacks::owed",
        "List what has yet to be told, and what could not be",
        "The oldest first. Ours.",
    ),
    text("projects::create", "Create a project", ""),
    text("projects::list", "List all projects", ""),
    text("projects::find", "Find a project", ""),
    text(
        "projects::set_status",
        "Suspend a project or resume it",
        "Suspending puts everybody out who is connected; calls and clients are refused until the \
         project is resumed.",
    ),
    text(
        "projects::delete",
        "Delete a project",
        "For good, with its sessions; everybody is put out.",
    ),
    text(
        "projects::refresh_secret",
        "Give a project a new secret",
        "The new one is good at once; the one before it stays good for `auth.secret_grace` of \
         the settings.",
    ),
    text(
        "bootstrap::config",
        "Fetch the client's settings",
        "Nothing differs from what it knows.",
    ),
    text(
        "bootstrap::session_info",
        "Fetch where to connect",
        "The client's token is in `X-TB-TOKEN-AUTH` or `X-OPENTOK-AUTH`. A refusal is an answer, \
         too: with another status than 200 the client would hide the reason.",
    ),
    text(
        "bootstrap::client_log",
        "Take what a client logs",
        "Whatever it is, and forget most of it.",
    ),
    text(
        "health::alive",
        "Tell whether the process lives",
        "It asks nobody, so that a slow database does not get the process killed.",
    ),
    text("health::ready", "Tell whether calls are welcome", ""),
    text("openapi::document", "Fetch this document", ""),
    text(
        "demo::join",
        "Join a session of the demo page",
        "Only with `parlor serve --dev`: whoever names a session may join it.",
    ),
];

/// The words of an operation.
pub fn of(handler: &str) -> Option<&'static Text> {
    TEXTS.iter().find(|text| text.handler == handler)
}

/// The group that a module's handlers belong to.
pub fn group(module: &str) -> Option<&'static Tag> {
    TAGS.iter().find(|tag| tag.modules.contains(&module))
}
