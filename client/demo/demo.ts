// The demo: an ordinary OpenTok application. It asks the development server for a token, joins,
// publishes, subscribes to everybody, and chats by signals.

import type * as Parlor from "../src/index.js";
import { Tile } from "./tile.js";
import { element, problem, setStage, setState } from "./page.js";

declare const OT: typeof Parlor;

/** What `POST demo/join` answers. */
interface Invitation {
  readonly apiKey: string;
  readonly sessionId: string;
  readonly token: string;
  readonly url: string;
}

/** One call, from joining to leaving. */
class Call {
  readonly #session: Parlor.Session;
  readonly #publisher: Parlor.Publisher;
  readonly #own: Tile;
  readonly #tiles = new Map<string, Tile>();
  readonly #people = new Map<string, string>();

  constructor({ apiKey, sessionId }: Invitation, name: string) {
    this.#own = new Tile(`${name} (you)`);
    this.#session = OT.initSession(apiKey, sessionId);
    this.#listen();
    this.#publisher = OT.initPublisher(
      this.#own.picture,
      { name, width: "100%", height: "100%", resolution: "1280x720", insertMode: "append" },
      (error) => {
        if (error) problem(`${error.message}. You can still watch, listen and write.`);
      },
    );
    this.#publisher.on("muteForced", () => {
      this.showOwn();
      problem("A moderator muted you.");
    });
    // A stream that ended (camera unplugged, taken down by a moderator) leaves an empty tile behind.
    this.#publisher.on("streamDestroyed", ({ reason }) => {
      this.#own.remove();
      if (reason === "forceUnpublished") problem("A moderator ended your picture and sound.");
      if (reason === "mediaStopped") problem("Your camera was switched off.");
    });
    this.showOwn();
  }

  join(token: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#session.connect(token, (error) => {
        if (error) {
          reject(error);
          return;
        }
        resolve();
        if (!this.#session.capabilities.publish) return;
        this.#session.publish(this.#publisher, (refused) => {
          if (refused && refused.name !== "OT_USER_MEDIA_ACCESS_DENIED" && refused.name !== "OT_NO_DEVICES_FOUND") {
            problem(`Your picture and sound could not be sent: ${refused.message}`);
          }
        });
      });
    });
  }

  leave(): void {
    this.#session.disconnect();
    this.end();
  }

  /** Takes everything off the page. */
  end(): void {
    this.#publisher.destroy();
    this.#own.remove();
    for (const tile of this.#tiles.values()) tile.remove();
  }

  say(text: string): void {
    this.#session.signal({ type: "chat", data: text }, (error) => {
      if (error) problem(`The message was not sent: ${error.message}`);
    });
  }

  toggleMicrophone(): void {
    this.#publisher.publishAudio(!this.#publisher.publishesAudio);
    this.showOwn();
  }

  toggleCamera(): void {
    this.#publisher.publishVideo(!this.#publisher.publishesVideo);
    this.showOwn();
  }

  /** Shows what we send in our tile and on the buttons. */
  showOwn(): void {
    const { publishesAudio: audio, publishesVideo: video } = this.#publisher;
    this.#own.show({ audio, video });
    toggle("microphone", audio, audio ? "Mute" : "Unmute");
    toggle("camera", video, video ? "Stop video" : "Start video");
  }

  #listen(): void {
    this.#session.on({
      sessionConnected: () => setState("connected"),
      sessionReconnecting: () => setState("reconnecting"),
      sessionReconnected: () => setState("connected"),
      sessionDisconnected: ({ reason }) => ended(reason),
      connectionCreated: ({ connection }) => {
        this.#people.set(connection.connectionId, nameOf(connection.data));
        this.#showPeople();
        if (connection !== this.#session.connection) note(`${nameOf(connection.data)} is here`);
      },
      connectionDestroyed: ({ connection, reason }) => {
        this.#people.delete(connection.connectionId);
        this.#showPeople();
        note(`${nameOf(connection.data)} ${reason === "networkDisconnected" ? "lost the connection" : "left"}`);
      },
      streamCreated: ({ stream }) => this.#watch(stream),
      streamDestroyed: ({ stream }) => this.#unwatch(stream),
      streamPropertyChanged: ({ stream }) => this.#tiles.get(stream.streamId)?.show(mediaOf(stream)),
    });
    this.#session.on("signal:chat", ({ from, data }: Parlor.SignalEvent) => {
      const own = from === this.#session.connection;
      write(String(data), own ? "You" : from ? nameOf(from.data) : "Server", own);
    });
  }

  #watch(stream: Parlor.Stream): void {
    const name = stream.name || nameOf(stream.connection.data);
    const tile = new Tile(name);
    tile.show(mediaOf(stream));
    tile.note("connecting…");
    this.#tiles.set(stream.streamId, tile);
    alone(false);
    const subscriber = this.#session.subscribe(
      stream,
      tile.picture,
      { insertMode: "append", width: "100%", height: "100%" },
      (error) => {
        if (error) tile.note(`cannot be shown: ${error.message}`);
      },
    );
    subscriber?.on({
      connected: () => tile.note(""),
      disconnected: () => tile.note("connection lost, trying again…"),
      videoDisabled: ({ reason }) => reason === "quality" && tile.note("picture paused: slow network"),
      videoEnabled: () => tile.note(""),
      audioBlocked: () => tile.note("click anywhere for sound"),
      audioUnblocked: () => tile.note(""),
    });
  }

  #unwatch({ streamId }: Parlor.Stream): void {
    this.#tiles.get(streamId)?.remove();
    this.#tiles.delete(streamId);
    alone(this.#tiles.size === 0);
  }

  #showPeople(): void {
    const own = this.#session.connection?.connectionId;
    element("people-count").textContent = String(this.#people.size);
    element("people").replaceChildren(
      ...[...this.#people].map(([id, name]) => {
        const item = document.createElement("li");
        item.textContent = name;
        if (id === own) item.append(small(" (you)"));
        return item;
      }),
    );
  }
}

