// One person in view.

import { element } from "./page.js";

export class Tile {
  /** Where the video belongs. */
  readonly picture: HTMLElement;
  readonly #root: HTMLElement;

  constructor(name: string) {
    const copy = element<HTMLTemplateElement>("tile").content.firstElementChild!.cloneNode(true);
    this.#root = copy as HTMLElement;
    this.picture = this.#part("picture");
    this.#root.setAttribute("aria-label", name);
    this.#part("who").textContent = name;
    this.#part("initials").textContent = initials(name);
    element("stage").append(this.#root);
  }

  show({ audio, video }: { audio: boolean; video: boolean }): void {
    this.#part("muted").hidden = audio;
    this.#root.classList.toggle("dark", !video);
  }

  /** A word about its connection; none if all is well. */
  note(text: string): void {
    this.#part("note").textContent = text;
  }

  remove(): void {
    this.#root.remove();
  }

  #part(name: string): HTMLElement {
    return this.#root.querySelector(`.${name}`)!;
  }
}

/** First letters of the first two words. */
function initials(name: string): string {
  return name
    .replace(/\(.*/, "")
    .trim()
    .split(/\s+/)
    .slice(0, 2)
    .map((word) => [...word][0]?.toUpperCase() ?? "")
    .join("");
}
