// The parts of the page that are always there.

const STATES = {
  disconnected: "Not connected",
  connecting: "Connecting…",
  connected: "Connected",
  reconnecting: "Connection lost, reconnecting…",
} as const;

export function element<E extends HTMLElement = HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as E;
}

export function setState(state: keyof typeof STATES): void {
  element("state").dataset.state = state;
  element("state").textContent = STATES[state];
}

export function setStage(stage: "lobby" | "call", session = ""): void {
  document.body.dataset.stage = stage;
  element("lobby").hidden = stage !== "lobby";
  element("call").hidden = stage !== "call";
  element("room").hidden = stage !== "call";
  element("room").textContent = session;
  document.title = session ? `${session} · Parlor` : "Parlor";
}

/** Says what went wrong, or takes it away when there is nothing to say. */
export function problem(text: string): void {
  element("problem").hidden = text === "";
  element("problem-text").textContent = text;
}