let call: Call | undefined;
let proxied = false;

async function join(name: string, session: string): Promise<void> {
  problem("");
  setState("connecting");
  const invitation = await invite(name, session);
  // A page may name its server once; every call here goes to the same one.
  if (!proxied) OT.setProxyUrl(invitation.url);
  proxied = true;
  element("messages").replaceChildren();
  alone(true);
  setStage("call", session);
  // The address is now an invitation.
  history.replaceState(null, "", `?${new URLSearchParams({ session })}`);
  const joining = new Call(invitation, name);
  call = joining;
  try {
    await joining.join(invitation.token);
  } catch (error) {
    if (call !== joining) return;
    joining.end();
    call = undefined;
    throw error;
  }
}

async function invite(name: string, session: string): Promise<Invitation> {
  const response = await fetch("demo/join", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name, session }),
  }).catch(() => {
    throw new Error("The server cannot be reached. Is it running?");
  });
  if (response.status === 404) throw new Error("This server does not offer the demo: start it with “serve --dev”.");
  if (!response.ok) throw new Error(`The server did not let you in (HTTP ${response.status}).`);
  return (await response.json()) as Invitation;
}

function ended(reason: string): void {
  call?.end();
  call = undefined;
  setStage("lobby");
  setState("disconnected");
  if (reason === "networkDisconnected") problem("The connection to the server was lost. Join again when the network is back.");
  if (reason === "forceDisconnected") problem("A moderator ended your call.");
}

function mediaOf(stream: Parlor.Stream): { audio: boolean; video: boolean } {
  return { audio: stream.hasAudio, video: stream.hasVideo };
}

/** Connection data of the demo's tokens is a name, plain or as JSON. */
function nameOf(data: string): string {
  try {
    const parsed = JSON.parse(data) as unknown;
    if (typeof parsed === "object" && parsed !== null && "name" in parsed) return String(parsed.name);
  } catch {
    // Plain text.
  }
  return data || "Somebody";
}

function toggle(id: string, on: boolean, label: string): void {
  const button = element(id);
  button.dataset.on = String(on);
  button.querySelector("span")!.textContent = label;
}

function alone(on: boolean): void {
  element("alone").hidden = !on;
}

function note(text: string): void {
  addMessage(text, "news");
}

function write(text: string, who: string, own: boolean): void {
  const name = document.createElement("b");
  name.textContent = who;
  addMessage(text, own ? "own" : "", name);
}

/** Messages kept on the page. */
const MAX_MESSAGES = 500;

function addMessage(text: string, kind: string, head?: HTMLElement): void {
  const list = element("messages");
  const item = document.createElement("li");
  item.className = kind;
  item.append(...(head ? [head] : []), text);
  list.append(item);
  while (list.childElementCount > MAX_MESSAGES) list.firstElementChild?.remove();
  list.scrollTop = list.scrollHeight;
}

function small(text: string): HTMLElement {
  const tag = document.createElement("small");
  tag.textContent = text;
  return tag;
}

const nameInput = element<HTMLInputElement>("name");
const sessionInput = element<HTMLInputElement>("session");
sessionInput.value = new URLSearchParams(location.search).get("session") ?? "parlor";
nameInput.value = new URLSearchParams(location.search).get("name") ?? "";
nameInput.focus();

element("join").addEventListener("submit", (event) => {
  event.preventDefault();
  const button = element<HTMLButtonElement>("join-button");
  button.disabled = true;
  join(nameInput.value.trim(), sessionInput.value.trim())
    .catch((error: unknown) => {
      setStage("lobby");
      setState("disconnected");
      problem(error instanceof Error ? error.message : String(error));
    })
    .finally(() => (button.disabled = false));
});

element("chat").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = element<HTMLInputElement>("chat-text");
  if (input.value.trim()) call?.say(input.value.trim());
  input.value = "";
});

element("microphone").addEventListener("click", () => call?.toggleMicrophone());
element("camera").addEventListener("click", () => call?.toggleCamera());
element("leave").addEventListener("click", () => call?.leave());
element("problem-close").addEventListener("click", () => problem(""));
