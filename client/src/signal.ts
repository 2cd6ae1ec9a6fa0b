// Signals: what an application may send, checked before it travels.

import { OTError } from "./errors.js";
import type { Connection } from "./model.js";

export interface Signal {
  /** At most 128 of `A-Z a-z 0-9 - . _ ~`. */
  readonly type?: string;
  /** Anything that is at most 8192 characters of JSON. */
  readonly data?: unknown;
  /** One receiver; everybody if there is none. */
  readonly to?: Connection | string | undefined;
  /** False: fail rather than be sent after an interruption. Default true. */
  readonly retryAfterReconnect?: boolean;
}

const MAX_TYPE_LENGTH = 128;
const MAX_DATA_LENGTH = 8_192;

/** Why this signal cannot be sent, if so. */
export function checkSignal({ type, data }: Signal): OTError | undefined {
  if (type !== undefined && type.length > MAX_TYPE_LENGTH) {
    return new OTError("OT_INVALID_PARAMETER", 413, `The signal type is longer than ${MAX_TYPE_LENGTH} characters`);
  }
  if (type !== undefined && type !== "" && !/^[A-Za-z0-9\-._~]+$/.test(type)) {
    return new OTError("OT_INVALID_PARAMETER", 400, "The signal type has characters that are not allowed");
  }
  let json: string | undefined;
  try {
    json = JSON.stringify(data);
  } catch {
    return new OTError("OT_INVALID_PARAMETER", 400, "The signal data cannot be written as JSON");
  }
  if (json !== undefined && json.length > MAX_DATA_LENGTH) {
    return new OTError("OT_INVALID_PARAMETER", 413, `The signal data is longer than ${MAX_DATA_LENGTH} characters`);
  }
  return undefined;
}
