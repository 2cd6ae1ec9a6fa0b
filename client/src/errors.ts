// Error names and codes as an OpenTok application knows them.

/** An error given to an application: `name` says what, `code` is OpenTok's number for it. */
export class OTError extends Error {
  readonly code: number;

  constructor(name: string, code: number, message: string) {
    super(message);
    this.name = name;
    this.code = code;
  }
}

/** What a completion callback receives: nothing when all went well. */
export type Completion = (error?: OTError) => void;

/** `[name, code]` for one refusal. */
type Meaning = readonly [name: string, code: number];

/** What each refused request means, by the status of the reply; `other` for every other status. */
interface Meanings {
  readonly [status: number]: Meaning;
  readonly other: Meaning;
}

const UNEXPECTED: Meaning = ["OT_UNEXPECTED_SERVER_RESPONSE", 2001];

/** Every request an application can see fail, with the meaning of the reply's status. */
const REFUSALS = {
  connect: {
    400: ["OT_CONNECT_FAILED", 1006],
    403: ["OT_CONNECT_FAILED", 1006],
    409: ["OT_CONNECT_FAILED", 1006],
    other: UNEXPECTED,
  },
  publish: {
    403: ["OT_STREAM_CREATE_FAILED", 1500],
    404: ["OT_STREAM_CREATE_FAILED", 1500],
    405: ["OT_STREAM_CREATE_FAILED", 1500],
    409: ["OT_STREAM_CREATE_FAILED", 1500],
    other: UNEXPECTED,
  },
  subscribe: {
    404: ["OT_STREAM_NOT_FOUND", 1501],
    405: ["OT_UNABLE_TO_SUBSCRIBE", 1501],
    409: ["OT_STREAM_LIMIT_EXCEEDED", 1605],
    other: ["OT_UNABLE_TO_SUBSCRIBE", 2001],
  },
  signal: {
    400: ["OT_INVALID_PARAMETER", 400],
    403: ["OT_PERMISSION_DENIED", 403],
    404: ["OT_NOT_FOUND", 404],
    413: ["OT_INVALID_PARAMETER", 413],
    500: ["OT_NOT_CONNECTED", 500],
    other: UNEXPECTED,
  },
  forceDisconnect: {
    400: ["OT_INVALID_PARAMETER", 1011],
    403: ["OT_INVALID_PARAMETER", 1011],
    404: ["OT_INVALID_PARAMETER", 1011],
    500: ["OT_INVALID_PARAMETER", 1011],
    other: UNEXPECTED,
  },
  forceUnpublish: {
    403: ["OT_PERMISSION_DENIED", 1530],
    404: ["OT_NOT_FOUND", 404],
    other: UNEXPECTED,
  },
  forceMute: {
    403: ["OT_PERMISSION_DENIED", 1540],
    404: ["OT_NOT_FOUND", 404],
    other: UNEXPECTED,
  },
} satisfies Record<string, Meanings>;

/** A request whose refusal has a name. */
export type Refused = keyof typeof REFUSALS;

/** The error for a reply with `status`; `reason` is what the server said about it. */
export function refusal(request: Refused, status: number, reason: string): OTError {
  if (request === "connect" && reason === "connectionLimitExceeded") {
    return new OTError("OT_CONNECTION_LIMIT_EXCEEDED", 1027, reason);
  }
  const meanings: Meanings = REFUSALS[request];
  const [name, code] = meanings[status] ?? meanings.other;
  return new OTError(name, code, reason || `The server answered ${status}`);
}

/** The session is not connected, so nothing can be sent. */
export function notConnected(): OTError {
  return new OTError("OT_NOT_CONNECTED", 1010, "The session is not connected");
}

/** Makes an `OTError` of anything thrown. */
export function asError(thrown: unknown, name: string, code: number): OTError {
  if (thrown instanceof OTError) return thrown;
  return new OTError(name, code, thrown instanceof Error ? thrown.message : String(thrown));
}
