// The server's end of websockets, in the same process and without time passing by itself.

import { FrameType, decode, encode, frame, type Frame } from "../src/rumor.js";
import type { Socket } from "../src/signaling.js";

export class FakeSocket implements Socket {
  binaryType = "";
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  onerror: (() => void) | null = null;
  readonly url: URL;
  /** What the client sent. */
  readonly frames: Frame[] = [];
  closedWith: number | undefined;

  constructor(url: string) {
    this.url = new URL(url);
  }

  send(data: Uint8Array<ArrayBuffer>): void {
    const one = decode(data);
    if (!one) throw new Error("the client sent something that is not a frame");
    this.frames.push(one);
  }

  close(code?: number): void {
    this.closedWith = code;
  }

  accept(): void {
    this.onopen?.();
  }

  drop(code = 1006): void {
    this.onclose?.({ code });
  }

  pong(): void {
    this.#receive(frame(FrameType.Pong));
  }

  event(body: object, { id, from = "symphony.test" }: { id?: string; from?: string } = {}): void {
    const headers: Record<string, string> = { "X-TB-FROM-ADDRESS": from };
    if (id !== undefined) headers["TRANSACTION-ID"] = id;
    this.#receive(frame(FrameType.Message, { addresses: ["me"], headers, payload: JSON.stringify(body) }));
  }

  reply(request: Frame, status: number, payload = ""): void {
    const id = request.headers.get("TRANSACTION-ID") ?? "";
    this.#receive(frame(FrameType.Status, { headers: { "TRANSACTION-ID": id, STATUS: String(status) }, payload }));
  }

  of(type: FrameType): Frame[] {
    return this.frames.filter((one) => one.type === type);
  }

  #receive(one: Frame): void {
    this.onmessage?.({ data: encode(one).buffer });
  }
}
