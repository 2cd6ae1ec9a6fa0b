// A typed emitter with the habits of OpenTok's: several names in one string, an object of
// handlers, events with a default action that a handler may prevent.

/** What every event has, besides its own members. */
export interface BaseEvent {
  readonly type: string;
  readonly target: unknown;
  readonly cancelable: boolean;
  preventDefault(): void;
  isDefaultPrevented(): boolean;
}

/** Event name to the members of that event. */
export type EventMap = Record<string, object>;

type Handler<E> = (event: E & BaseEvent) => void;
type Handlers<M> = { [K in keyof M]?: Handler<M[K]> };

interface Entry {
  readonly handler: Handler<never>;
  readonly context: unknown;
  readonly once: boolean;
}

/** Delivers events in the order in which they are emitted; one handler's exception stops nobody else. */
export class Emitter<M extends object> {
  readonly #entries = new Map<string, Entry[]>();

  on<K extends keyof M & string>(name: K, handler: Handler<M[K]>, context?: unknown): this;
  on(handlers: Handlers<M>, context?: unknown): this;
  on(names: string, handler: (event: never) => void, context?: unknown): this;
  on(names: string | Handlers<M>, handler?: unknown, context?: unknown): this {
    return this.#add(names, handler, context, false);
  }

  once<K extends keyof M & string>(name: K, handler: Handler<M[K]>, context?: unknown): this;
  once(handlers: Handlers<M>, context?: unknown): this;
  once(names: string, handler: (event: never) => void, context?: unknown): this;
  once(names: string | Handlers<M>, handler?: unknown, context?: unknown): this {
    return this.#add(names, handler, context, true);
  }

  /** Without a handler, removes all of `names`; without names, removes everything. */
  off(names?: string | Handlers<M>, handler?: unknown, context?: unknown): this {
    if (names === undefined) {
      this.#entries.clear();
      return this;
    }
    if (typeof names === "object") {
      for (const [name, one] of Object.entries(names)) this.off(name, one, handler);
      return this;
    }
    for (const name of split(names)) {
      const kept = (this.#entries.get(name) ?? []).filter(
        (entry) =>
          handler !== undefined &&
          (entry.handler !== handler || (context !== undefined && entry.context !== context)),
      );
      this.#entries.set(name, kept);
    }
    return this;
  }

  /**
   * Calls the handlers of `name`, then `defaultAction` unless one of them prevented it.
   *
   * Public because the parts of this package raise each other's events; applications have no use for it.
   */
  emit<K extends keyof M & string>(name: K, members: M[K], defaultAction?: () => void): void;
  emit(name: string, members: object, defaultAction?: () => void): void {
    let prevented = false;
    const event = {
      type: name,
      target: this,
      ...members,
      cancelable: defaultAction !== undefined,
      preventDefault: () => void (prevented = defaultAction !== undefined),
      isDefaultPrevented: () => prevented,
    };
    for (const entry of [...(this.#entries.get(name) ?? [])]) {
      if (entry.once) this.off(name, entry.handler, entry.context);
      try {
        entry.handler.call(entry.context ?? this, event as never);
      } catch (error) {
        report(error);
      }
    }
    if (!prevented) defaultAction?.();
  }

  #add(names: string | Handlers<M>, handler: unknown, context: unknown, once: boolean): this {
    if (typeof names === "object") {
      for (const [name, one] of Object.entries(names)) this.#add(name, one, handler, once);
      return this;
    }
    if (typeof handler !== "function") throw new TypeError("an event handler must be a function");
    for (const name of split(names)) {
      const entries = this.#entries.get(name) ?? [];
      entries.push({ handler: handler as Handler<never>, context, once });
      this.#entries.set(name, entries);
    }
    return this;
  }
}

function split(names: string): string[] {
  return names.split(/\s+/).filter(Boolean);
}

/** Shows an application's exception where exceptions are shown, without ending what called it. */
export function report(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
