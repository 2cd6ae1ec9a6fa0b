// The element on the page that shows a publisher or a subscriber.

/** Where and how to show it; OpenTok's property names. */
export interface ViewProperties {
  /** What to do with the target: its contents are replaced unless this says otherwise. */
  readonly insertMode?: "replace" | "append" | "before" | "after";
  /** False: nothing is inserted, the application gets the video element and places it itself. */
  readonly insertDefaultUI?: boolean;
  /** A number of pixels, or any CSS length. */
  readonly width?: number | string;
  readonly height?: number | string;
  readonly fitMode?: "cover" | "contain";
}

/** An element, or the id of one. */
export type Target = HTMLElement | string | null | undefined;

const DEFAULT_WIDTH = 264;
const DEFAULT_HEIGHT = 198;

export class View {
  /** The container on the page, unless the application places the video itself. */
  readonly element: HTMLElement | undefined;
  readonly video: HTMLVideoElement;

  constructor(target: Target, properties: ViewProperties, { id, muted, mirror }: { id: string; muted: boolean; mirror: boolean }) {
    this.video = document.createElement("video");
    this.video.autoplay = true;
    this.video.playsInline = true;
    this.video.muted = muted;
    if (properties.insertDefaultUI === false) return;
    this.element = place(target, properties.insertMode ?? "replace");
    if (!this.element.id) this.element.id = id;
    this.element.classList.add("OT_root");
    this.element.style.width = length(properties.width ?? DEFAULT_WIDTH);
    this.element.style.height = length(properties.height ?? DEFAULT_HEIGHT);
    this.element.style.overflow = "hidden";
    Object.assign(this.video.style, {
      display: "block",
      width: "100%",
      height: "100%",
      objectFit: properties.fitMode ?? "cover",
      transform: mirror ? "scaleX(-1)" : "",
    });
    this.element.replaceChildren(this.video);
  }

  show(media: MediaStream): void {
    this.video.srcObject = media;
  }

  remove(): void {
    this.video.srcObject = null;
    this.video.remove();
    this.element?.remove();
  }
}

/** Finds or makes the container. */
function place(target: Target, mode: NonNullable<ViewProperties["insertMode"]>): HTMLElement {
  const there = typeof target === "string" ? document.getElementById(target) : target;
  if (there && mode === "replace") return there;
  const element = document.createElement("div");
  if (!there) document.body.append(element);
  else if (mode === "before") there.before(element);
  else if (mode === "after") there.after(element);
  else there.append(element);
  return element;
}

function length(value: number | string): string {
  return typeof value === "number" || /^\d+$/.test(value) ? `${value}px` : value;
}
