// Browsers keep sound back until somebody touched the page. Meanwhile the picture runs muted.

interface Waiting {
  readonly video: HTMLVideoElement;
  notify(blocked: boolean): void;
}

const GESTURES = ["pointerdown", "keydown", "touchend"] as const;

class Playback {
  readonly #waiting = new Map<object, Waiting>();

  /** Plays a video with sound, or muted until the first gesture; `notify` hears which. */
  start(video: HTMLVideoElement, owner: object, notify: (blocked: boolean) => void): void {
    video.play().catch((error: unknown) => {
      if (!(error instanceof DOMException) || error.name !== "NotAllowedError" || video.muted) return;
      video.muted = true;
      video.play().catch(() => undefined);
      if (this.#waiting.size === 0) {
        for (const gesture of GESTURES) document.addEventListener(gesture, this.unblock, true);
      }
      this.#waiting.set(owner, { video, notify });
      notify(true);
    });
  }

  /** To be called from a user's gesture. */
  unblock = (): void => {
    for (const gesture of GESTURES) document.removeEventListener(gesture, this.unblock, true);
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const [owner, { video, notify }] of waiting) {
      video.muted = false;
      notify(false);
      this.start(video, owner, notify);
    }
  };

  forget(owner: object): void {
    this.#waiting.delete(owner);
  }
}

export const playback = new Playback();
