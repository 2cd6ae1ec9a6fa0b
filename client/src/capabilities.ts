// What a token permits in a session.

import { OTError } from "./errors.js";

/** What this client may do; 1 or 0, as OpenTok has it. */
export interface Capabilities {
  readonly publish: 0 | 1;
  readonly subscribe: 0 | 1;
  readonly forceUnpublish: 0 | 1;
  readonly forceDisconnect: 0 | 1;
  readonly forceMute: 0 | 1;
}

/** What these words of a token permit. */
export function capabilitiesOf(permissions: readonly string[]): Capabilities {
  const has = (word: string) => (permissions.includes(word) ? 1 : 0);
  return {
    publish: has("publish"),
    subscribe: has("subscribe"),
    forceUnpublish: has("forceunpublish"),
    forceDisconnect: has("forcedisconnect"),
    forceMute: has("forcemute"),
  };
}

/** The error of who asks for what the token does not permit. */
export function denied(what: string, code: number): OTError {
  return new OTError("OT_PERMISSION_DENIED", code, `The token does not allow to ${what}`);
}
